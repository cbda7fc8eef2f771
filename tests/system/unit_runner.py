"""Runs a unit file as systemd would, where there is no systemd: `python unit_runner.py UNIT`.

Obeyed: ExecStart=, Environment=, EnvironmentFile=, WorkingDirectory=, UMask=, Type=notify with
TimeoutStartSec= and EXTEND_TIMEOUT_USEC, WatchdogSec=, Restart=, RestartSec=,
RestartPreventExitStatus=, StartLimitIntervalSec=, StartLimitBurst=, KillMode=mixed and
TimeoutStopSec=. Not obeyed: User= and everything that confines. `--set NAME=VALUE` puts another
value in the place of the file's, to shorten a night. One JSON line an event goes to stdout; SIGTERM
stops the service, as `systemctl stop` does.

Sources: systemd.service(5), systemd.unit(5), systemd.kill(5), sd_notify(3) of systemd 252.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans become ours, as they stay in a service's cgroup
_CLEAN_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)")
_SECONDS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "min": 60, "h": 3600}
_TICK_S = 0.02


def seconds(text: str) -> float:
    """A time span of systemd.time(7)."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))


def words(text: str) -> list[str]:
    """The words of a line (systemd.syntax(7)): quotes, backslashes, and `%%` for a percent sign."""
    return [word.replace("%%", "%") for word in shlex.split(text)]


class Unit:
    """The lines of a file by name, in their order, whatever their section."""

    def __init__(self, path: Path, instead: dict[str, str]) -> None:
        self._lines: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith(("#", ";")):
                self._lines.setdefault(name.strip(), []).append(value.strip())
        self._lines |= {name: [value] for name, value in instead.items()}

    def all(self, name: str) -> list[str]:
        """Every value of a name."""
        return self._lines.get(name, [])

    def one(self, name: str, default: str) -> str:
        """The last value of a name."""
        return self.all(name)[-1] if self.all(name) else default

    def span(self, name: str, default: float) -> float:
        """The last value of a name, in seconds."""
        return seconds(self.one(name, str(default)))

    def environment(self) -> dict[str, str]:
        """What the process is given: little of ours, as systemd gives little of its own."""
        given = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "JOURNAL_STREAM": "1:1"}
        for line in self.all("Environment"):
            given |= dict(word.split("=", 1) for word in words(line))
        for named in self.all("EnvironmentFile"):
            path = Path(named.removeprefix("-").replace("%%", "%"))
            if named.startswith("-") and not path.exists():
                continue
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip() and not line.startswith(("#", ";")):
                    name, _, value = line.partition("=")
                    given[name] = "".join(shlex.split(value))
        return given


