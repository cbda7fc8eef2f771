"""`validate`: one thing is wrong at a time, and the check whose business it is names it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

CHECKS = [
    "duplicates",
    "overlap",
    "view-arithmetic",
    "receipts",
    "lists",
    "set-aside",
    "market-volume",
    "live-volume",
    "user-volume",
    "holdings",
    "market-ids",
    "payouts",
    "candles",
    "official-pnl",
]


REPORTS = ("EXTERNAL_COVERAGE_STATUS.md", "EXTERNAL_COVERAGE_STATUS.html")


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """Everything fetched: lists, trades, wallets, positions, resolutions."""
    desk = new_desk()
    shared_sandbox.reset()
    desk.call("run", within_s=120)
    desk.call("report", "categories")
    desk.sql("CREATE TABLE kept AS external_trades_raw")
    desk.sql("INSERT INTO kept SELECT * FROM external_trades_raw")
    return desk


@contextlib.contextmanager
def without(desk: desks.Desk, where: str) -> Iterator[None]:
    """The trades of that condition are gone meanwhile."""
    gone = f"INSERT INTO external_trades_raw SELECT * FROM kept WHERE {where}"
    desk.sql(f"ALTER TABLE external_trades_raw DELETE WHERE {where} SETTINGS mutations_sync = 2")
    try:
        yield
    finally:
        desk.sql(gone)
        # The rows that came back mark their markets, and `candles` waits for those.
        desk.sql("TRUNCATE TABLE candle_marks")


@contextlib.contextmanager
def internal(desk: desks.Desk, columns: str = "*", limit: int = 1) -> Iterator[None]:
    """Some stored fills stand in pm_trades too; `columns` changes them on the way."""
    desk.sql(
        f"INSERT INTO pm_trades SELECT {columns} FROM pm_trades_with_external "
        f"WHERE data_source = 'polymarket_data_api' ORDER BY fill_id LIMIT {limit}"
    )
    try:
        yield
    finally:
        desk.sql("TRUNCATE TABLE pm_trades")


def verdicts(desk: desks.Desk, *words: str) -> dict[str, dict[str, Any]]:
    """What each check said, by name."""
    told = desk.call("validate", "--sample", "100", *words, "--json", code=None)
    told.expect(0, 3)
    return {check["name"]: check for check in json.loads(told.out)["checks"]}


def failed(found: dict[str, dict[str, Any]]) -> list[str]:
    """Names of the checks that failed."""
    return [name for name, check in found.items() if check["outcome"] == "failed"]


def test_a_clean_store_passes_every_check(filled: desks.Desk) -> None:
    """Seed 001, validation: named checks, each with its evidence."""
    found = verdicts(filled)
    assert {name: check["outcome"] for name, check in found.items()} == dict.fromkeys(
        CHECKS, "passed"
    ), found
    assert found["user-volume"]["evidence"]["wallets"] > 40
    assert found["market-volume"]["evidence"]["compared"] > 20
    assert found["receipts"]["evidence"]["units_compared"] > 40
    told = filled.call("validate", "--offline").out
    assert "ok       duplicates" in told
    assert "skipped  user-volume" in told
    assert "all checks hold\nnext: polybackfill run" in told


def test_beside_a_run_the_api_is_left_to_it(filled: desks.Desk) -> None:
    """Never over a limit: a run spends all of them, and the check says why it was left out."""
    with harness.limits_spent(filled.environment["BACKFILL_DATA_URL"]):
        told = filled.call("validate", "--only", "user-volume").out
    assert told.startswith("skipped  user-volume")
    assert "BACKFILL_SHARE" in told


def test_the_proof_outlives_the_checkpoint(filled: desks.Desk) -> None:
    """Seed 001, validation: where the store's receipts are gone too the plan says done, and nothing
    proves it. A checkpoint that is back proves it by itself.
    """
    aside = filled.checkpoint.with_name("aside")
    filled.checkpoint.rename(aside)
    try:
        kept = verdicts(filled, "--only", "receipts")["receipts"]
        filled.sql("TRUNCATE TABLE backfill_receipt_rows")
        told = filled.call("validate", "--only", "receipts", code=3).out
    finally:
        aside.rename(filled.checkpoint)
    assert kept["outcome"] == "passed"
    assert kept["evidence"]["units_compared"] > 40
    assert "FAILED   receipts" in told
    assert "plan reset" in told
    assert verdicts(filled, "--only", "receipts")["receipts"] == kept


def test_a_duplicate_is_found(filled: desks.Desk) -> None:
    """Seed 001, validation: an injected duplicate, inserted past the landing table."""
    filled.sql("INSERT INTO external_trades_raw SELECT * FROM kept ORDER BY tx_hash LIMIT 1")
    try:
        found = verdicts(filled, "--offline")
    finally:
        filled.sql("OPTIMIZE TABLE external_trades_raw FINAL")
    assert failed(found) == ["duplicates"]
    (example,) = found["duplicates"]["examples"]
    assert example["copies"] == 2


def test_a_duplicate_under_another_id_is_found(filled: desks.Desk) -> None:
    """Seed 001, validation: the same fill twice, as loaders insert it that make up ids."""
    filled.sql(
        "INSERT INTO external_trades_raw SELECT * REPLACE "
        "(toUUID('00000000-0000-0000-0000-00000000dead') AS external_trade_id) "
        "FROM (SELECT * FROM kept ORDER BY tx_hash LIMIT 1)"
    )
    try:
        found = verdicts(filled, "--only", "duplicates", "--offline")
    finally:
        filled.sql(
            "ALTER TABLE external_trades_raw DELETE WHERE toString(external_trade_id) LIKE '%dead' "
            "AND trade_timestamp > 0 SETTINGS mutations_sync = 2"
        )
    assert failed(found) == ["duplicates"]
    (example,) = found["duplicates"]["examples"]
    assert example["external_trade_id"].endswith("dead")
    assert found["duplicates"]["evidence"]["fills_under_foreign_ids"] == 1
    # Equal fills that the API delivers are no duplicates, and there are some.
    clean = verdicts(filled, "--only", "duplicates", "--offline")["duplicates"]
    assert clean["outcome"] == "passed"
    assert clean["evidence"]["equal_fills"] > 0


def test_a_fill_of_both_sources_counted_once_is_no_failure(filled: desks.Desk) -> None:
    """Seed 001, validation: the overlap that the view filters is counted and passes."""
    with internal(filled, limit=7):
        found = verdicts(filled, "--offline")
        rows = filled.value("SELECT count() AS n FROM pm_trades_with_external")
    assert failed(found) == []
    assert found["overlap"]["evidence"]["fills_of_both_sources"] == 7
    assert found["view-arithmetic"]["evidence"]["overlap"] == 7
    assert rows == filled.value("SELECT count() AS n FROM kept")


def test_an_overlap_the_filter_cannot_see_is_found(filled: desks.Desk) -> None:
    """Seed 001, validation: an injected overlap, the same fill with its size written otherwise."""
    with internal(filled, "* REPLACE (shares + 0.01 AS shares)"):
        found = verdicts(filled, "--offline")
    assert failed(found) == ["overlap"]
    assert found["overlap"]["evidence"]["suspects"] == 1
    assert found["overlap"]["examples"][0]["transaction"].startswith("0x")


def test_a_view_that_counts_twice_is_found(filled: desks.Desk) -> None:
    """Seed 001, pm_trades_with_external: rows = internal + external - overlap, or it fails."""
    shape = filled.value(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() "
        "AND name = 'pm_trades_with_external'"
    )
    with internal(filled):
        filled.sql(
            "CREATE OR REPLACE VIEW pm_trades_with_external AS SELECT * FROM pm_fills UNION ALL "
            "SELECT toString(external_trade_id), trade_timestamp, 0, tx_hash, token_id, "
            "condition_id, outcome_index, side, market_question, wallet_address, '', 0, side, "
            "price, shares, cash_value, fees, source FROM external_trades_raw"
        )
        found = verdicts(filled, "--offline")
    filled.sql(shape.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
    assert failed(found) == ["view-arithmetic"]


def test_a_deleted_page_of_one_market_is_found(filled: desks.Desk) -> None:
    """Seed 001, validation: an injected gap in a market."""
    (market,) = filled.sql(
        "SELECT condition_id, min(trade_timestamp) AS first FROM kept GROUP BY condition_id "
        "HAVING first > now() - INTERVAL 2 YEAR ORDER BY count() DESC LIMIT 1"
    )
    page = filled.sql(
        f"SELECT toString(external_trade_id) AS id FROM kept "
        f"WHERE condition_id = '{market['condition_id']}' ORDER BY trade_timestamp LIMIT 100"
    )
    listed = ", ".join(f"'{row['id']}'" for row in page)
    with without(filled, f"external_trade_id IN ({listed})"):
        found = verdicts(filled, "--offline")
    assert set(failed(found)) == {"market-volume", "receipts", "candles"}
    (example,) = found["market-volume"]["examples"]
    assert example["condition"] == f"0x{market['condition_id']}"
    assert example["difference"] < 0


def test_a_wallets_missing_day_is_found(filled: desks.Desk) -> None:
    """Seed 001, validation: an injected gap in a wallet, named by its day."""
    (day,) = filled.sql(
        "SELECT wallet_address AS wallet, toString(toDate(trade_timestamp)) AS day FROM kept "
        "WHERE trade_timestamp < today() - 30 AND wallet_address IN "
        "(SELECT wallet_address FROM wallet_backfill_plan) "
        "GROUP BY wallet, day ORDER BY count() DESC, wallet LIMIT 1"
    )
    where = f"wallet_address = '{day['wallet']}' AND toDate(trade_timestamp) = '{day['day']}'"
    with without(filled, where):
        found = verdicts(filled)
        volumes = {"user-volume", "live-volume", "market-volume"}
        assert set(failed(found)) == volumes | {"receipts", "candles"}
        (example,) = found["user-volume"]["examples"]
        assert (example["wallet"], example["day"]) == (f"0x{day['wallet']}", day["day"])
        assert example["stored"] == 0 < example["api"]
        assert failed(verdicts(filled, "--only", "user-volume", "--sample", "58")) == [
            "user-volume"
        ]


# What is lost, and the checks that must say so. Some losses are too small for volumes, and none for
# receipts.
LOSSES = {
    "a page in the middle of the largest market": (
        "external_trade_id IN (SELECT external_trade_id FROM kept WHERE condition_id IN ("
        "SELECT condition_id FROM kept GROUP BY condition_id ORDER BY count() DESC LIMIT 1) "
        "ORDER BY trade_timestamp, external_trade_id LIMIT 100 OFFSET 200)",
        {"receipts", "market-volume", "candles"},
    ),
    "the first day of a wallet in the middle": (
        "(wallet_address, toDate(trade_timestamp)) IN (SELECT wallet_address, "
        "toDate(min(trade_timestamp)) FROM kept GROUP BY wallet_address "
        "ORDER BY count(), wallet_address LIMIT 1 OFFSET 25)",
        {"receipts", "candles"},
    ),
    "the last day of another wallet": (
        "(wallet_address, toDate(trade_timestamp)) IN (SELECT wallet_address, "
        "toDate(max(trade_timestamp)) FROM kept GROUP BY wallet_address "
        "ORDER BY count(), wallet_address LIMIT 1 OFFSET 30)",
        {"receipts", "candles"},
    ),
    "the newest trade of all": (
        "external_trade_id IN (SELECT external_trade_id FROM kept "
        "ORDER BY trade_timestamp DESC, external_trade_id LIMIT 1)",
        {"receipts", "candles"},
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_anywhere_is_found(loss: str, filled: desks.Desk) -> None:
    """Seed 001, validation: a gap in any market, wallet or day; the tables' own checks hold."""
    where, checks = LOSSES[loss]
    with without(filled, where):
        told = filled.call("validate", "--offline", "--json", code=3)
    found = {check["name"]: check for check in json.loads(told.out)["checks"]}
    assert checks <= set(failed(found)) <= {"receipts", "market-volume", "holdings", "candles"}


