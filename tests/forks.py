"""The program in forks of a process that has imported it: half a second less for each command.

Imported, it starts them; as a script it is the process they are forked from. That process is told
one JSON line a command, {"number", "words", "environment", "folder", "out", "err"}, and tells
{"number", "pid"} when the command has begun and {"pid", "code"} when it has ended (a negative code:
the signal that ended it).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import json
import os
import pkgutil
import queue
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polybackfill import __main__ as program
from polybackfill import commands

# What else stands in an environment is for a start of its own: Python and libraries read it once.
_SETTINGS = ("BACKFILL_", "CLICKHOUSE_", "NOTIFY_", "PYTEST_")
_BEGINS_S = 30.0
_READ = 65_536


class Fork:
    """A command that was started: what `subprocess.Popen` has of it."""

    def __init__(self) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code when it has ended; subprocess.TimeoutExpired when it has not by then."""
        if not self._ended.wait(timeout):
            assert timeout is not None
            raise subprocess.TimeoutExpired(["polybackfill"], timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """A signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def end(self, code: int) -> None:
        """It has ended so."""
        self.returncode = code
        self._ended.set()


class Forks:
    """Starts commands; the process they are forked from begins with the first."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._numbers = itertools.count(1)
        self._running: dict[int, Fork] = {}
        self._begun: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._next = Fork()

    @staticmethod
    def takes(environment: Mapping[str, str]) -> bool:
        """Whether it differs from ours in settings of the program alone."""
        return _rest(environment) == _rest(os.environ)

    def start(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        out: Path,
        err: Path,
    ) -> Fork:
        """Start a command there, its streams in these files, nothing on its standard input."""
        asked = {
            "number": next(self._numbers),
            "words": list(words),
            "environment": dict(environment),
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
        }
        out.touch()  # the command itself is a moment later
        err.touch()
        fork = Fork()
        with self._starting:
            server = self._served()
            assert server.stdin is not None
            self._next = fork
            server.stdin.write(json.dumps(asked) + "\n")
            server.stdin.flush()
            begun = self._begun.get(timeout=_BEGINS_S)
            assert begun["number"] == asked["number"], begun
        return fork

    def _served(self) -> subprocess.Popen[str]:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            threading.Thread(target=self._listen, args=(self._server,), daemon=True).start()
        return self._server

    def _listen(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        for line in server.stdout:
            told = json.loads(line)
            if "number" in told:
                # Before anybody waits for it: a short command's end may be the next line.
                self._next.pid = told["pid"]
                self._running[told["pid"]] = self._next
                self._begun.put(told)
            else:
                self._running.pop(told["pid"]).end(told["code"])


def _rest(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_SETTINGS)}


def main() -> None:
    """Fork commands until the other side closes."""
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"{commands.__name__}.{module.name}")
    # What is imported is no garbage: looking through it again in each command took a quarter of all
    # the time of these tests, and copied its pages.
    gc.collect()
    gc.freeze()
    awake, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(awake, selectors.EVENT_READ)
    rest = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if awake in ready:
            os.read(awake, _READ)
            _bury()
        if 0 in ready:
            read = os.read(0, _READ)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                asked = json.loads(line)
                child = os.fork()
                if child == 0:
                    _become(asked, (selector.fileno(), awake, wakes))
                    return
                _tell(number=asked["number"], pid=child)


def _bury() -> None:
    """Tell of every child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(pid=ended[0], code=os.waitstatus_to_exitcode(ended[1]))


def _tell(**told: int) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


def _become(asked: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Be the command; it ends as `python -m polybackfill` does."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in descriptors:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(name, flags, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["polybackfill", *asked["words"]]
    program.main()


if __name__ == "__main__":
    main()
