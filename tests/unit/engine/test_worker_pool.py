"""Workers: hired as needed, replaced when stalled, and none of them lost on the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from tests import virtual_clock

from polybackfill import errors, units, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import unit_queue, worker_pool


@pytest.fixture
def book(tmp_path: Path) -> Iterator[run_checkpoint.Checkpoint]:
    """An empty checkpoint."""
    opened = run_checkpoint.Checkpoint.open(tmp_path / "run")
    yield opened
    opened.close()


def a_queue(book: run_checkpoint.Checkpoint, count: int) -> unit_queue.Queue:
    """So many wallets to fetch."""
    feed = [units.Unit(units.WALLETS, (f"{number:040x}",)) for number in range(count)]
    return unit_queue.Queue(
        units.WALLETS, feed=feed, checkpoint=book, clock=virtual_clock.LoopClock()
    )


Work = Callable[[unit_queue.Lease, worker_progress.Progress], Awaitable[None]]


@dataclass(frozen=True)
class Runner:
    """Works as the test says, on a host that answers."""

    work: Work

    async def run_unit(self, lease: unit_queue.Lease, progress: worker_progress.Progress) -> None:
        await self.work(lease, progress)

    def is_outage(self, lease: unit_queue.Lease) -> bool:
        del lease
        return False


def a_crew(
    line: unit_queue.Queue,
    work: Work,
    *,
    size: Callable[[], int] = lambda: 3,
    stall_s: float = 30,
) -> worker_pool.WorkerPool:
    """A pool over that queue."""
    return worker_pool.WorkerPool(
        units.WALLETS,
        queue=line,
        runner=Runner(work),
        size=size,
        stall_s=stall_s,
        clock=virtual_clock.LoopClock(),
    )


async def test_a_worker_that_ignores_its_end_does_not_hold_up_the_crew(
    book: run_checkpoint.Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    events: list[structlog.typing.EventDict],
) -> None:
    monkeypatch.setattr(worker_pool, "CANCEL_WAIT_S", 0.2)
    line, let_go, deaf = a_queue(book, 2), asyncio.Event(), []

    async def work(lease: unit_queue.Lease, _marks: worker_progress.Progress) -> None:
        if lease.attempt > 1 or deaf:
            book.finish(lease.unit.id, lease.attempt)
            line.finish(lease)
            return
        deaf.append(asyncio.current_task())
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    running = a_crew(line, work, stall_s=0.3)
    async with asyncio.timeout(5):
        await running.run()
    assert running.stalls == 1
    assert line.stats()["done"] == 2
    assert [event["event"] for event in events if event["log_level"] == "error"] == [
        "worker.stalled",
        "worker.does_not_end",
    ]
    let_go.set()
    await asyncio.gather(*deaf)
    await line.close()


async def test_the_end_of_a_replaced_worker_is_not_lost(
    book: run_checkpoint.Checkpoint, events: list[structlog.typing.EventDict]
) -> None:
    line = a_queue(book, 1)

    async def work(lease: unit_queue.Lease, _marks: worker_progress.Progress) -> None:
        if lease.attempt > 1:
            book.finish(lease.unit.id, lease.attempt)
            line.finish(lease)
            return
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("could not tidy up")

    async with asyncio.timeout(5):
        await a_crew(line, work, stall_s=0.3).run()
    (ended,) = [event for event in events if event["event"] == "worker.ended_badly"]
    assert "could not tidy up" in ended["error"]
    await line.close()


async def test_a_stop_from_one_worker_ends_the_crew_and_gives_the_units_back(
    book: run_checkpoint.Checkpoint,
) -> None:
    line = a_queue(book, 3)

    async def work(lease: unit_queue.Lease, _marks: worker_progress.Progress) -> None:
        if lease.unit.keys[0].endswith("1"):
            await asyncio.sleep(0.05)
            raise errors.Stop("the disk is full", exit_code=errors.EXIT_UNAVAILABLE)
        await asyncio.Event().wait()

    with pytest.raises(errors.Stop, match="the disk is full"):
        await a_crew(line, work).run()
    waiting = line.stats()
    assert waiting["ready"] + waiting["waiting"] == 2
    assert all(held.errors == 0 for held in book.open_units())
    await line.close()


async def test_one_too_many_leaves_and_not_all_at_once(book: run_checkpoint.Checkpoint) -> None:
    line, size, held = a_queue(book, 200), [6], []

    async def work(lease: unit_queue.Lease, _marks: worker_progress.Progress) -> None:
        held.append(sum(not one.task.done() for one in running._workers if one.task))
        await asyncio.sleep(0.02)
        book.finish(lease.unit.id, lease.attempt)
        line.finish(lease)
        if line.stats()["done"] == 60:
            size[0] = 5
            held.clear()

    running = a_crew(line, work, size=lambda: size[0])
    await running.run()
    assert line.stats()["done"] == 200
    # The five that are needed stayed.
    assert set(held[6:60]) == {5}
    await line.close()


async def test_only_pages_move_the_marks(book: run_checkpoint.Checkpoint) -> None:
    line = a_queue(book, 4)

    async def work(lease: unit_queue.Lease, marks: worker_progress.Progress) -> None:
        if lease.unit.keys[0].endswith("1"):
            marks.mark("page")
            marks.mark("page")
        book.finish(lease.unit.id, lease.attempt)
        line.finish(lease)

    running = a_crew(line, work)
    await running.run()
    assert running.marks == 2  # also when the workers are gone
    await line.close()


async def test_who_holds_a_unit_is_listed_with_the_pages_that_are_stored(
    book: run_checkpoint.Checkpoint,
) -> None:
    line, listed = a_queue(book, 1), []

    async def work(lease: unit_queue.Lease, progress: worker_progress.Progress) -> None:
        for _ in range(2):
            page = units.Counts(rows=7, pages=1)
            book.advance(lease.unit.id, lease.attempt, None, page)
        with progress.waiting("limit"):
            listed.extend(running.describe_workers(book.pages))
        book.finish(lease.unit.id, lease.attempt)
        line.finish(lease)

    running = a_crew(line, work)
    async with asyncio.timeout(5):
        await running.run()
    (worker,) = listed
    assert (worker["pages"], worker["wait"]) == (2, "limit")
    assert worker["unit"] == f"wallets:{0:040x}"
