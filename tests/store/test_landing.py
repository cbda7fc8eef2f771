"""No duplicate is ever visible, no fill is ever lost."""

from __future__ import annotations

import random

import msgspec
import pytest
from tests.store.conftest import count, duplicates, insert, lines, trade

from polybackfill import errors, records
from polybackfill.store import client

# `external_trade_id` is a UUID instead of text: 16 bytes, made from what never changes in a fill.
COLUMNS = {
    "source": "LowCardinality(String)",
    "ingested_at": "DateTime('UTC')",
    "external_trade_id": "UUID",
    "wallet_address": "String",
    "condition_id": "String",
    "market_question": "String",
    "side": "LowCardinality(String)",
    "outcome_index": "Int32",
    "shares": "Float64",
    "price": "Float64",
    "cash_value": "Float64",
    "fees": "Nullable(Float64)",  # unknown is no 0
    "trade_timestamp": "DateTime('UTC')",
    "tx_hash": "String",
    "token_id": "String",
    "outcome": "LowCardinality(String)",
}


async def test_a_repeated_batch_adds_nothing(migrated: client.Store) -> None:
    """Seed 001, external_trades_raw: the same batch twice leaves the same rows and sums."""
    batch = [trade(number, shares=number + 0.25) for number in range(500)]
    sums = "SELECT sum(shares) AS shares, sum(cash_value) AS value FROM external_trades_raw"
    for _ in range(3):
        await insert(migrated, batch)
        found = await migrated.rows(sums)
        assert found == [{"shares": sum(row["shares"] for row in batch), "value": 500.0}]
    assert await count(migrated) == 500
    assert await duplicates(migrated) == 0


async def test_the_columns_of_the_seed_are_there(migrated: client.Store) -> None:
    """Seed 001, external_trades_raw: columns of §2.1 present, token id and outcome besides."""
    found = await migrated.rows(
        "SELECT name, type FROM system.columns WHERE table = 'external_trades_raw' "
        "AND database = currentDatabase()"
    )
    assert {row["name"]: row["type"] for row in found}.items() >= COLUMNS.items()


async def test_one_batch_may_span_a_hundred_years_of_months(migrated: client.Store) -> None:
    """Seed 001, external_trades_raw: one batch over more than 100 calendar months is accepted."""
    month_s = 31 * 86_400
    batch = [trade(number, trade_timestamp=number * month_s) for number in range(600)]
    await insert(migrated, batch)
    (months,) = await migrated.rows(
        "SELECT uniqExact(toYYYYMM(trade_timestamp)) AS n FROM external_trades_raw"
    )
    assert months["n"] == 600


async def test_a_row_that_comes_twice_in_a_batch_is_stored_once(migrated: client.Store) -> None:
    batch = [trade(number) for number in range(100)]
    await insert(migrated, batch + batch[:40] + batch[90:])
    assert await count(migrated) == 100


async def test_a_batch_that_overlaps_adds_only_what_is_new(migrated: client.Store) -> None:
    await insert(migrated, [trade(number) for number in range(300)])
    await insert(migrated, [trade(number) for number in range(200, 450)])
    assert await count(migrated) == 450
    assert await duplicates(migrated) == 0


async def test_equal_fills_with_their_own_ids_are_all_kept(migrated: client.Store) -> None:
    same = {"condition_id": "ab" * 32, "trade_timestamp": 1_700_000_000, "tx_hash": "cd" * 32}
    twins = [trade(number, **same) for number in range(50)]
    await insert(migrated, twins)
    await insert(migrated, twins)
    assert await count(migrated) == 50


async def test_the_same_fill_by_another_route_adds_nothing(migrated: client.Store) -> None:
    await insert(migrated, [trade(1, source_route="/v2/activity", usdc_size=1.0)])
    changed = trade(1, source_route="/v2/trades", price=0.41, market_question="Renamed")
    await insert(migrated, [changed, trade(2)])
    rows = await migrated.rows("SELECT price FROM external_trades_raw ORDER BY trade_timestamp")
    assert rows == [{"price": 0.4}, {"price": 0.4}]