class Service:
    """One service and its life."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._began_at = time.monotonic()
        self._starts: list[float] = []
        self.stopping = False
        folder = tempfile.mkdtemp(prefix="unit-")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"{folder}/notify")
        self._socket.setblocking(False)
        self._address = f"{folder}/notify"

    def tell(self, event: str, **more: Any) -> None:
        """One event."""
        at = round(time.monotonic() - self._began_at, 2)
        print(json.dumps({"at": at, "event": event, **more}), flush=True)

    def run(self) -> int:
        """Until it is inactive or failed; 0 for inactive."""
        unit = self._unit
        while True:
            if self._over_the_start_limit():
                self.tell("failed", result="start-limit-hit")
                return 1
            result, code = self._once()
            self.tell("ended", result=result, code=code)
            prevented = unit.one("RestartPreventExitStatus", "").split()
            restarts = unit.one("Restart", "no") in {"on-failure", "always"} and result != "success"
            if self.stopping or not restarts or (result == "exit-code" and str(code) in prevented):
                self.tell("inactive" if result == "success" else "failed", result=result)
                return int(result != "success")
            self._sleep(unit.span("RestartSec", 0.1))

    def _over_the_start_limit(self) -> bool:
        interval_s = self._unit.span("StartLimitIntervalSec", 10)
        burst = int(self._unit.one("StartLimitBurst", "5"))
        now = time.monotonic()
        self._starts = [at for at in self._starts if now - at < interval_s] + [now]
        return interval_s > 0 and len(self._starts) > burst

    def _once(self) -> tuple[str, int]:
        """One start to its end: the result in systemd's words, and the exit code or signal."""
        unit = self._unit
        watchdog_s = unit.span("WatchdogSec", 0)
        environment = unit.environment() | {"NOTIFY_SOCKET": self._address}
        environment |= {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {}
        umask = int(unit.one("UMask", "0022"), 8)
        process = subprocess.Popen(
            words(unit.one("ExecStart", "").removeprefix(":")),
            cwd=unit.one("WorkingDirectory", "/").replace("%%", "%"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            umask=umask,
            start_new_session=True,
        )
        self.tell("started", pid=process.pid)
        result = self._watch(process, watchdog_s)
        self._kill_the_rest()
        code = process.returncode
        if result:
            return result, code
        clean = code == 0 or -code in _CLEAN_SIGNALS
        return ("success" if clean else "exit-code" if code > 0 else "signal"), abs(code)

    def _watch(self, process: subprocess.Popen[bytes], watchdog_s: float) -> str:
        """Wait for its end; what systemd had to end it for, or empty."""
        unit, ready, asked = self._unit, False, False
        pinged_at = time.monotonic()
        start_by = pinged_at + unit.span("TimeoutStartSec", 90)
        stop_by = float("inf")
        while process.poll() is None:
            now = time.monotonic()
            for name, value in self._heard():
                if name == "READY" and not ready:
                    ready, pinged_at = True, now
                    self.tell("ready")
                if name == "WATCHDOG":
                    pinged_at = now
                if name == "EXTEND_TIMEOUT_USEC":
                    start_by = max(start_by, now + int(value) / 1e6)
                    stop_by = max(stop_by, now + int(value) / 1e6) if asked else stop_by
            if self.stopping and not asked:
                asked, stop_by = True, now + unit.span("TimeoutStopSec", 90)
                process.terminate()
            if (not ready and now > start_by) or now > stop_by:
                return self._ended(process, "timeout", signal.SIGKILL)
            if ready and watchdog_s and now - pinged_at > watchdog_s and not asked:
                return self._ended(process, "watchdog", signal.SIGABRT)
            time.sleep(_TICK_S)
        ready = ready or any(name == "READY" for name, _ in self._heard())
        # A service of Type=notify that leaves before it was ready has failed, whatever its code.
        return "protocol" if not ready and process.returncode == 0 and not asked else ""

    def _ended(self, process: subprocess.Popen[bytes], result: str, number: int) -> str:
        process.send_signal(number)
        process.wait(timeout=20)
        return result

    def _heard(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in self._socket.recv(65536).decode().splitlines():
                    name, _, value = line.partition("=")
                    found.append((name, value))
        return found

    def _kill_the_rest(self) -> None:
        """KillMode=mixed: what outlives the main process is killed at once."""
        rest = psutil.Process().children(recursive=True)
        if alive := [child for child in rest if child.status() != psutil.STATUS_ZOMBIE]:
            self.tell("killed", pids=[child.pid for child in alive])
        for child in alive:
            child.kill()
        psutil.wait_procs(rest, timeout=10)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _sleep(self, length_s: float) -> None:
        deadline = time.monotonic() + length_s
        while time.monotonic() < deadline and not self.stopping:
            time.sleep(_TICK_S)


def main() -> int:
    """Run the named unit."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("unit", type=Path)
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    chosen = options.parse_args()
    instead = dict(text.split("=", 1) for text in chosen.set)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    service = Service(Unit(chosen.unit, instead))

    def stop(*_words: object) -> None:
        service.stopping = True

    signal.signal(signal.SIGTERM, stop)
    return service.run()


if __name__ == "__main__":
    sys.exit(main())
