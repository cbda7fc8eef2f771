"""The runbook's statements, typed as they stand in it, before, during and after a run."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

BY_STATUS = "SELECT status, count() AS wallets FROM wallet_backfill_plan GROUP BY status"
PENDING = "SELECT count() FROM wallet_backfill_plan WHERE status = 'pending'"
ERRORS = (
    "SELECT wallet_address, error_message, last_run_at FROM wallet_backfill_plan "
    "WHERE status = 'error' ORDER BY last_run_at DESC"
)
RESET_STUCK = (
    "ALTER TABLE wallet_backfill_plan UPDATE status = 'pending' WHERE status = 'in_progress'"
)
PER_DAY = (
    "SELECT toDate(ingested_at) AS day, count() AS trades, uniqExact(wallet_address) AS wallets "
    "FROM external_trades_raw GROUP BY day ORDER BY day DESC LIMIT 7"
)
DISTINCT = (
    "SELECT count(DISTINCT wallet_address) AS wallets, count(DISTINCT condition_id) AS markets "
    "FROM external_trades_raw"
)
LAST_TEN = "SELECT * FROM external_trades_raw ORDER BY ingested_at DESC LIMIT 10"
DUPLICATES = (
    "SELECT external_trade_id, count() AS cnt FROM external_trades_raw "
    "GROUP BY external_trade_id HAVING cnt > 1"
)


def _plan_all(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    desk.plan_keys(*sandbox.wallets, *sandbox.conditions)


@pytest.fixture(scope="module")
def done(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """A finished run of every wallet and condition."""
    shared_sandbox.reset()
    made = new_desk()
    _plan_all(made, shared_sandbox)
    made.call("run", "conditions", "wallets")
    return made


@pytest.fixture
def killed(new_desk: NewDesk, sandbox: harness.Sandbox) -> desks.Desk:
    """A run that was killed while the plan shows wallets in progress."""
    made = new_desk(workers=3, plan_refresh_s=0.2)
    _plan_all(made, sandbox)
    sandbox.faults({"kind": "429_json", "route": "data", "after": 30, "retry_after_s": 60})
    daemon = made.start("run", "wallets")
    harness.until(lambda: sandbox.fired()["429_json"], "the pause")

    def waits() -> bool:
        statuses = made.statuses()
        return statuses.get("in_progress", 0) == 3 and statuses.get("done", 0) > 5

    harness.until(waits, "three wallets at work, some done")
    daemon.kill()
    sandbox.reset()
    return made


def test_statements_before_the_first_run(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    _plan_all(desk, sandbox)
    assert desk.sql(BY_STATUS) == [{"status": "pending", "wallets": len(sandbox.wallets)}]
    assert desk.value(PENDING) == len(sandbox.wallets)
    for nothing in (ERRORS, PER_DAY, LAST_TEN, DUPLICATES):
        assert desk.sql(nothing) == []
    assert desk.sql(DISTINCT) == [{"wallets": 0, "markets": 0}]


def test_errors_are_listed_and_set_back(done: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    failing = shared_sandbox.wallets[3:5]
    done.call("plan", "reset", "--wallet", ",".join(failing))
    shared_sandbox.faults(
        *({"kind": "400", "route": "activity", "match": wallet} for wallet in failing)
    )
    done.call("run", code=errors.EXIT_UNITS_IN_ERROR)
    shared_sandbox.reset()
    listed = done.sql(ERRORS)
    assert sorted(row["wallet_address"] for row in listed) == sorted(desks.bare(failing))
    assert all("400" in row["error_message"] for row in listed)
    moments = [row["last_run_at"] for row in listed]
    assert moments == sorted(moments, reverse=True)
    assert None not in moments
    statuses = {row["status"]: row["wallets"] for row in done.sql(BY_STATUS)}
    assert statuses == {"done": len(shared_sandbox.wallets) - 2, "error": 2}
    assert done.value(PENDING) == 0
    done.call("plan", "reset", "--errors")
    assert done.value(PENDING) == 2
    done.call("run", "conditions", "wallets")
    assert done.sql(ERRORS) == []
    assert done.sql(BY_STATUS) == [{"status": "done", "wallets": len(shared_sandbox.wallets)}]
    done.prove(shared_sandbox)


def test_the_morning_questions(done: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    truth = shared_sandbox.truth()["trades"]
    days = done.sql(PER_DAY)
    assert sum(day["trades"] for day in days) == truth["rows"]
    today = dt.datetime.now(dt.UTC).date()
    assert {day["day"] for day in days} <= {str(today), str(today - dt.timedelta(days=1))}
    assert done.sql(DISTINCT) == [{"wallets": truth["wallets"], "markets": truth["conditions"]}]
    newest = done.sql(LAST_TEN)
    assert len(newest) == 10
    latest = done.value("SELECT max(ingested_at) FROM external_trades_raw")
    assert newest[0]["ingested_at"] == latest
    assert done.sql(DUPLICATES) == []


@pytest.mark.parametrize("order_by", ["", "ORDER BY tuple() "])
def test_a_backup_holds_every_row(order_by: str, done: desks.Desk) -> None:
    name = "external_trades_backup" + ("_ordered" if order_by else "")
    done.call(
        "sql",
        f"CREATE TABLE {name} ENGINE = MergeTree {order_by}AS SELECT * FROM external_trades_raw",
    )
    difference = done.value(
        f"SELECT count() FROM (SELECT * FROM {name} EXCEPT SELECT * FROM external_trades_raw)"
    )
    assert difference == 0
    counts = [done.value(f"SELECT count() FROM {table}") for table in (name, "external_trades_raw")]
    assert counts[0] == counts[1] > 0


def test_truncate_reset_and_rebuild(done: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    before, ids = done.state(), done.ids()
    done.call("sql", "TRUNCATE TABLE external_trades_raw")
    assert done.value("SELECT count() FROM external_trades_raw") == 0
    told = done.call("plan", "reset", "--all").out
    assert f"wallets: {len(shared_sandbox.wallets)} set back to pending" in told
    assert done.value(PENDING) == len(shared_sandbox.wallets)
    done.call("run", "conditions", "wallets")
    assert done.state() == before
    assert done.ids() == ids
    assert done.sql(DUPLICATES) == []


def test_one_wallet_set_back_by_hand_is_fetched_again(
    done: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    wallet = shared_sandbox.wallets[1]
    before = done.plan_of()[wallet[2:]]
    ids = done.ids()
    done.call(
        "sql",
        "ALTER TABLE wallet_backfill_plan UPDATE status = 'pending' "
        f"WHERE wallet_address = '{wallet[2:]}'",
    )
    done.call(
        "sql", f"ALTER TABLE external_trades_raw DELETE WHERE wallet_address = '{wallet[2:]}'"
    )
    assert len(done.ids()) < len(ids)
    shared_sandbox.reset()
    done.call("run", "conditions", "wallets")
    assert set(shared_sandbox.asked()) == {"activity"}, "no condition is asked for again"
    after = done.plan_of()[wallet[2:]]
    assert after["status"] == "done"
    assert after["last_run_at"] >= before["last_run_at"]
    assert done.ids() == ids


def test_stuck_wallets_set_back_by_hand_are_taken_by_the_next_run(
    killed: desks.Desk, sandbox: harness.Sandbox
) -> None:
    before = killed.statuses()
    assert before["in_progress"] == 3
    killed.call("sql", RESET_STUCK)
    after = killed.statuses()
    assert after == {"pending": before["pending"] + 3, "done": before["done"]}
    killed.call("run", "wallets")
    assert killed.statuses() == {"done": len(sandbox.wallets)}
    killed.prove(sandbox, conditions=[])


def test_stuck_wallets_need_no_hand(killed: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 001, recovery: scenario A needs no manual SQL. Seed 001, worker: stuck in_progress
    recovered.
    """
    killed.call("run", "wallets")
    assert killed.statuses() == {"done": len(sandbox.wallets)}
    killed.prove(sandbox, conditions=[])


def test_statements_answer_while_a_run_is_going_on(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    desk = new_desk(workers=3, plan_refresh_s=0.2)
    _plan_all(desk, sandbox)
    sandbox.faults(
        {"kind": "429_json", "route": "data", "after": 40, "count": 1, "retry_after_s": 3}
    )
    daemon = desk.start("run", "conditions", "wallets")
    harness.until(lambda: sandbox.fired()["429_json"], "the middle of the run")
    seen: list[dict[str, Any]] = []
    for statement in (BY_STATUS, PENDING, ERRORS, PER_DAY, DISTINCT, LAST_TEN, DUPLICATES):
        seen += [{"of": statement, **row} for row in desk.sql(statement)]
    assert daemon.running, "all statements were answered beside it"
    assert not [row for row in seen if row["of"] in (ERRORS, DUPLICATES)]
    per_day = [row for row in seen if row["of"] == PER_DAY]
    assert per_day
    assert per_day[0]["trades"] > 0
    ended = daemon.end()
    ended.expect(0)
    desk.prove(sandbox)