KEYS_OF_LISTS = {
    "api_market_rows": "(condition_id, source, market_id, market_slug)",
    "api_event_rows": "event_id",
    "api_resolution_rows": "condition_id",
    "api_user_stat_rows": "wallet_address",
    "api_position_rows": "(wallet_address, condition_id, outcome, asset_id)",
}
LISTS = {
    "api_market_rows": "source = 'gamma' AND closed AND condition_id != ''",
    "api_event_rows": "1",
    "api_resolution_rows": "status = 'resolved'",
    "api_user_stat_rows": "1",
    "api_position_rows": "NOT is_deleted",
}


def test_a_lost_row_of_a_list_is_found(filled: desks.Desk) -> None:
    """Seed 001, validation: one market, event, resolution or position that is gone is missed."""
    for table, where in LISTS.items():
        keys = KEYS_OF_LISTS[table]
        lost = f"{keys} IN (SELECT {keys} FROM {table} WHERE {where} ORDER BY {keys} LIMIT 1)"
        filled.sql(f"CREATE TABLE kept_{table} AS {table}")
        filled.sql(f"INSERT INTO kept_{table} SELECT * FROM {table} WHERE {lost}")
        filled.sql(f"ALTER TABLE {table} DELETE WHERE {lost} SETTINGS mutations_sync = 2")
        found = verdicts(filled, "--only", "lists", "--only", "duplicates", "--offline")
        filled.sql(f"INSERT INTO {table} SELECT * FROM kept_{table}")
        assert failed(found) == ["lists"], table
        (example,) = found["lists"]["examples"]
        assert example["landed"] == example["stored"] + 1
    assert failed(verdicts(filled, "--only", "lists")) == []


