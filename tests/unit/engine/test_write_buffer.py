"""Rows leave in order, in time, and never pile up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests import virtual_clock

from polybackfill import units, worker_progress
from polybackfill.engine import store_writer, unit_queue
from polybackfill.polymarket import pagination

TABLE = "external_trades_landing"
LEASE = unit_queue.Lease(
    unit=units.Unit(units.WALLETS, ("ab" * 20,)),
    attempt=1,
    worker="w",
    resume=None,
    taken_at=0.0,
)


def page_batch(number: int, rows: int = 10, size: int = 100) -> store_writer.PageBatch:
    """A page of so many rows and bytes."""
    line = b"%04d" % number + b"x" * (size - 4)
    return store_writer.PageBatch(LEASE, {TABLE: line}, {TABLE: rows}, pagination.Resume(), False)


def a_batch(**changes: float) -> store_writer.WriteBuffer:
    """A batch that is cut by nothing in particular."""
    bounds = {"cut_rows": 10**6, "cut_bytes": 10**9, "cut_age_s": 60.0, "buffer_bytes": 10**9}
    return store_writer.WriteBuffer(**{**bounds, **changes}, clock=virtual_clock.LoopClock())  # type: ignore[arg-type]


def marks() -> worker_progress.Progress:
    """A worker's progress."""
    return worker_progress.Progress(virtual_clock.LoopClock())


def numbers(cut: store_writer.InsertBatch | None) -> list[int]:
    """Which pages a cut holds."""
    assert cut is not None
    return [int(one.lines[TABLE][:4]) for one in cut.pages]


@pytest.mark.parametrize("bounds", [{"cut_rows": 30}, {"cut_bytes": 300}, {"buffer_bytes": 300}])
async def test_a_cut_is_as_large_as_it_should_be_and_keeps_the_order(
    bounds: dict[str, float],
) -> None:
    buffer = a_batch(**bounds)
    adding = [asyncio.create_task(buffer.add(page_batch(number), marks())) for number in range(7)]
    async with asyncio.timeout(2):
        assert numbers(await buffer.next_insert()) == [0, 1, 2]
        assert numbers(await buffer.next_insert()) == [3, 4, 5]
        last = asyncio.create_task(buffer.next_insert())
        await asyncio.gather(*adding)
        await buffer.close()
        assert numbers(await last) == [6]
        assert await buffer.next_insert() is None
    assert buffer.stats()["rows"] == buffer.stats()["bytes"] == 0


async def test_a_young_cut_waits_until_its_oldest_row_is_due() -> None:
    buffer = a_batch(cut_age_s=0.2)
    began_at = asyncio.get_running_loop().time()
    taking = asyncio.create_task(buffer.next_insert())
    await asyncio.sleep(0.05)
    await buffer.add(page_batch(1), marks())
    await asyncio.sleep(0.1)
    await buffer.add(page_batch(2), marks())
    async with asyncio.timeout(2):
        assert numbers(await taking) == [1, 2]
    assert 0.2 <= asyncio.get_running_loop().time() - began_at < 1


async def test_nobody_is_fetching_so_what_is_held_goes_at_once_and_only_that() -> None:
    buffer = a_batch()
    await buffer.flush_soon()  # of an empty batch: nothing to remember
    taking = asyncio.create_task(buffer.next_insert())
    await buffer.add(page_batch(1), marks())
    await asyncio.sleep(0.05)
    assert not taking.done()
    await buffer.flush_soon()
    async with asyncio.timeout(1):
        assert numbers(await taking) == [1]
    taking = asyncio.create_task(buffer.next_insert())
    await buffer.add(page_batch(2), marks())
    await asyncio.sleep(0.05)
    assert not taking.done()
    await buffer.close()
    assert numbers(await taking) == [2]


async def test_a_full_buffer_is_a_declared_wait_until_the_store_has_a_cut() -> None:
    buffer = a_batch(buffer_bytes=250, cut_rows=20)
    shown = marks()
    for number in range(3):
        await buffer.add(page_batch(number), shown)
    adding = asyncio.create_task(buffer.add(page_batch(3), shown))
    await asyncio.sleep(0.02)
    assert shown.wait_reason == "store"
    assert shown.idle_s() == 0
    assert numbers(await buffer.next_insert()) == [0, 1]
    await asyncio.sleep(0.02)
    assert not adding.done()  # the cut in hand is buffer as well
    taking = asyncio.create_task(buffer.next_insert())
    async with asyncio.timeout(1):
        await adding
        assert numbers(await taking) == [2, 3]
    assert shown.wait_reason is None


async def test_many_workers_at_a_full_buffer_hold_one_page_each_at_most() -> None:
    buffer = a_batch(buffer_bytes=1_000, cut_rows=50)
    adding = [asyncio.create_task(buffer.add(page_batch(number), marks())) for number in range(200)]
    seen, largest = 0, 0.0
    async with asyncio.timeout(5):
        while seen < 200:
            seen += len(numbers(await buffer.next_insert()))
            largest = max(largest, buffer.stats()["bytes"])
            await asyncio.sleep(0)
    await asyncio.gather(*adding)
    assert largest <= 1_000 + 100


async def test_a_worker_cancelled_at_a_full_buffer_has_added_nothing() -> None:
    buffer = a_batch(buffer_bytes=100)
    await buffer.add(page_batch(1), marks())
    adding = asyncio.create_task(buffer.add(page_batch(2), marks()))
    await asyncio.sleep(0.02)
    # The room and the end come at the same moment.
    taking = asyncio.create_task(buffer.next_insert())
    await asyncio.sleep(0)
    adding.cancel()
    assert numbers(await taking) == [1]
    with pytest.raises(asyncio.CancelledError):
        await adding
    await buffer.close()
    assert await buffer.next_insert() is None


def test_a_cut_keeps_tables_apart(tmp_path: Path) -> None:
    both = store_writer.PageBatch(
        LEASE, {TABLE: b"t\n", "other": b"o\n"}, {TABLE: 1, "other": 2}, pagination.Resume(), True
    )
    cut = store_writer.InsertBatch([both, page_batch(1)])
    assert b"".join(cut.lines("other")) == b"o\n"
    assert (cut.rows(TABLE), cut.rows("other"), cut.rows("none")) == (11, 2, 0)
    assert (both.bytes, both.row_count) == (4, 3)
