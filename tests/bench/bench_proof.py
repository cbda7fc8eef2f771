"""`validate` and reports over a store in which millions of trades are proven complete."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_store
from tests.bench.bench_figures import Figure

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.store import client, migrate

COMMAND_S = 300.0
TARGET_S = 30.0
CHECKS = {
    "validate --offline": ("validate", "--offline", "--json"),
    "report coverage": ("report", "coverage", "--output", "coverage.md", "--json"),
    "report categories": ("report", "categories", "--json"),
    "check progress": ("check", "progress", "--json"),
    "check trades": ("check", "trades", "--json"),
}
# Seven recorded wallets have 73 fills in a market; those who trade less have fewer.
MARKETS_A_WALLET, FILLS_A_PAIR = 32, 5
PROMISED = ("validate --offline", "report coverage", "report categories")

# Everything around the trades that makes a store in which all is fetched: the lists, both plans,
# the positions that the trades leave behind, a redemption of every tenth and a split beside it, and
# fills that the user's own pipeline holds too.
MARKET_ID = "toString(cityHash64(condition_id) % 1000000000000)"
AROUND = (
    "ALTER TABLE external_trades_raw UPDATE market_id = {market_id} WHERE true "
    "SETTINGS mutations_sync = 2",
    """
    INSERT INTO api_market_rows
        (source, condition_id, market_id, question, outcomes, token_ids, active, closed, start_date,
         volume)
    SELECT 'gamma', condition_id, {market_id}, any(market_question),
        ['Yes', 'No'], groupUniqArray(token_id), true, true, '2024-06-01 00:00:00', sum(shares) / 2
    FROM external_trades_raw GROUP BY condition_id
    """,
    """
    INSERT INTO condition_backfill_plan
        (condition_id, trade_count, notional, priority_rank, status, last_run_at, source)
    SELECT condition_id, count() AS fills, sum(cash_value), rowNumberInAllBlocks() + 1, 'done',
        now(), 'bench'
    FROM external_trades_raw GROUP BY condition_id
    """,
    """
    INSERT INTO wallet_backfill_plan
        (wallet_address, trade_count, notional, priority_rank, status, last_run_at, source)
    SELECT wallet_address, count() AS fills, sum(cash_value), rowNumberInAllBlocks() + 1, 'done',
        now(), 'bench'
    FROM external_trades_raw GROUP BY wallet_address
    """,
    """
    INSERT INTO api_position_rows
        (wallet_address, condition_id, outcome, asset_id, status, size, timestamp, version)
    SELECT wallet_address, condition_id, any(outcome_index), token_id, 'OPEN',
        sum(if(side = 'BUY', shares, -shares)) AS held, now(), 1
    FROM external_trades_raw GROUP BY wallet_address, condition_id, token_id HAVING held > 0
    """,
    """
    INSERT INTO wallet_activity_raw
        (source, activity_id, wallet_address, condition_id, token_id, activity_type, shares, price,
         usdc_size, activity_timestamp, tx_hash)
    SELECT 'polymarket_data_api', generateUUIDv4(kind), wallet_address, condition_id,
        kind = 'SPLIT' ? '' : token_id, kind, 1, 0, 1, max(trade_timestamp) + 1, any(tx_hash)
    FROM external_trades_raw ARRAY JOIN ['SPLIT', 'REDEEM'] AS kind
    WHERE cityHash64(wallet_address, condition_id) % 10 = 0
    GROUP BY wallet_address, condition_id, token_id, kind
    """,
    """
    INSERT INTO api_resolution_rows (condition_id, status, payouts)
    SELECT condition_id, 'resolved', [1, 0]
    FROM external_trades_raw WHERE cityHash64(condition_id) % 10 < 7 GROUP BY condition_id
    """,
    """
    INSERT INTO pm_trades
    SELECT toString(external_trade_id), trade_timestamp, 0, concat('0x', tx_hash), token_id,
        concat('0x', condition_id), outcome_index, outcome, market_question,
        concat('0x', wallet_address), '', 0, side, price, shares, cash_value, 0, 'clob_fills'
    FROM external_trades_raw WHERE cityHash64(external_trade_id) % 1000 < {shared}
    """,
)
COUNTS = {
    units.CONDITIONS: "SELECT condition_id AS key, trade_count AS n FROM condition_backfill_plan",
    units.WALLETS: "SELECT wallet_address AS key, trade_count AS n FROM wallet_backfill_plan",
}


async def fill(
    ground: harness.Ground, trades: int, shared: float, *, markets_a_wallet: int | None = None
) -> None:
    """`trades` fills, a share of them in pm_trades too, with lists, plans, positions, receipts."""
    store = await client.open(client.Address(data_dir=ground.store), clock=clocks.SystemClock())
    try:
        await migrate.up(store)
        await bench_store.fill(store, trades, markets_a_wallet=markets_a_wallet)
        for statement in AROUND:
            await store.command(statement.format(shared=round(shared * 1000), market_id=MARKET_ID))
        book = run_checkpoint.Checkpoint.open(
            ground.checkpoint, store_id=await migrate.store_id(store)
        )
        for kind, question in COUNTS.items():
            keys = [(row["key"], row["n"]) for row in await store.rows(question)]
            await receipts(book, kind, keys)
        book.close()
        await bench_store.merged(store)
    finally:
        await store.close()


async def receipts(
    book: run_checkpoint.Checkpoint, kind: str, keys: Sequence[tuple[str, int]]
) -> None:
    """Every key proven complete, packed into units as a run packs them."""
    rows_of = dict(keys)
    one_each = (units.Unit(kind, (key,)) for key, _ in keys)
    for unit in units.pack(keys) if kind == units.CONDITIONS else one_each:
        rows = sum(rows_of[key] for key in unit.keys)
        step = units.Counts(rows=rows, pages=1, first_second=bench_store.FIRST_SECOND)
        book.finish(unit.id, book.begin(unit), step)
    await book.sync()
    book.note_plan_synced(book.transitions_since(book.synced_seq)[-1].seq)
    await book.sync()


def proof(trades: int, shared: float) -> list[Figure]:
    """Time and memory of each command; `shared`: the part of the fills that pm_trades holds too.

    Twice: where nearly every fill is alone in its wallet and market, the hardest case, and where a
    wallet comes back to its markets, as people do.
    """
    return [
        *_store("", trades, shared, CHECKS),
        *_store(f", {FILLS_A_PAIR} fills each", trades, shared, PROMISED, MARKETS_A_WALLET),
    ]


def _store(
    case: str,
    trades: int,
    shared: float,
    names: Iterable[str],
    markets_a_wallet: int | None = None,
) -> list[Figure]:
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ground = harness.Ground(Path(folder), "http://127.0.0.1:9")
        asyncio.run(fill(ground, trades, shared, markets_a_wallet=markets_a_wallet))
        for name in names:
            # Each starts the store anew, as for somebody who asks for nothing else.
            harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)
            found += _measured(ground, name, case)
        harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)
    return found


def _measured(ground: harness.Ground, name: str, case: str) -> list[Figure]:
    """One command from its start, the store's included, to its end."""
    began_at = time.monotonic()
    command = ground.start(*CHECKS[name])
    with (
        figures.watching(lambda: command.pid) as own,
        figures.watching(ground.store_pid) as store,
    ):
        ended = command.end(COMMAND_S)
    took_s = time.monotonic() - began_at
    ended.expect(0)
    return [
        Figure(
            f"{name}{case}",
            f"{took_s:.1f} s",
            f"<= {TARGET_S:.0f} s" if name in PROMISED else "",
            took_s <= TARGET_S if name in PROMISED else None,
        ),
        Figure("  CPU, command and store", f"{own.cpu_s:.1f} and {store.cpu_s:.1f} s"),
        Figure("  memory, command and store", f"{own.peak_mb:.0f} and {store.peak_mb:.0f} MB"),
    ]
