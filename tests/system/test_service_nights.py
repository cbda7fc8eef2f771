"""An installed service starts the main job, outlives what nights bring, and ends finished.

There is no init system here: `unit_runner.py` reads the installed unit and obeys it. The waits of a
night are shortened: a minute between restarts to a second, the bound of no progress to five.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness, real_server

from polybackfill import errors

RUNNER = Path(__file__).with_name("unit_runner.py")
PROGRAM = str(Path(sys.executable).with_name("polybackfill"))
SHORT = ("RestartSec=1s", "TimeoutStartSec=60s", "WatchdogSec=30s")
OUTAGE = {"kind": "503", "route": "*"}


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


class Night:
    """The installed unit at work, and what its manager saw."""

    def __init__(self, unit: Path, folder: Path, *instead: str) -> None:
        self._events, self._said = folder / "events.jsonl", folder / "journal.txt"
        command = [sys.executable, str(RUNNER), str(unit)]
        for text in (*SHORT, *instead):
            command += ["--set", text]
        with self._events.open("wb") as events, self._said.open("wb") as said:
            environment = {"PATH": os.environ["PATH"]}  # settings come by the unit alone
            self.process = subprocess.Popen(command, stdout=events, stderr=said, env=environment)

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What happened so far."""
        found = [json.loads(line) for line in self._events.read_text().splitlines()]
        return [event for event in found if name in (None, event["event"])]

    def codes(self) -> list[int]:
        """Exit codes of the starts that ended."""
        return [event["code"] for event in self.events("ended")]

    def journal(self) -> str:
        """What the program wrote."""
        return self._said.read_text(errors="replace")

    def end(self, within_s: float = 90.0) -> int:
        """Wait until the service is inactive; 0 unless it failed."""
        try:
            return self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.events()}\n{self.journal()[-4000:]}") from None

    def stop(self) -> int:
        """`systemctl stop`"""
        self.process.terminate()
        return self.end()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    """Slow enough that a night is not over before something happens to it."""
    with harness.sandbox(trades=2_500, wallets=40, markets=40, latency_ms=30) as running:
        yield running


@pytest.fixture
def night(
    ground: harness.Ground, sandbox: harness.Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Installs the service for the ground's settings; starts it."""
    started: list[Night] = []
    home = tmp_path_factory.mktemp("home")
    ground.environment["XDG_CONFIG_HOME"] = str(home)
    for name in ("DATA", "CHECKPOINT"):
        del ground.environment[f"BACKFILL_{name}_DIR"]

    def install(*instead: str) -> Night:
        folder = ground.folder / "a folder of its own"
        command = [PROGRAM, "service", "install", "--user", "--folder", str(folder)]
        subprocess.run(command, env=ground.environment, check=True, capture_output=True)
        ground.set(data_dir=folder / "data", checkpoint_dir=folder / "checkpoints")
        unit = home / "systemd/user/polybackfill.service"
        started.append(Night(unit, tmp_path_factory.mktemp("night"), *instead))
        return started[-1]

    yield install
    for one in started:
        if one.process.poll() is None:
            one.stop()
    sandbox.reset()


def _prove(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    data = ground.environment["BACKFILL_DATA_DIR"]
    assert json.loads((Path(data) / "status/main.json").read_text())["state"] == "finished"
    truth = sandbox.ask("truth")["trades"]
    (stored,) = [row for row in ground.sql(harness.STATE) if row["name"] == "trades"]
    assert (stored["rows"], stored["digest"]) == (truth["rows"], truth["digest"])


def test_a_store_that_comes_late_and_an_outage_of_the_api(
    ground: harness.Ground,
    sandbox: harness.Sandbox,
    night: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Five minutes of refused connections at boot, more starts than systemd's limit allows; then 40
    minutes without an answer, with a bound of 30: ends with 75, comes back, and finishes.
    """
    folder = tmp_path_factory.mktemp("server")
    with real_server.running(folder) as server:
        ground.use_server(server.port, server.database("night"))
    ground.set(no_progress_s=3)
    service = night("RestartSec=200ms")
    harness.until(lambda: len(service.events("ended")) > 5, "more ends than five", 60)
    assert set(service.codes()) == {errors.EXIT_UNAVAILABLE}
    with real_server.running(folder, listening=real_server.Listening(port=server.port)):
        harness.until(lambda: sandbox.pages() > 20, "trades being fetched", 60)
        sandbox.faults(OUTAGE)
        late = len(service.events("ended"))
        harness.until(lambda: len(service.events("ended")) >= late + 2, "two ends of no progress")
        sandbox.faults()
        assert service.end() == 0
        *before, last = service.codes()
        assert (set(before), last) == ({errors.EXIT_UNAVAILABLE}, 0)
        assert service.events("inactive") != []
        _prove(ground, sandbox)


@pytest.mark.long
def test_an_outage_with_a_store_of_its_own(
    ground: harness.Ground, sandbox: harness.Sandbox, night: Any
) -> None:
    ground.set(no_progress_s=3)
    service = night()
    harness.until(lambda: sandbox.pages() > 20, "trades being fetched", 60)
    sandbox.faults(OUTAGE)
    harness.until(lambda: service.events("ended") != [], "an end without progress", 60)
    sandbox.faults()
    assert service.end() == 0
    assert (service.codes()[0], service.codes()[-1]) == (errors.EXIT_UNAVAILABLE, 0)
    assert service.events("killed") == [], "the store's child ends before the daemon"
    _prove(ground, sandbox)


@pytest.mark.long
def test_a_store_that_goes_away_for_longer_than_the_bound(
    ground: harness.Ground,
    sandbox: harness.Sandbox,
    night: Any,
    clickhouse_server: real_server.Server,
) -> None:
    server = clickhouse_server
    ground.use_server(server.port, server.database("night"))
    ground.set(no_progress_s=3)
    service = night()
    harness.until(lambda: sandbox.pages() > 20, "trades being fetched", 60)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        harness.until(lambda: len(service.events("started")) > 1, "an end and a start", 60)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert service.end() == 0
    assert set(service.codes()) == {errors.EXIT_UNAVAILABLE, 0}
    _prove(ground, sandbox)


@pytest.mark.long
def test_killed_again_and_again_and_what_waits_for_a_person(
    ground: harness.Ground, sandbox: harness.Sandbox, night: Any
) -> None:
    service = night("RestartSec=100ms")
    for number in range(1, 7):
        harness.until(lambda n=number: len(service.events("started")) >= n, "the next start")
        os.kill(service.events("started")[-1]["pid"], signal.SIGKILL)
    assert service.end() == 0
    assert service.codes() == [signal.SIGKILL] * 6 + [0]
    _prove(ground, sandbox)
    (Path(ground.environment["BACKFILL_DATA_DIR"]).parent / ".env").write_text("BACKFILL_SHARE=9\n")
    service = night()
    assert service.end() == 1
    assert service.codes() == [errors.EXIT_CONFIG], "started once, and not again"
    assert "BACKFILL_SHARE = '9'" in service.journal()
