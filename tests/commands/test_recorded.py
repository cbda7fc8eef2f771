"""Recorded rows of the live services, replayed: each real fill is stored once, in every order."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from .conftest import NewDesk

# Of the two wallets with most fills: profit held to resolution before fees, and those fees, in USD.
PROFITS = {
    "eebde7a0e019a63e6b476eb425505b7b3e6eba30": (3_949.90, 394.33),
    "d0d6053c3c37e727402d84c14069780d360993aa": (632.09, 42.77),
}
TWIN_TX = "c12bff78413d75398bafabdaa5f69b37065579bc6e30fa43c5bf00e5c25eba9b"
# README of the recordings, section 5: index → index of the row it repeats over a page boundary.
REPEATS = {1000: 998, 1001: 999, 1500: 1498, 1501: 1499}
DUST = 0.01  # shares; the version 2 feeds list no smaller row
FILL = (
    "tx_hash AS tx, token_id AS token, side, toInt64(round(shares * 1e6)) AS micro, "
    "toUnixTimestamp(trade_timestamp) AS second"
)

pytestmark = pytest.mark.recorded
Row = dict[str, Any]


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, replayed: harness.Sandbox) -> desks.Desk:
    """A plan of all recorded wallets and conditions, run once."""
    made = new_desk(replayed.url)
    made.plan_keys(*replayed.wallets, *replayed.conditions)
    made.call("run", "conditions", "wallets")
    return made


@pytest.fixture(scope="module")
def shifted(recorded_dir: Path) -> list[Row]:
    """The recorded walk in which four rows were seen twice, as it stands in the file."""
    path = recorded_dir / "data-v1-activity-polybotanalysis-galindrast.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_the_tables_hold_what_the_recordings_hold(
    filled: desks.Desk, replayed: harness.Sandbox
) -> None:
    truth = replayed.ask("truth")
    assert truth["trades"]["rows"] > 7_000
    filled.prove(replayed)
    assert filled.state()["trades"]["digest"] == truth["trades"]["digest"]
    assert filled.state()["activity"]["digest"] == truth["activity"]["digest"]
    assert filled.value("SELECT count() FROM quarantine") == 0
    assert filled.statuses() == {"done": len(replayed.wallets)}


def test_two_equal_fills_of_one_transaction_are_both_there(filled: desks.Desk) -> None:
    twins = filled.sql(
        "SELECT external_trade_id, wallet_address, side, shares, price FROM external_trades_raw "
        f"WHERE tx_hash = '{TWIN_TX}'"
    )
    assert len({twin.pop("external_trade_id") for twin in twins}) == 2
    bought = {
        "wallet_address": "c2ad03f79ca3f3c17d8c7de2612ce0c89b7d40ed",
        "side": "BUY",
        "shares": 249,
        "price": 0.97,
    }
    assert twins == [bought, bought]


def _fill(row: Row) -> tuple[object, ...]:
    tx, token = row["transactionHash"].lower().removeprefix("0x"), row["asset"]
    return (tx, token, row["side"], round(row["size"] * 1e6), row["timestamp"])


def _stored(rows: Iterable[Row]) -> Counter[tuple[object, ...]]:
    return Counter((r["tx"], r["token"], r["side"], int(r["micro"]), r["second"]) for r in rows)


def test_what_paging_showed_twice_is_stored_once(filled: desks.Desk, shifted: list[Row]) -> None:
    assert all(shifted[again] == shifted[first] for again, first in REPEATS.items())
    wallet = shifted[0]["proxyWallet"].removeprefix("0x")
    once = [
        row for index, row in enumerate(shifted) if index not in REPEATS and row["size"] >= DUST
    ]
    fills = Counter(_fill(row) for row in once if row["type"] == "TRADE")
    rows = filled.sql(f"SELECT {FILL} FROM external_trades_raw WHERE wallet_address = '{wallet}'")
    stored = _stored(rows)
    assert stored == fills
    for index in REPEATS:
        if shifted[index]["type"] == "TRADE":
            assert stored[_fill(shifted[index])] == 1
    other = filled.value(
        f"SELECT count() FROM wallet_activity_raw WHERE wallet_address = '{wallet}'"
    )
    assert other == sum(row["type"] != "TRADE" for row in once)


def test_a_second_run_asks_for_nothing(filled: desks.Desk, replayed: harness.Sandbox) -> None:
    ids = filled.ids()
    replayed.ask("stats/reset", {})
    assert "0 rows acknowledged" in filled.call("run", "conditions", "wallets").out
    assert replayed.requests() == 0
    assert filled.ids() == ids


@pytest.mark.parametrize(
    "order",
    [pytest.param(("conditions", "wallets"), marks=pytest.mark.long), ("wallets", "conditions")],
)
def test_either_order_in_runs_of_their_own_gives_the_same_ids(
    order: tuple[str, str], filled: desks.Desk, new_desk: NewDesk, replayed: harness.Sandbox
) -> None:
    other = new_desk(replayed.url)
    other.plan_keys(*replayed.wallets, *replayed.conditions)
    rows = []
    for part in order:
        other.call("run", part)
        rows.append(other.value("SELECT count() FROM external_trades_raw"))
    assert rows[0] > 7_000, "the first part alone reaches nearly all"
    assert other.ids() == filled.ids()
    assert other.ids("wallet_activity_raw") == filled.ids("wallet_activity_raw")


@pytest.mark.long
def test_a_whole_run_without_a_plan_knows_fees_and_profits(
    new_desk: NewDesk, replayed: harness.Sandbox
) -> None:
    desk = new_desk(replayed.url, reports="true")
    desk.call("run", within_s=600)
    assert desk.statuses() == {"done": replayed.ask("truth")["trades"]["wallets"]}
    rows = desk.sql("SELECT * FROM wallet_pnl ORDER BY num_fills DESC LIMIT 2")
    known = {
        row["wallet_address"]: (row["held_to_resolution_pnl_usd"], row["fees_usd"]) for row in rows
    }
    assert known == {wallet: pytest.approx(pair, abs=0.01) for wallet, pair in PROFITS.items()}
    assert {row["fees_known_pct"] for row in rows} == {100}