def test_a_wrong_market_id_is_found(filled: desks.Desk) -> None:
    """Seed 004, apply market ids: an id that is another market's."""
    (condition,) = filled.sql("SELECT min(condition_id) AS id FROM kept")
    set_id = "ALTER TABLE external_trades_raw UPDATE market_id = {} WHERE {} "
    set_id += "SETTINGS mutations_sync = 2"
    filled.sql(set_id.format("'12'", f"condition_id = '{condition['id']}'"))
    try:
        found = verdicts(filled, "--offline")
    finally:
        filled.sql(set_id.format("''", "market_id = '12'"))
    assert failed(found) == ["market-ids"]
    assert found["market-ids"]["examples"][0]["market_id"] == "12"


@pytest.mark.parametrize("dimension", ["markets_dim", "condition_market_map"])
def test_a_wrong_market_id_of_a_dimension_is_found(filled: desks.Desk, dimension: str) -> None:
    """Seed 004, market-id resolver: dimensions name the market of their condition, no other."""
    filled.call("dims", "build")
    filled.sql(
        f"ALTER TABLE {dimension} UPDATE market_id = '12' WHERE condition_id = "
        f"(SELECT min(condition_id) FROM {dimension} WHERE market_id != '') "
        "SETTINGS mutations_sync = 2"
    )
    try:
        found = verdicts(filled, "--offline")
    finally:
        filled.call("dims", "build")
    assert failed(found) == ["market-ids"]
    assert found["market-ids"]["examples"][0]["dimension"] == dimension


