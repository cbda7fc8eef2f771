"""A Keeper on this machine: Debian's ZooKeeper, whose protocol ClickHouse's own Keeper speaks.

`apt-get install zookeeper` brings it; where it is not, tests that need one are skipped in words.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import real_server

_JARS = Path("/usr/share/java")
# With another binding beside slf4j-simple it ends at its start.
_NEEDED = ("zookeeper", "zookeeper-jute", "netty-all", "slf4j-api", "slf4j-simple", "snappy-java")
_NEEDED += ("metrics-core", "jackson-annotations", "jackson-core", "jackson-databind")
_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_START_S = 60.0
_CONFIG = """
tickTime=500
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=ruok
"""


class Keeper:
    """`port` answers; its process may be killed, and started again over the same data."""

    def __init__(self, folder: Path) -> None:
        self.port = real_server.free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True)
        (folder / "zoo.cfg").write_text(_CONFIG.format(folder=folder, port=self.port))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        jars = ":".join(str(_JARS / f"{name}.jar") for name in _NEEDED)
        with (self._folder / "out.txt").open("ab") as out:
            self._process = subprocess.Popen(
                ["java", "-Xmx256m", "-cp", jars, _MAIN, "zoo.cfg"],
                cwd=self._folder,
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            said = (self._folder / "out.txt").read_text(errors="replace")[-1000:]
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            threading.Event().wait(0.05)

    def stop(self) -> None:
        """SIGKILL: it keeps what it has acknowledged."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection,
        ):
            connection.sendall(b"ruok")
            return connection.recv(4) == b"imok"
        return False


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Keeper]:
    """A Keeper over `folder`. Skips the test where there is none to start."""
    missing = [name for name in _NEEDED if not (_JARS / f"{name}.jar").exists()]
    if shutil.which("java") is None or missing:
        pytest.skip(f"no Keeper here (apt-get install zookeeper): lacks java or {missing}")
    keeper = Keeper(folder)
    try:
        keeper.start()
        yield keeper
    finally:
        keeper.stop()