@pytest.mark.long
async def test_the_largest_batch_is_checked_as_one(migrated: client.Store) -> None:
    many = client.MAX_BATCH_ROWS
    body = lines([trade(number) for number in range(many // 2)])
    await migrated.insert("external_trades_raw", body + b"\n" + body, rows=many)
    assert await count(migrated) == many // 2


async def test_random_batches_leave_the_set_of_their_ids(migrated: client.Store) -> None:
    chance = random.Random(7)
    expected: set[int] = set()
    for _ in range(25):
        numbers = [chance.randrange(400) for _ in range(chance.randrange(1, 120))]
        expected.update(numbers)
        await insert(migrated, [trade(number) for number in numbers])
        if chance.random() < 0.2:
            await migrated.command("OPTIMIZE TABLE external_trades_raw FINAL")
        assert await duplicates(migrated) == 0
    found = await migrated.rows("SELECT token_id FROM external_trades_raw")
    assert sorted(int(row["token_id"]) for row in found) == sorted(expected)


async def test_rows_that_were_truncated_away_can_come_again(migrated: client.Store) -> None:
    batch = [trade(number) for number in range(50)]
    await insert(migrated, batch)
    await migrated.command("TRUNCATE TABLE external_trades_raw")
    await insert(migrated, batch)
    assert await count(migrated) == 50


async def test_a_row_with_an_unknown_field_is_refused_with_its_batch(
    migrated: client.Store,
) -> None:
    with pytest.raises(errors.GiveUp, match="spread"):
        await insert(migrated, [trade(1), trade(2, spread=0.1)])
    assert await count(migrated) == 0


async def test_values_arrive_as_they_were_sent(migrated: client.Store) -> None:
    await insert(migrated, [trade(0xABC, shares=0.1 + 0.2, usdc_size=0.3)])
    (row,) = await migrated.rows(
        "SELECT *, toUnixTimestamp(trade_timestamp) AS second FROM external_trades_raw"
    )
    assert row["external_trade_id"] == "00000000-0000-0000-0000-000000000abc"
    assert row["market_question"] == 'Will "it" rain {tomorrow}?'
    assert (row["shares"], row["usdc_size"]) == (0.1 + 0.2, 0.3)
    assert row["second"] == 1_700_000_000 + 0xABC


@pytest.mark.parametrize(
    ("table", "struct"),
    [
        ("external_trades_landing", records.Trade),
        ("wallet_activity_landing", records.Activity),
        ("quarantine_landing", records.Rejected),
    ],
)
async def test_the_landing_tables_take_exactly_the_fields_of_the_records(
    migrated: client.Store, table: str, struct: type[msgspec.Struct]
) -> None:
    columns = await migrated.rows(
        f"SELECT name FROM system.columns WHERE table = '{table}' AND database = currentDatabase()"
    )
    assert {row["name"] for row in columns} == set(struct.__struct_fields__)


async def test_activity_and_quarantine_take_nothing_twice(migrated: client.Store) -> None:
    activity = records.Activity(
        source="polymarket_data_api", activity_id="a" * 32, wallet_address="1" * 40,
        condition_id="2" * 64, token_id="", activity_type="SPLIT", side="", outcome_index=-1,
        outcome="", shares=3.0, price=0.0, usdc_size=None, activity_timestamp=1_700_000_000,
        tx_hash="3" * 64, is_combo=False, market_question="", raw='{"a": 1}',
        fetched_at=1_790_000_000,
    )  # fmt: skip
    rejected = records.Rejected("b" * 32, "no wallet", "/v2/x?y=1", "{", "wallets:1", 1_790_000_000)
    for _ in range(2):
        await migrated.insert("wallet_activity_raw", records.encode_lines([activity] * 2), rows=2)
        rejected.rejected_at += 60  # the same row, met again by a replay
        await migrated.insert("quarantine", records.encode_lines([rejected] * 2), rows=2)
    assert await count(migrated, "wallet_activity_raw") == 1
    assert await count(migrated, "quarantine") == 1