def test_one_id_for_many_conditions_is_found(filled: desks.Desk) -> None:
    """Seed 004, market-id resolver: market 12 of the original stands for every condition."""
    filled.sql(
        "ALTER TABLE external_trades_raw UPDATE market_id = '12' WHERE 1 "
        "SETTINGS mutations_sync = 2"
    )
    try:
        found = verdicts(filled, "--only", "market-ids", "--offline")
    finally:
        filled.sql(
            "ALTER TABLE external_trades_raw UPDATE market_id = '' WHERE 1 "
            "SETTINGS mutations_sync = 2"
        )
    assert failed(found) == ["market-ids"]
    assert found["market-ids"]["evidence"]["ids_of_several_conditions"] == 1


def test_a_wallet_called_done_without_a_receipt_is_found(filled: desks.Desk) -> None:
    """Seed 001, worker: done without proof is no done."""
    stranger = "0x" + "ab" * 20
    filled.plan_keys(stranger)
    change = "ALTER TABLE wallet_backfill_plan {} WHERE wallet_address = '" + "ab" * 20 + "' "
    change += "SETTINGS mutations_sync = 2"
    filled.sql(change.format("UPDATE status = 'done'"))
    try:
        found = verdicts(filled, "--only", "receipts")
    finally:
        filled.sql(change.format("DELETE"))
    assert failed(found) == ["receipts"]
    assert found["receipts"]["examples"] == [
        {"kind": "wallets", "key": stranger, "receipt": "none"}
    ]


