"""`run --follow` on a Polymarket that grows: what is new is stored, whatever happens meanwhile."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.system import receiver

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.polymarket import time_window

KIND = "recent-trades"
GROW_S = 10
LATE_S = 22
LATE_ROWS = 25
# The lag that the sandbox's status route names, a window's period and what a loaded machine takes.
SETTINGS: dict[str, object] = {"follow_window_s": 1, "follow_round_s": 10, "follow_lists_s": 25}


def following(ground: harness.Ground) -> dict[str, Any] | None:
    """How fresh the run says that it is."""
    picture = ground.status()
    followed: dict[str, Any] | None = picture and picture.get("following")
    return followed


def wait_for_truth(ground: harness.Ground, sandbox: harness.Sandbox, within_s: float) -> None:
    """Until every table holds what there is, and nothing is open but what is read again."""
    seen: dict[str, Any] = {}

    def is_equal() -> bool:
        seen.update(stored=ground.tables(), truth=harness.true_tables(sandbox))
        return bool(seen["stored"] == seen["truth"])

    try:
        harness.until(is_equal, "all tables to equal the truth", within_s, every_s=2)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from error


def leave_gap(ground: harness.Ground, began: int) -> None:
    """As if it had followed for an hour two months before, and been away since."""
    window = time_window.TimeWindow(began - 5_184_000, began - 5_180_400)
    unit = units.Unit(KIND, (window.key,))
    checkpoint = run_checkpoint.Checkpoint.open(ground.checkpoint)
    try:
        checkpoint.finish(unit.id, checkpoint.begin(unit))
    finally:
        checkpoint.close()
    assert "1 gap" in ground.run("check", "progress").out


@pytest.mark.timeout(300)
def test_what_is_new_is_stored_and_what_is_late(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """A kill in the middle, and a stop at the end, that leaves a morning report. A good day calls
    the dead-man switch.
    """
    began = int(time.time())
    with (
        receiver.receiving() as switch,
        harness.sandbox(trades=6_500, now=began, grow_s=GROW_S, late_rows=LATE_ROWS) as sandbox,
        harness.ground(
            tmp_path,
            sandbox.url,
            prepared=prepared,
            reports="true",
            ping_url=f"{switch.url}/good",
            **SETTINGS,
        ) as ground,
    ):
        daemon = ground.start("run", "--follow")
        harness.until(lambda: following(ground), "the first window", 100)
        harness.until(lambda: switch.pings, "the call of a good day", 60)
        assert set(switch.pings) == {"/good"}
        before = harness.true_tables(sandbox)
        sandbox.ask("grow", {})
        harness.until(lambda: ground.tables() != before, "something new", 60, every_s=0.5)
        daemon.kill()
        leave_gap(ground, began)
        daemon = ground.start("run", "--follow")
        end = time.time() + GROW_S + LATE_S
        harness.until(lambda: time.time() > end, "the universe to stand", 60, every_s=0.5)
        assert all(new[0] > before[name][0] for name, new in harness.true_tables(sandbox).items())
        harness.until(lambda: following(ground), "the first window again", 100)
        wait_for_truth(ground, sandbox, 100)
        assert ground.duplicates() == 0
        harness.until(lambda: (following(ground) or {}).get("gaps") == [], "the end of the gap", 30)
        assert "following: fresh to" in ground.run("status").out
        daemon.signal(signal.SIGTERM)
        ended = daemon.end(60)
        ended.expect(0)
        assert "followed up to" in ended.out
        assert "the night on one page" in ended.out
        report = json.loads((ground.data / "MORNING_REPORT.json").read_bytes())
        assert report["state"] == "stopped"
        assert "It followed up to" in report["lead"]
        assert "followed up to" in ground.run("check", "progress").out
        assert not report["errors"]
