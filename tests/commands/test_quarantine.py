"""Rows that make no sense: kept raw with reason and request, tried again, never counted twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk


def _spoil(sandbox: harness.Sandbox) -> None:
    """One more row, damaged in one of four ways, on each of the first four pages."""
    sandbox.faults({"kind": "bad_row", "route": "activity", "count": 4})


@pytest.fixture
def spoiled(new_desk: NewDesk, sandbox: harness.Sandbox) -> desks.Desk:
    """A run of five wallets that met four bad rows."""
    made = new_desk(workers=1)
    made.plan_keys(*sandbox.wallets[3:8])
    _spoil(sandbox)
    made.call("run", "wallets", code=errors.EXIT_UNITS_IN_ERROR)
    assert sandbox.fired()["bad_row"] == 4
    sandbox.faults()
    return made


def test_bad_rows_are_listed_and_the_good_ones_stored(
    spoiled: desks.Desk, sandbox: harness.Sandbox
) -> None:
    spoiled.prove(sandbox, sandbox.wallets[3:8], [])
    assert spoiled.statuses() == {"done": 5}
    report = spoiled.json("quarantine", "list")
    assert sum(row["rows"] for row in report["by_reason"]) == 4
    assert len(report["newest"]) == 4
    wallets = "|".join(sandbox.wallets[3:8])
    for row in report["newest"]:
        assert row["reason"]
        assert f"{sandbox.url}/data/v2/activity?user=0x" in row["request"]
        assert row["request"].split("user=")[1].split("&")[0] in wallets
        assert row["unit"].startswith("wallets:")
        raw = json.loads(row["raw"])
        damaged = [
            raw.get("size") == "many",
            "transaction_hash" not in raw,
            raw.get("timestamp") == "yesterday",
            raw.get("token_id") == {"not": "text"},
        ]
        assert damaged.count(True) == 1
    receipts = spoiled.json("check", "receipts", "wallets")["receipts"]
    assert sum(one["rejected"] for one in receipts) == 4
    text = spoiled.call("quarantine", "list").out
    assert all(row["request"] in text for row in report["newest"])
    assert len(spoiled.json("quarantine", "list", "--limit", 2)["newest"]) == 2
    spoiled.call("quarantine", "list", "--limit", 0, code=errors.EXIT_CONFIG)


def test_the_end_of_the_run_says_so(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    _spoil(sandbox)
    told = desk.call("run", "--wallet", sandbox.wallets[4], code=errors.EXIT_UNITS_IN_ERROR).out
    assert "1 row set aside, not proven: polybackfill quarantine list" in told
    assert "complete but for 1 row set aside" in told
    again = desk.call("run", "--wallet", sandbox.wallets[4]).out
    assert "complete but for 1 row set aside" in again, "what is not fetched again is not proven"
    sandbox.faults()
    other = desk.call("run", "--wallet", sandbox.wallets[7]).out
    assert "1 of 1 proven complete" in other, "another wallet's row is no fault of this one"
    found = desk.json("validate", "--only", "set-aside", code=errors.EXIT_UNITS_IN_ERROR)
    assert found["checks"][0]["evidence"]["rows_set_aside"] == 1


def test_what_an_earlier_run_set_aside_is_not_proven_by_a_later_one(spoiled: desks.Desk) -> None:
    """Nothing is fetched again, so only the store can tell."""
    told = spoiled.call("run", "wallets").out
    assert "complete but for 4 rows set aside" in told
    assert "4 rows set aside as by earlier runs, not proven" in told
    assert "proven complete" not in told
    assert "complete but for 4 rows set aside" in spoiled.call("status").out


def test_the_same_bad_row_is_set_aside_once(spoiled: desks.Desk, sandbox: harness.Sandbox) -> None:
    """It is told each time; only the first run ends with 3, or every later one would."""
    before = spoiled.sql("SELECT quarantine_id, raw FROM quarantine ORDER BY quarantine_id")
    spoiled.call("plan", "reset", "--all")
    _spoil(sandbox)
    told = spoiled.call("run", "wallets").out
    assert "4 rows set aside as by earlier runs, not proven" in told
    after = spoiled.sql("SELECT quarantine_id, raw FROM quarantine ORDER BY quarantine_id")
    assert after == before
    assert len(before) == 4


def test_a_replay_leaves_what_is_still_not_understood(spoiled: desks.Desk) -> None:
    before = spoiled.state()
    report = spoiled.json("quarantine", "replay", code=errors.EXIT_UNITS_IN_ERROR)
    assert report == {"understood": 0, "left": 4}
    assert spoiled.state() == before
    told = spoiled.call("quarantine", "replay", code=errors.EXIT_UNITS_IN_ERROR).out
    assert "4 left" in told


def test_nothing_is_set_aside(desk: desks.Desk) -> None:
    assert desk.json("quarantine", "list") == {"by_reason": [], "newest": []}
    assert "nothing is set aside" in desk.call("quarantine", "list").out
    assert desk.json("quarantine", "replay") == {"understood": 0, "left": 0}


def _set_aside(desk: desks.Desk, rows: list[dict[str, Any]], request: str) -> None:
    """Rows of an answer as an older version would have left them."""
    lines = [
        json.dumps(
            {
                "quarantine_id": f"{request}-{number}",
                "reason": "not understood by an older version",
                "request": request,
                "raw": json.dumps(row),
                "unit": "wallets:x",
                "rejected_at": 1_790_000_000,
            }
        )
        for number, row in enumerate(rows)
    ]
    desk.call("sql", "INSERT INTO quarantine FORMAT JSONEachRow\n" + "\n".join(lines))


def test_rows_that_are_understood_now_move_to_their_tables(
    spoiled: desks.Desk, sandbox: harness.Sandbox
) -> None:
    wallet, before = sandbox.wallets[5], spoiled.state()
    ids = (spoiled.ids(), spoiled.ids("wallet_activity_raw"))
    question = f"/data/v2/activity?user={wallet}&start=1&limit=1000"
    rows = harness.ask(sandbox.url + question)["data"]
    assert {row["type"] for row in rows} > {"TRADE"}
    for table in ("external_trades_raw", "wallet_activity_raw"):
        spoiled.call("sql", f"ALTER TABLE {table} DELETE WHERE wallet_address = '{wallet[2:]}'")
    assert spoiled.state() != before
    _set_aside(spoiled, rows, sandbox.url + question)
    report = spoiled.json("quarantine", "replay", code=errors.EXIT_UNITS_IN_ERROR)
    assert report == {"understood": len(rows), "left": 4}
    assert spoiled.state() == before
    assert (spoiled.ids(), spoiled.ids("wallet_activity_raw")) == ids


def test_equal_fills_stay_two_and_another_walk_adds_none(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    special = sandbox.ask("universe")["special"]
    wallet = special["wallet_tx_cut"]
    desk.call("run", "--wallet", wallet)
    before, ids = desk.state(), desk.ids()
    twins = desk.sql(
        "SELECT any(tx_hash) AS tx, any(trade_timestamp) AS at, any(condition_id) AS condition, "
        "count() AS copies FROM external_trades_raw "
        "GROUP BY tx_hash, wallet_address, token_id, side, shares, trade_timestamp "
        "HAVING copies > 1"
    )
    assert twins, "there are equal fills"
    tx = twins[0]["tx"]
    walks = []
    for question in (
        f"/data/v2/activity?user={wallet}&start=1&limit=1000",
        f"/data/v2/trades?condition=0x{twins[0]['condition']}&taker_only=false&limit=1000",
    ):
        rows = [row for row in _walk(sandbox, question) if row["proxy_wallet"] == wallet]
        walks.append([row for row in rows if row["transaction_hash"] == f"0x{tx}"])
    assert len(walks[0]) == len(walks[1]) >= 4
    desk.call("sql", f"ALTER TABLE external_trades_raw DELETE WHERE tx_hash = '{tx}'")
    _set_aside(desk, walks[0], f"{sandbox.url}/data/v2/activity?user={wallet}")
    _set_aside(desk, walks[1], f"{sandbox.url}/data/v2/trades?condition=x")
    report = desk.json("quarantine", "replay")
    assert report == {"understood": 2 * len(walks[0]), "left": 0}
    assert desk.state() == before
    assert desk.ids() == ids
    assert desk.value("SELECT count() FROM quarantine") == 0


def _walk(sandbox: harness.Sandbox, question: str) -> list[dict[str, Any]]:
    rows, cursor = [], ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        answer = harness.ask(sandbox.url + question + more)
        rows += answer["data"]
        cursor = answer["pagination"]["next_cursor"]
    return rows
