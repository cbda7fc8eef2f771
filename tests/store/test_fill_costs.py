"""What any feed knew of a fill is there in the end, in whatever order the feeds came."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from tests.store.conftest import count, duplicates, insert, lines, trade
from tests.store.test_universe import put

from polybackfill import records
from polybackfill.engine import store_writer
from polybackfill.polymarket import parsing, trade_parser
from polybackfill.store import candles, client, fill_costs, pnl

TAKER, MAKER = "aa" * 20, "bb" * 20
CONDITION = "ab" * 32
KNOWN = (
    "SELECT external_trade_id AS id, usdc_size, fees, shares, price, cash_value "
    "FROM external_trades_raw ORDER BY id"
)


def of_market(number: int) -> dict[str, Any]:
    return trade(number, source_route="/v2/trades", usdc_size=None, fees=None)


def of_wallet(number: int) -> dict[str, Any]:
    """Every seventh fee cannot be told."""
    fee = None if number % 7 == 0 else number / 1e6
    return trade(number, usdc_size=1.0 + number / 1e6, fees=fee)


async def known(store: client.Store) -> list[dict[str, Any]]:
    assert await duplicates(store) == 0
    return await store.rows(KNOWN)


async def test_both_orders_end_with_the_same_rows(migrated: client.Store) -> None:
    numbers = range(1, 400)
    ended = []
    for feeds in ((of_market, of_wallet), (of_wallet, of_market)):
        await migrated.command("TRUNCATE TABLE external_trades_raw")
        for feed in feeds:
            await insert(migrated, [feed(number) for number in numbers])
            assert await count(migrated) == len(numbers)
        await fill_costs.fold(migrated)
        ended.append(await known(migrated))
    assert ended[0] == ended[1]
    assert [row["usdc_size"] for row in ended[0]] == [1.0 + number / 1e6 for number in numbers]
    assert [row["fees"] for row in ended[0]] == [of_wallet(number)["fees"] for number in numbers]


async def test_one_batch_of_both_feeds_keeps_what_the_wallet_told(migrated: client.Store) -> None:
    rows = [feed(number) for number in range(1, 50) for feed in (of_market, of_wallet)]
    await insert(migrated, rows)
    assert [row["usdc_size"] for row in await known(migrated)] == [
        1.0 + number / 1e6 for number in range(1, 50)
    ]
    assert await fill_costs.fold(migrated) == 0, "there was nothing to add"


async def test_mixed_batches_repeated_batches_and_a_fold_in_between(
    migrated: client.Store,
) -> None:
    chance = random.Random(12)
    told: set[int] = set()
    for round_ in range(6):
        market, wallet = (chance.sample(range(1, 300), 60) for _ in range(2))
        told.update(wallet)
        batch = [*map(of_market, market), *map(of_wallet, wallet)]
        chance.shuffle(batch)
        for _ in range(chance.choice((1, 1, 2))):  # a batch whose answer was lost comes again
            await insert(migrated, batch)
        if round_ == 3:
            await fill_costs.fold(migrated, slice_fills=90)
    await fill_costs.fold(migrated, slice_fills=90)
    for row in await known(migrated):
        number = int(row["id"].replace("-", ""), 16)
        expected = of_wallet(number) if number in told else of_market(number)
        assert (row["usdc_size"], row["fees"]) == (expected["usdc_size"], expected["fees"])
    assert await count(migrated, "fill_costs") == 0


async def test_a_fold_that_was_killed_is_made_up_for(migrated: client.Store) -> None:
    """Killed after the rows were written, before the costs were removed."""
    await insert(migrated, [of_market(number) for number in range(1, 90)])
    await insert(migrated, [of_wallet(number) for number in range(1, 90)])
    costs = await migrated.rows("SELECT * FROM fill_costs")
    assert await fill_costs.fold(migrated) == 89
    before = await known(migrated)
    await put(migrated, "fill_costs", *costs)
    assert await fill_costs.fold(migrated) == 89
    assert await known(migrated) == before


async def test_what_is_told_while_a_run_folds_is_not_lost(migrated: client.Store) -> None:
    """As in a run that follows: its inserts wait for the steps between them."""
    lock, numbers = asyncio.Lock(), range(1, 25)
    sink = store_writer.ExclusiveSink(migrated, lock)
    await insert(migrated, [of_market(number) for number in numbers])

    async def tell() -> None:
        for number in numbers:
            row = of_wallet(number)
            await sink.insert("external_trades_raw", [lines([row])], rows=1)

    telling = asyncio.create_task(tell())
    while not telling.done():
        async with lock:
            await fill_costs.fold(migrated)
            await candles.make_marked(migrated)
        await asyncio.sleep(0)
    await telling
    await fill_costs.fold(migrated)
    assert [row["usdc_size"] for row in await known(migrated)] == [
        1.0 + number / 1e6 for number in numbers
    ]


def _row(wallet: str, side: str, size: float, price: float, usdc: float) -> dict[str, Any]:
    second = 1_774_000_000 + (60 if side == "SELL" or price < 0.3 else 0)
    return {
        "proxy_wallet": "0x" + wallet, "side": side, "token_id": "71", "size": size,
        "condition_id": "0x" + CONDITION, "price": price, "timestamp": second, "outcome_index": 0,
        "transaction_hash": "0x" + f"{second:064x}", "type": "TRADE", "usdc_size": usdc,
    }  # fmt: skip


# 41 shares ordered at 0.30: 12.30 USD paid, 40.54798 received; then 10 sold at 0.12 for 1.19665.
ACTIVITY = [
    _row(TAKER, "BUY", 40.54798, 0.3, 12.3),
    _row(MAKER, "SELL", 40.54798, 0.3, 12.164394),
    _row(TAKER, "SELL", 10, 0.12, 1.19665),
    _row(MAKER, "BUY", 10, 0.12, 1.2),
]


def _parsed(route: str) -> list[records.Trade]:
    source = parsing.ResponseSource(route, f"http://x{route}", "unit", 1_790_000_000)
    left_out = ("usdc_size", "type") if route == "/v2/trades" else ()
    rows = [{k: v for k, v in row.items() if k not in left_out} for row in ACTIVITY]
    body = {
        "data": rows,
        "pagination": {"limit": 9, "offset": 0, "has_more": False, "next_cursor": None},
    }
    return trade_parser.page(msgspec.json.encode(body), source).trades


@pytest.mark.parametrize("routes", [("/v2/trades", "/v2/activity"), ("/v2/activity", "/v2/trades")])
async def test_fees_of_taker_and_maker_in_either_order(
    migrated: client.Store, routes: tuple[str, str]
) -> None:
    """Case fees-lost: 0.138956 for the taker, 0 for the maker."""
    for route in routes:
        trades = _parsed(route)
        lines = records.encode_lines(trades)
        await migrated.insert("external_trades_landing", [lines], rows=len(trades))
    await put(
        migrated, "api_resolution_rows",
        {"condition_id": CONDITION, "status": "resolved", "payouts": [1.0, 0.0], "was_disputed": 0},
    )  # fmt: skip
    await fill_costs.fold(migrated)
    await pnl.compute(migrated)
    rows = await migrated.rows(
        "SELECT wallet_address, fees_usd, fees_known_pct FROM wallet_pnl ORDER BY wallet_address"
    )
    assert rows == [
        {"wallet_address": TAKER, "fees_usd": 0.138956, "fees_known_pct": 100},
        {"wallet_address": MAKER, "fees_usd": 0, "fees_known_pct": 100},
    ]


async def test_an_unknown_fee_is_no_zero(migrated: client.Store) -> None:
    trades = _parsed("/v2/trades")
    lines = records.encode_lines(trades)
    await migrated.insert("external_trades_landing", [lines], rows=len(trades))
    resolved = {"condition_id": CONDITION, "status": "resolved", "payouts": [1.0, 0.0]}
    await put(migrated, "api_resolution_rows", {**resolved, "was_disputed": 0})
    await pnl.compute(migrated)
    rows = await migrated.rows("SELECT fees_usd, fees_known_pct, num_fills FROM wallet_pnl")
    assert rows == [{"fees_usd": None, "fees_known_pct": 0, "num_fills": 2}] * 2
    for view in ("pm_trades_with_external", "vw_trades_unified"):
        (row,) = await migrated.rows(f"SELECT count(fee_amount) AS known FROM {view}")
        assert row["known"] == 0
