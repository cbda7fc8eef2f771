"""The runbook's statements, typed as they stand in it, before, during and after a run."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

PAGE = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"
BY_STATUS = "SELECT status, count() AS wallets FROM wallet_backfill_plan GROUP BY status"
PENDING = "SELECT count() FROM wallet_backfill_plan WHERE status = 'pending'"
ERRORS = (
    "SELECT wallet_address, error_message, last_run_at FROM wallet_backfill_plan "
    "WHERE status = 'error' ORDER BY last_run_at DESC"
)
RESETS_OF_STUCK = {
    "alter": "ALTER TABLE wallet_backfill_plan UPDATE status = 'pending' "
    "WHERE status = 'in_progress'",
    "update": "-- Reset wallets stuck in 'in_progress'\nUPDATE wallet_backfill_plan\n"
    "SET status = 'pending', error_message = ''\nWHERE status = 'in_progress';",
}
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


@pytest.mark.long
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
    # The wallet by its status, and its markets because rows that their receipts count are missing.
    assert "activity" in shared_sandbox.asked()
    after = done.plan_of()[wallet[2:]]
    assert after["status"] == "done"
    assert after["last_run_at"] >= before["last_run_at"]
    assert done.ids() == ids


@pytest.mark.parametrize("reset", RESETS_OF_STUCK.values(), ids=RESETS_OF_STUCK)
def test_stuck_wallets_set_back_by_hand_are_taken_by_the_next_run(
    reset: str, killed: desks.Desk, sandbox: harness.Sandbox
) -> None:
    before = killed.statuses()
    assert before["in_progress"] == 3
    killed.call("sql", reset)
    after = killed.statuses()
    assert after == {"pending": before["pending"] + 3, "done": before["done"]}
    killed.call("run", "wallets")
    assert killed.statuses() == {"done": len(sandbox.wallets)}
    killed.prove(sandbox, conditions=[])


@pytest.mark.long
def test_stuck_wallets_need_no_hand(killed: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 001, recovery: scenario A needs no manual SQL. Seed 001, worker: stuck in_progress
    recovered.
    """
    killed.call("run", "wallets")
    assert killed.statuses() == {"done": len(sandbox.wallets)}
    killed.prove(sandbox, conditions=[])


@pytest.mark.long
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


def _page() -> Iterator[tuple[str, str]]:
    """The commands (`text`) and statements (`sql`) of docs/runbook.md, as they stand in it."""
    language, block = "", []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if language == "sql":
                yield "sql", "\n".join(block)
            language, block = ("" if language else line[3:]), []
        elif language == "sql":
            block.append(line)
        elif language == "text":
            yield "text", line
        elif line.startswith("| ") and not line.startswith("| runbook "):
            for command in re.findall(r"`([^`]+)`", line.rsplit(" | ", 1)[1]):
                yield "text", command