def test_resolutions_that_disagree_are_listed_and_impossible_ones_are_found(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """Seed 001, validation: what no source can settle is shown each time, and fails nothing."""
    expected = shared_sandbox.ask("truth")["resolutions"]["disagreements"]
    told = filled.call("validate", "--only", "payouts").out
    assert len(expected) == 3
    assert all(condition in told for condition in expected)
    report = filled.json("report", "coverage")["disagreements"]
    assert {name for name, count in report["counts"].items() if count} == {"payouts"}
    assert report["counts"]["payouts"] == 3
    assert sorted(row["condition"] for row in report["examples"]) == expected
    filled.call("report", "coverage")
    for name in REPORTS:
        _, _, listed = (filled.data / name).read_text().partition("Resolutions that disagree")
        assert all(condition in listed for condition in expected), name
    (market,) = filled.sql("SELECT * FROM api_resolution_rows WHERE status = 'resolved' LIMIT 1")
    pays_twice = {**market, "payouts": [1, 1], "fetched_at": "2100-01-01 00:00:00"}
    filled.sql(f"INSERT INTO api_resolution_rows FORMAT JSONEachRow {json.dumps(pays_twice)}")
    try:
        found = verdicts(filled, "--only", "payouts")
    finally:
        filled.sql("DELETE FROM api_resolution_rows WHERE fetched_at > '2099-01-01 00:00:00'")
    assert failed(found) == ["payouts"]
    assert found["payouts"]["examples"][0]["condition"] == f"0x{market['condition_id']}"


def test_exit_codes_and_names(filled: desks.Desk, new_desk: NewDesk) -> None:
    """Seed 001, validation: exit other than 0 on any failed check; an unknown name is refused."""
    assert filled.call("validate", "--offline").code == 0
    filled.sql("INSERT INTO external_trades_raw SELECT * FROM kept ORDER BY tx_hash LIMIT 1")
    try:
        told = filled.call("validate", "--only", "duplicates", "--offline", code=3).out
    finally:
        filled.sql("OPTIMIZE TABLE external_trades_raw FINAL")
    assert "FAILED   duplicates" in told
    assert "no such check" in filled.call("validate", "--only", "all", code=78).err
    empty = {name: check["outcome"] for name, check in verdicts(new_desk(), "--offline").items()}
    skipped = {"receipts", "lists", "market-volume", "live-volume", "user-volume", "holdings"}
    skipped |= {"payouts", "candles", "official-pnl"}
    assert empty == {name: "skipped" if name in skipped else "passed" for name in CHECKS}


def test_a_receipt_of_a_batch_of_which_one_key_was_reset_is_not_compared(
    filled: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """A receipt counts the rows of all its keys, so after a reset it says too much of the rest."""
    filled.call("plan", "reset", "--condition-id", sandbox.conditions[-1])
    assert failed(verdicts(filled, "--only", "receipts")) == []
    filled.call("run", "conditions")
    assert failed(verdicts(filled, "--only", "receipts")) == []
