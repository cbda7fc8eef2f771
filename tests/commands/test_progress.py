"""`check progress` before, during and after a run."""

from __future__ import annotations

import json
import time

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk


def planned(desk: desks.Desk, sandbox: harness.Sandbox) -> dict[str, int]:
    """A plan that knows how many trades each condition has; the counts by key."""
    ranked = sandbox.ask("conditions?top=1000000&by=rows")
    rows = {row["condition_id"]: row["rows"] for row in ranked if row["rows"]}
    desk.call(
        "plan",
        "build",
        "--from",
        desk.file("plan.txt", [f"{key},{count},1" for key, count in rows.items()]),
    )
    return rows


def test_nothing_is_planned_yet(desk: desks.Desk) -> None:
    desk.call("init")
    found = desk.json("check", "progress")
    assert found["parts"] == {}
    assert found["running"] is False
    assert "nothing planned yet" in desk.call("check", "progress").out


def test_before_a_run_the_limits_say_how_long(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 004, check-progress: percentages, counts, and an ETA before the first request."""
    rows = planned(desk, sandbox)
    part = desk.json("check", "progress")["parts"]["conditions"]
    assert (part["done"], part["pending"], part["keys"]) == (0, len(rows), len(rows))
    assert part["share"] == 0
    assert part["trades_expected"] == sum(rows.values())
    assert 0 < part["eta_s"] < 5


def test_shares_are_weighted_by_trades(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 004, check-progress: projected coverage in trades, not in conditions."""
    rows = planned(desk, sandbox)
    desk.call("run", "conditions", "--limit", "3")
    largest = sorted(rows.values(), reverse=True)[:3]
    found = desk.json("check", "progress")
    part = found["parts"]["conditions"]
    assert part["done"] == 3
    assert part["share"] == pytest.approx(3 / len(rows))
    assert found["trade_coverage"]["now"] == pytest.approx(sum(largest) / sum(rows.values()))
    assert found["trade_coverage"]["projected"] == 1
    assert found["trade_coverage"]["now"] > part["share"]
    said = desk.call("check", "progress").out
    assert "finished conditions hold" in said
    assert "of the expected trades, 100 %" in said, "weights of the plan, no count of rows"


def test_what_is_in_error_is_not_projected(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 004, check-progress: success and failure counts."""
    rows = planned(desk, sandbox)
    desk.sql(
        "ALTER TABLE condition_backfill_plan UPDATE status = 'error' WHERE priority_rank = 1 "
        "SETTINGS mutations_sync = 2"
    )
    found = desk.json("check", "progress")
    assert found["parts"]["conditions"]["error"] == 1
    first = next(iter(rows.values()))
    assert found["trade_coverage"]["projected"] == pytest.approx(1 - first / sum(rows.values()))


def test_after_completion(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 004, check-progress: works after completion."""
    rows = planned(desk, sandbox)
    desk.call("run", "conditions")
    found = desk.json("check", "progress")
    part = found["parts"]["conditions"]
    assert (part["done"], part["share"], part["eta_s"]) == (len(rows), 1, 0)
    assert found["trade_coverage"] == {"part": "conditions", "now": 1, "projected": 1}
    assert found["eta_s"] == 0
    assert desk.call("check", "progress").out.endswith("complete\n")


@pytest.mark.long
def test_mid_run_the_eta_is_near_the_truth(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    """Seed 004, check-progress: ETA within 20 % of truth on a simulated run with 5 workers; works
    mid-run.
    """
    limits = '{"/v2/activity": 60, "/v2/trades": 1000000, "/v2/*": 1000000}'
    desk = new_desk(workers=5, limits=limits, plan_refresh_s=0.5)
    ranked = sandbox.ask("wallets?top=1000000&by=rows")
    desk.plan_keys(*(f"{row['wallet']},{row['all_rows']},1" for row in ranked))
    daemon = desk.start("run", "wallets")
    done = lambda: desk.json("check", "progress")["parts"]["wallets"]["done"]  # noqa: E731
    harness.until(lambda: done() >= len(sandbox.wallets) // 4, "a quarter", within_s=60)
    found = desk.json("check", "progress")
    told_at = time.time() - found["seen_s_ago"]  # the picture is up to a second old
    part = found["parts"]["wallets"]
    assert found["running"] is True
    assert 0 < part["share"] < 1
    assert part["oldest_progress_s"] is None or part["oldest_progress_s"] < 30
    assert found["requests_per_s"] > 0
    daemon.end().expect(0)
    ended_at = json.loads((desk.data / "status" / f"{desk.run_name}.json").read_bytes())["now"]
    # What is fetched and not acknowledged yet counts as left: a second or so of so short a run.
    assert part["eta_s"] == pytest.approx(ended_at - told_at, rel=0.2, abs=1.5)