def _execute(desk: desks.Desk, command: str) -> str:
    """Type a command of the page; what it says. Its pauses are a thousandth of what is written."""
    words = shlex.split(re.sub(r"^(?:nohup|watch -n 10) | > .*$", "", command))
    if words[0] == "cat" or words[0].startswith("data/"):
        return (desk.folder / words[-1]).read_text()
    if words[0] != "polybackfill":
        return ""
    if "--sleep-ms" in words:
        place = words.index("--sleep-ms") + 1
        words[place] = str(int(words[place]) // 1000)
    ended = desk.call(*words[1:], code=None, within_s=120)
    assert ended.code == 0, f"{command}: exit {ended.code}\n{ended.out}\n{ended.err}"
    return ended.out


@pytest.mark.timeout(300)
def test_every_line_of_the_page_works_in_the_order_of_the_page(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    """The runbook's commands and statements, translated: nothing is refused, nothing is lost."""
    desk = new_desk()
    desk.move_out()
    desk.set(run_name="main")
    desk.environment["AUTONOMOUS_TRADING_ENABLED"] = "true"
    amounts = ", ".join(
        f"('{wallet[2:]}', {1000 - rank})" for rank, wallet in enumerate(sandbox.wallets)
    )
    for table, columns in (
        ("pm_trades", "wallet_address, collateral_amount"),
        ("vw_trades_canonical", "wallet_address, usd_value"),
    ):
        desk.call("sql", f"INSERT INTO {table} ({columns}) VALUES {amounts}")
    at_hand = {"WALLET": sandbox.wallets[0], "CONDITION": sandbox.conditions[0]}
    told: dict[str, str] = {}
    for language, text in _page():
        if language == "sql":
            told[text] = desk.call("sql", text).out
        else:
            for name, key in at_hand.items():
                text = text.replace(name, key)  # noqa: PLW2901
            told[text] = _execute(desk, text)
    assert len(told) > 50

    tables = next(said for text, said in told.items() if "system.tables" in text)
    assert tables.split() == [
        "name", "external_trades_raw", "pm_trades_with_external", "wallet_backfill_plan",
    ]  # fmt: skip
    assert "proven complete" in told["cat data/EXTERNAL_COVERAGE_STATUS.md"].lower()
    several = next(said for text, said in told.items() if "-- Error wallets" in text)
    assert len(several.splitlines()) == 4 * 2 + 11 + 1, "a header for each"
    assert desk.statuses() == {"done": len(sandbox.wallets)}
    backed_up = "SELECT external_trade_id FROM external_trades_raw_backup"
    assert desk.sql(f"{backed_up} EXCEPT SELECT external_trade_id FROM external_trades_raw") == []
    assert desk.sql(DUPLICATES) == []
    truth = sandbox.truth()["trades"]
    stored = desk.state()["trades"]
    assert (stored["rows"], stored["digest"]) == (truth["rows"], truth["digest"])


def test_ten_by_ten_through_a_window_and_through_another(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    """`--limit 10` with --since and --until takes the next ten, again and again."""
    desk = new_desk()
    wallets = desks.bare(sandbox.wallets[:25])
    desk.plan_keys(*wallets)
    windows = (("2022-01-01", "2024-12-31"), ("2025-01-01", "2026-12-31"))
    for since, until in windows:
        taken = []
        for _ in range(3):
            words = ("run", "wallets", "--limit", 10, "--since", since, "--until", until)
            assert desk.json(*words)["exit_code"] == 0
            receipts = desk.json("check", "receipts", "wallets", "--limit", 1000)["receipts"]
            first = int(dt.datetime.fromisoformat(f"{since}T00:00:00+00:00").timestamp())
            mine = [one for one in receipts if one["window"][0] == first]
            seen = [one["keys"][0][2:] for one in mine]
            taken.append(seen)
        assert [len(seen) for seen in taken] == [10, 20, 25]
        assert sorted(taken[-1]) == sorted(wallets)
    assert "nothing to do" in desk.call(*words).out
    assert desk.statuses() == {"pending": 25}, "a window proves no whole history"
    desk.call("run", "wallets", "--skip", 20, "--limit", 10)
    assert [row["status"] for row in desk.plan_of().values()] == ["pending"] * 20 + ["done"] * 5


def test_statuses_set_by_hand_are_what_the_next_run_goes_by(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    """Wallets and conditions, done, in error or to skip; pending also for what is typed."""
    desk = new_desk()
    wallets, conditions = desks.bare(sandbox.wallets[:4]), desks.bare(sandbox.conditions[:2])
    desk.plan_keys(*wallets, *conditions)
    for status, wallet in zip(("done", "error", "skip"), wallets, strict=False):
        desk.call(
            "sql",
            f"UPDATE wallet_backfill_plan SET status = '{status}', error_message = 'by hand' "
            f"WHERE wallet_address = '{wallet}'",
        )
    desk.call("run", "wallets", "conditions", code=None)
    assert [desk.plan_of()[key]["status"] for key in wallets] == ["done", "error", "skip", "done"]
    assert sandbox.asked() == {"activity": 1, "trades": sandbox.asked()["trades"]}
    receipts = desk.json("check", "receipts", "wallets")["receipts"]
    assert [one["keys"] for one in receipts] == [[f"0x{wallets[3]}"]]

    sandbox.reset()
    assert desk.json("run", "--wallet", wallets[3])["parts"]["wallets"]["units"] == 1
    assert sandbox.asked() == {}, "it is done already"
    for table, key, column in (
        ("wallet", wallets[3], "wallet_address"),
        ("condition", conditions[1], "condition_id"),
    ):
        desk.call(
            "sql",
            f"UPDATE {table}_backfill_plan SET status = 'pending' WHERE {column} = '{key}'",
        )
    desk.call("run", "--wallet", wallets[3], "--condition-id", conditions[1])
    assert set(sandbox.asked()) == {"activity", "trades"}, "both are fetched again"
    assert desk.plan_of()[wallets[3]]["status"] == "done"
    assert {row["status"] for row in desk.plan_of("condition").values()} == {"done"}
