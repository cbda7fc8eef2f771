"""A real ClickHouse server on this machine: the engine's own HTTP server, in a process of its own.

The entry is private to chDB. Where it goes away, tests that need a server are skipped in words.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_S = 30.0
# An absolute path: to sync a part's folder the engine would put a relative one before itself.
_SERVE = """
import os
from chdb import _chdb
_chdb.query(
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
    "SELECT sleepEachRow(3) FROM numbers(1200) SETTINGS max_block_size = 1, "
    "function_sleep_max_microseconds_per_block = 0 FORMAT Null",
    "TSV", path=os.path.abspath("db"),
)
"""
_CONFIG = """<clickhouse>
<http_port>{port}</http_port><tcp_port>{tcp_port}</tcp_port><listen_host>{host}</listen_host>
<logger><level>warning</level><log>server.log</log></logger>{more}
</clickhouse>"""
# Of its session a Keeper that was away is asked again soon.
_KEEPER = """
<zookeeper>
<node><host>127.0.0.1</host><port>{port}</port></node>
<session_timeout_ms>4000</session_timeout_ms><operation_timeout_ms>4000</operation_timeout_ms>
</zookeeper>
<keeper_map_path_prefix>/keeper_map</keeper_map_path_prefix>"""
CLUSTER = "main"
COPIED = "copied"  # of the same servers, with replicas in every shard
_SHARD = "<shard><replica><host>{host}</host><port>{port}</port></replica></shard>"


@dataclass(frozen=True)
class Listening:
    """Where a server listens. Those of one cluster have the same ports on addresses of their own.

    `cluster`: the addresses of its servers, in their order.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    tcp_port: int | None = None
    cluster: tuple[str, ...] = ()


@dataclass
class Server:
    """`url` answers statements; `pid` may be killed or stopped."""

    host: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.host}:{self.port}/"

    def sql(self, statement: str, **parameters: str) -> str:
        """The answer as TSV."""
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        request = urllib.request.Request(self.url + query, data=statement.encode())  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(answer.read().decode())

    def database(self, name: str) -> str:
        """An empty database of that name."""
        self.sql(f"DROP DATABASE IF EXISTS `{name}`")
        self.sql(f"CREATE DATABASE `{name}`")
        return name


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """Servers of one cluster over `folder`, by their numbers from 0; ended when it is closed.

    `keeper_port`: of their Keeper.
    """

    def __init__(self, folder: Path, count: int, *, keeper_port: int | None = None) -> None:
        self._folder = folder
        self._keeper_port = keeper_port
        hosts = tuple(f"127.0.0.{number}" for number in range(101, 101 + count))
        port, tcp_port = free_port(), free_port()
        self._listening = [Listening(host, port, tcp_port, hosts) for host in hosts]
        self._lives = [contextlib.ExitStack() for _ in hosts]
        self.servers: list[Server] = []
        with contextlib.ExitStack() as starting:
            starting.callback(self.close)
            self.servers = [self.start(number) for number in range(count)]
            starting.pop_all()

    def start(self, number: int) -> Server:
        """Start one of them, also again over what it has."""
        server = running(
            self._folder / str(number),
            listening=self._listening[number],
            keeper_port=self._keeper_port,
        )
        return self._lives[number].enter_context(server)

    def kill(self, number: int) -> None:
        """SIGKILL one of them."""
        self._lives[number].close()

    def close(self) -> None:
        """SIGKILL all."""
        for number in range(len(self._lives)):
            self.kill(number)

    def database(self, name: str) -> str:
        """An empty database of that name at the first of them, and no local ones."""
        for server in self.servers:
            server.sql(f"DROP DATABASE IF EXISTS `{name}_local`")
        return self.servers[0].database(name)


@contextlib.contextmanager
def running(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    listening: Listening = Listening(),
    keeper_port: int | None = None,
) -> Iterator[Server]:
    """A server over `folder`; `environment`: what it has beside ours, say TZ; `keeper_port`: of its
    Keeper (`tests.keeper`). Skips the test when the engine of this version cannot be a server.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, tcp_port = listening.port or free_port(), listening.tcp_port or free_port()
    more = "" if keeper_port is None else _KEEPER.format(port=keeper_port)
    if listening.cluster:
        shards = "".join(_SHARD.format(host=host, port=tcp_port) for host in listening.cluster)
        copied = shards.replace("</shard><shard>", "") * 2
        clusters = f"<{CLUSTER}>{shards}</{CLUSTER}><{COPIED}>{copied}</{COPIED}>"
        more += f"<remote_servers>{clusters}</remote_servers>"
    config = _CONFIG.format(host=listening.host, port=port, tcp_port=tcp_port, more=more)
    (folder / "config.xml").write_text(config)
    with (folder / "out.txt").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            cwd=folder,
            stdout=out,
            stderr=out,
            env={**os.environ, **(environment or {})},
        )
    try:
        _wait(process, f"{listening.host}:{port}", folder)
        yield Server(listening.host, port, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(f"http://{address}/ping", timeout=5) as answer,
        ):
            assert answer.read() == b"Ok.\n"
            return
        threading.Event().wait(0.1)
    said = (folder / "out.txt").read_text(errors="replace")[-500:]
    pytest.skip(f"the engine of this version cannot be started as a server: {said}")
