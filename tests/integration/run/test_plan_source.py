"""Which keys a run takes, and what the plan tables say meanwhile, with a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from polybackfill import clocks, errors, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import plan_source, plan_sync
from polybackfill.store import client, migrate, plan_table, stored_receipts

PAGE = units.Counts(rows=1, pages=1)


def key(number: int) -> str:
    """A wallet."""
    return f"{number:040x}"


@pytest.fixture
def book(tmp_path: Path) -> Iterator[run_checkpoint.Checkpoint]:
    """An empty checkpoint."""
    opened = run_checkpoint.Checkpoint.open(tmp_path / "run")
    yield opened
    opened.close()


@pytest_asyncio.fixture
async def store(open_store: Path) -> AsyncIterator[client.Store]:
    """The module's store with empty plans."""
    address = client.Address(data_dir=open_store / "clickhouse")
    opened = await client.open(address, clock=clocks.SystemClock())
    await migrate.up(opened)
    for table, _ in plan_table.TABLES.values():
        await opened.command(f"TRUNCATE TABLE {table}")
    yield opened
    await opened.close()


@pytest.fixture
def table(store: client.Store) -> plan_table.PlanTable:
    """The plans."""
    return plan_table.PlanTable(store)


@pytest_asyncio.fixture
async def ten(table: plan_table.PlanTable) -> plan_table.PlanTable:
    """Ten wallets planned, rank 1 to 10."""
    rows = [plan_table.PlanRow(key(number), number, trade_count=100) for number in range(1, 11)]
    await table.add("wallets", rows)
    return table


def planned(
    store: client.Store, book: run_checkpoint.Checkpoint, **choice: object
) -> plan_source.PlannedKeys:
    """The source of a run."""
    chosen = plan_source.Selection(**choice)  # type: ignore[arg-type]
    return plan_source.PlannedKeys(
        "wallets", store, chosen, book, dry_run=False, clock=clocks.SystemClock()
    )


async def keys_of(source: plan_source.PlannedKeys | plan_source.ExplicitKeys) -> list[int]:
    """The wallets it names, in order."""
    return [int(unit.keys[0], 16) async for unit in source.units()]


def done(
    book: run_checkpoint.Checkpoint, number: int, window: units.Window = units.FULL_HISTORY
) -> None:
    """A run has proven this wallet."""
    unit = units.Unit("wallets", (key(number),), *window)
    book.finish(unit.id, book.begin(unit), PAGE)


async def synced(
    store: client.Store, book: run_checkpoint.Checkpoint, table: plan_table.PlanTable
) -> plan_sync.PlanSync:
    """The plan hears of everything the checkpoint knows."""
    await book.sync()
    sync = plan_sync.PlanSync(
        plan=table,
        receipts=stored_receipts.StoredReceipts(store, book.run_name),
        checkpoint=book,
        leased={"wallets": list},
        clock=clocks.SystemClock(),
    )
    await sync.begin()
    return sync


