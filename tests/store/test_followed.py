"""What a run that follows asks the store: which windows lost rows, and which keys have news."""

from __future__ import annotations

from pathlib import Path

from tests.store import conftest as stores

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import receipt_table
from polybackfill.kinds import recent_trades
from polybackfill.store import active_keys, client, plan_table

NOON = 1_795_694_400  # 2026-11-26 12:00 UTC
DAY_S = 86_400


def at(number: int, second: int) -> dict[str, object]:
    """A trade in a second."""
    return stores.trade(number, trade_timestamp=second)


async def test_a_window_that_lost_a_row_is_named(migrated: client.Store, tmp_path: Path) -> None:
    await stores.insert(migrated, [at(number, NOON + number) for number in range(10)])
    book = run_checkpoint.Checkpoint.open(tmp_path / "main")
    for key, rows in ((f"{NOON}..{NOON + 4}", 5), (f"{NOON + 3}..{NOON + 9}", 8)):
        unit = units.Unit(recent_trades.KIND.name, (key,))
        book.finish(unit.id, book.begin(unit), units.Counts(rows=rows, pages=1))
    await book.sync()
    numbers = {unit.keys[0]: number for number, unit in receipt_table.numbered(book)}
    async with receipt_table.filled(migrated, book) as table:
        sql = recent_trades.KIND.proof.lost_units.format(units=table)
        lost = [row["unit"] for row in await migrated.rows(sql)]
    assert lost == [numbers[f"{NOON + 3}..{NOON + 9}"]]
    book.close()


async def test_keys_with_news_and_those_at_the_top(migrated: client.Store) -> None:
    """A wallet is read again from the day before what was read of it."""
    traded = [at(1, NOON), at(2, NOON), at(3, NOON), at(4, NOON - 30 * DAY_S)]
    await stores.insert(migrated, traded)
    wallets = [f"{number:040x}" for number in range(1, 6)]
    plan = plan_table.PlanTable(migrated)
    await plan.note("wallets", wallets)
    read = {1: NOON - 60, 2: NOON, 3: NOON - 60, 4: NOON - 40 * DAY_S, 5: NOON - 5 * DAY_S}
    await plan.apply(
        "wallets",
        [
            plan_table.PlanUpdate(
                f"{number:040x}", "done", last_run_at=second, attempts=1, read_until=second
            )
            for number, second in read.items()
        ],
        now=NOON,
    )

    async def list_keys(most: int) -> list[tuple[int, list[str]]]:
        choice = active_keys.Choice(after=NOON - 7 * DAY_S, most=most)
        return [one async for one in active_keys.list_active(migrated, "wallets", choice)]

    day = NOON // DAY_S * DAY_S
    assert await list_keys(0) == [(day - DAY_S, [wallets[0], wallets[2]])]
    everybody = [key for _, keys in await list_keys(5) for key in keys]
    assert sorted(everybody) == wallets
    assert sum(len(keys) for _, keys in await list_keys(3)) in {3, 4}