async def test_rank_order_limit_and_skip(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    assert await keys_of(planned(store, book)) == list(range(1, 11))
    assert await keys_of(planned(store, book, limit=3)) == [1, 2, 3]
    assert await keys_of(planned(store, book, limit=3, skip=2)) == [3, 4, 5]
    assert await keys_of(planned(store, book, skip=9)) == [10]
    assert await keys_of(planned(store, book, skip=20)) == []
    assert await planned(store, book, limit=3, skip=2).expected() == plan_source.WorkEstimate(3, 3)
    assert await planned(store, book).expected() == plan_source.WorkEstimate(10, 10)


async def test_skip_does_not_jump_over_wallets_while_the_list_shrinks(
    store: client.Store,
    book: run_checkpoint.Checkpoint,
    ten: plan_table.PlanTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_source, "_CHUNK_ROWS", 2)
    taken = []
    async for unit in planned(store, book, skip=3, limit=5).units():
        taken.append(int(unit.keys[0], 16))
        done(book, taken[-1])
        await synced(store, book, ten)  # it leaves the list of the pending at once
    assert taken == [4, 5, 6, 7, 8]


async def test_what_the_plan_shows_as_pending_again_is_fetched_again(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    for number in (1, 2, 3):
        done(book, number)
    unit = units.Unit("wallets", (key(4),))
    book.fail(unit.id, book.begin(unit), "400")
    await synced(store, book, ten)
    counts = await ten.counts("wallets")
    assert counts == {"pending": 6, "in_progress": 0, "done": 3, "error": 1}
    assert await keys_of(planned(store, book)) == [5, 6, 7, 8, 9, 10]
    assert await planned(store, book).expected() == plan_source.WorkEstimate(10, 6, 3, 1)
    await store.command(
        f"ALTER TABLE wallet_backfill_plan UPDATE status = 'pending' "
        f"WHERE wallet_address IN ('{key(2)}', '{key(4)}')"
    )
    assert await keys_of(planned(store, book)) == [2, 4, 5, 6, 7, 8, 9, 10]
    assert not book.is_done("wallets", key(2))
    assert book.failed_unit("wallets", key(4)) is None
    assert book.is_done("wallets", key(3))


async def test_an_end_the_plan_was_not_told_of_is_no_reset(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    done(book, 1)
    await book.sync()
    await keys_of(planned(store, book))
    assert book.is_done("wallets", key(1))


async def test_what_a_killed_run_left_in_progress_is_pending_at_the_next_start(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    held = [units.Unit("wallets", (key(number),)) for number in (1, 2)]
    sync = plan_sync.PlanSync(
        plan=ten,
        receipts=stored_receipts.StoredReceipts(store, book.run_name),
        checkpoint=book,
        leased={"wallets": lambda: held},
        clock=clocks.SystemClock(),
    )
    await sync.run()
    assert (await ten.counts("wallets"))["in_progress"] == 2
    # killed here: the checkpoint knows that 1 is done, the plan does not
    done(book, 1)
    await synced(store, book, ten)
    counts = await ten.counts("wallets")
    assert counts == {"pending": 9, "in_progress": 0, "done": 1, "error": 0}


async def test_a_window_takes_the_whole_plan_and_leaves_it_alone(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    for number in range(1, 11):
        done(book, number)
    await synced(store, book, ten)
    window = (1_700_000_000, 1_800_000_000)
    source = planned(store, book, window=window)
    assert await source.expected() == plan_source.WorkEstimate(10, 10)
    assert await keys_of(source) == list(range(1, 11))
    done(book, 1, window)
    await synced(store, book, ten)
    assert (await ten.counts("wallets"))["done"] == 10
    assert all(book.is_done("wallets", key(number)) for number in range(1, 11))


async def test_portions_of_a_window_are_the_next_ones_each_time(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    window, other = (1_700_000_000, 1_800_000_000), (1_700_000_000, 1_700_000_001)
    taken = []
    for _ in range(4):
        source = planned(store, book, window=window, limit=3)
        expected = await source.expected()
        taken.append(await keys_of(source))
        assert expected.keys == len(taken[-1])
        for number in taken[-1]:
            done(book, number, window)
    assert taken == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    assert await keys_of(planned(store, book, window=window, limit=3)) == []
    assert await keys_of(planned(store, book, window=other, limit=3)) == [1, 2, 3]
    assert await keys_of(planned(store, book, window=other, skip=8, limit=3)) == [9, 10]
    assert await planned(store, book, window=window).expected() == plan_source.WorkEstimate(10, 0)
    assert await ten.counts("wallets") == {**dict.fromkeys(plan_table.STATUSES, 0), "pending": 10}


async def test_a_wallet_in_error_is_no_next_one_in_its_window(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    window = (1_700_000_000, 1_800_000_000)
    unit = units.Unit("wallets", (key(1),), *window)
    book.fail(unit.id, book.begin(unit), "400")
    assert await keys_of(planned(store, book, window=window, limit=2)) == [2, 3]


async def test_a_wallet_to_skip_takes_part_in_no_run(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    await store.command("UPDATE wallet_backfill_plan SET status = 'skip' WHERE priority_rank < 9")
    assert await keys_of(planned(store, book)) == [9, 10]
    assert await keys_of(planned(store, book, window=(1, 2))) == [9, 10]
    assert (await planned(store, book).expected()).keys == 2


async def test_a_typed_key_that_was_set_back_by_hand_is_fetched_again(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    for number in (1, 2):
        done(book, number)
    await synced(store, book, ten)
    await store.command(
        f"UPDATE wallet_backfill_plan SET status = 'pending' WHERE wallet_address = '{key(2)}'"
    )
    typed = plan_source.ExplicitKeys(
        "wallets", [key(1), key(2)], plan_source.Selection(), book, ten
    )
    assert await typed.expected() == plan_source.WorkEstimate(2, 1, unsized=1)
    assert book.is_done("wallets", key(1))
    assert not book.is_done("wallets", key(2))


async def test_a_store_that_goes_away_while_the_plan_is_read_ends_nothing(
    store: client.Store,
    book: run_checkpoint.Checkpoint,
    ten: plan_table.PlanTable,
    monkeypatch: pytest.MonkeyPatch,
    events: list[structlog.typing.EventDict],
) -> None:
    monkeypatch.setattr(plan_source, "_CHUNK_ROWS", 3)
    monkeypatch.setattr(plan_source, "_AGAIN_S", 0.01)
    answers, asked = store.rows, []

    async def sometimes(sql: str, **more: object) -> list[dict[str, object]]:
        asked.append(sql)
        if len(asked) in {2, 3}:
            raise errors.Retry("no connection to the store")
        return await answers(sql, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "rows", sometimes)
    assert await keys_of(planned(store, book)) == list(range(1, 11))
    assert [event["event"] for event in events].count("plan.retry") == 2


async def test_two_syncs_at_once_write_one_after_the_other(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    held: list[units.Unit] = [units.Unit("wallets", (key(1),))]
    sync = plan_sync.PlanSync(
        plan=ten,
        receipts=stored_receipts.StoredReceipts(store, book.run_name),
        checkpoint=book,
        leased={"wallets": lambda: held},
        clock=clocks.SystemClock(),
    )
    first = asyncio.create_task(sync.run())
    await asyncio.sleep(0)
    done(book, 1)
    held.clear()
    await book.sync()
    await asyncio.gather(first, sync.run())
    assert (await ten.counts("wallets"))["done"] == 1


async def test_typed_keys_come_in_the_order_given(book: run_checkpoint.Checkpoint) -> None:
    typed = plan_source.ExplicitKeys(
        "wallets",
        [key(number) for number in (5, 3, 9)],
        plan_source.Selection(limit=2, skip=1),
        book,
    )
    assert await keys_of(typed) == [3, 9]
    assert await typed.expected() == plan_source.WorkEstimate(2, 2, unsized=2)
    done(book, 3)
    done(book, 9)
    later = plan_source.ExplicitKeys(
        "wallets", [key(number) for number in (5, 3, 9)], plan_source.Selection(limit=2), book
    )
    assert await keys_of(later) == [5]


async def test_attempts_are_shown_while_a_wallet_is_in_progress_and_when_it_waits_again(
    store: client.Store, book: run_checkpoint.Checkpoint, ten: plan_table.PlanTable
) -> None:
    unit, held = units.Unit("wallets", (key(1),)), []
    sync = plan_sync.PlanSync(
        plan=ten,
        receipts=stored_receipts.StoredReceipts(store, book.run_name),
        checkpoint=book,
        leased={"wallets": lambda: held},
        clock=clocks.SystemClock(),
    )
    shown = []
    for leased in (True, False, True, False):
        if leased:
            attempt = book.begin(unit)
            held.append(unit)
        else:
            book.give_back(unit.id, attempt, counted=True, error="503")
            held.clear()
        await sync.run()
        shown += await store.rows(
            "SELECT toString(status) AS status, attempts FROM wallet_backfill_plan "
            f"WHERE wallet_address = '{key(1)}'"
        )
    assert [(row["status"], row["attempts"]) for row in shown] == [
        ("in_progress", 1),
        ("pending", 1),
        ("in_progress", 2),
        ("pending", 2),
    ]
