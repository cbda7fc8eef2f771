"""Leases, attempts, waits, and what a restart finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import pytest
from tests import virtual_clock

from polybackfill import errors, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import unit_queue

PAGE = units.Counts(rows=10, pages=1)
RESUME: units.Resume = {"cursor": "x", "second": 5}
BATCH = units.Unit(units.WALLETS, ("a", "b", "c", "d"), expected_rows=40)


class Clock(virtual_clock.VirtualClock):
    """One that lets every task notice."""

    async def go_on(self, seconds: float) -> None:
        self.pass_by(seconds)
        await settled()


async def settled() -> None:
    """Let every task run until it waits for something; the loop waits for threads that sync."""
    for _ in range(3):
        await asyncio.sleep(0.005)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(folder: Path, clock: Clock) -> Iterator[run_checkpoint.Checkpoint]:
    opened = run_checkpoint.Checkpoint.open(folder, clock=clock)
    yield opened
    opened.close()


Lined = Callable[..., unit_queue.Queue]


@pytest.fixture
async def lined(book: run_checkpoint.Checkpoint, clock: Clock) -> AsyncIterator[Lined]:
    made: list[unit_queue.Queue] = []

    def make(feed: Iterable[units.Unit] = (), **settings: object) -> unit_queue.Queue:
        settings = {"checkpoint": book, "clock": clock, **settings}
        made.append(unit_queue.Queue(units.WALLETS, feed=feed, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        await one.close()


def wallets(*names: str) -> list[units.Unit]:
    return [units.Unit(units.WALLETS, (name,)) for name in names]


async def taken(lined_up: unit_queue.Queue, worker: str = "w") -> unit_queue.Lease:
    lease = await asyncio.wait_for(lined_up.lease_next(worker), 5)
    assert lease is not None
    return lease


def finish(
    book: run_checkpoint.Checkpoint,
    lined_up: unit_queue.Queue,
    lease: unit_queue.Lease,
    step: units.Counts = units.NOTHING,
) -> bool:
    """As the writer does: in the checkpoint, and then in the queue."""
    book.finish(lease.unit.id, lease.attempt, step)
    return lined_up.finish(lease)


async def test_units_come_in_the_order_of_the_feed_and_then_none(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a", "b", "c"))
    names = []
    for _ in range(3):
        lease = await taken(lined_up)
        names.append(lease.unit.keys[0])
        assert finish(book, lined_up, lease, PAGE)
    assert names == ["a", "b", "c"]
    assert await lined_up.lease_next("w") is None
    assert lined_up.drained
    assert lined_up.complete
    assert lined_up.stats()["done"] == 3


async def test_an_async_feed_works_alike(lined: Lined) -> None:
    async def feed() -> AsyncIterator[units.Unit]:
        for unit in wallets("a", "b"):
            await asyncio.sleep(0)
            yield unit

    lined_up = lined(feed())
    assert (await taken(lined_up)).unit.keys == ("a",)
    assert (await taken(lined_up)).unit.keys == ("b",)


async def test_two_workers_never_hold_the_same_unit(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a", "b", "c", "d", "b", "a"))
    leases = await asyncio.gather(*(taken(lined_up, f"w{number}") for number in range(4)))
    assert {lease.unit.keys[0] for lease in leases} == {"a", "b", "c", "d"}
    for lease in leases:
        finish(book, lined_up, lease)
    assert await lined_up.lease_next("w") is None


async def test_the_feed_is_read_no_further_than_it_must(lined: Lined, clock: Clock) -> None:
    read = 0

    def endless() -> Iterator[units.Unit]:
        nonlocal read
        while True:
            read += 1
            yield units.Unit(units.WALLETS, (f"{read}",))

    lined_up = lined(endless(), look_ahead=10)
    for number in range(11):
        lined_up.give_back(await taken(lined_up), not_before=clock.time + 100 + number)
        await settled()
    # In an outage everything comes back: the feed rests until the first of them is due.
    outage = asyncio.create_task(lined_up.lease_next("w"))
    await settled()
    assert not outage.done()
    assert lined_up.stats()["waiting"] == read == 11
    await clock.go_on(100)
    assert await outage is not None


async def test_what_is_done_is_passed_over_and_what_failed_too(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    done, failed = wallets("a", "b")
    book.finish(done.id, book.begin(done))
    book.fail(failed.id, book.begin(failed), "400")
    lined_up = lined([*wallets("a", "b"), BATCH])
    lease = await taken(lined_up)
    assert lease.unit.keys == ("c", "d")
    assert lease.unit.expected_rows == 20
    assert lined_up.stats()["skipped_done"] == 2
    assert lined_up.stats()["skipped_error"] == 1, "one key, however often it is named"


async def test_a_long_list_of_finished_units_does_not_hold_the_loop(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    for unit in wallets(*(f"{number}" for number in range(2_000))):
        book.finish(unit.id, book.begin(unit))
    lined_up = lined(wallets(*(f"{number}" for number in range(2_000))))
    turns = 0
    taker = asyncio.create_task(lined_up.lease_next("w"))
    while not taker.done():
        turns += 1
        await asyncio.sleep(0)
    assert await taker is None
    assert turns >= 2_000 // 256


async def test_the_attempt_is_on_disk_when_the_lease_is_given(lined: Lined, folder: Path) -> None:
    lease = await taken(lined(wallets("a")))
    (held,) = run_checkpoint.Checkpoint.view(folder).open_units()
    assert (held.unit, held.attempt, held.in_flight) == (lease.unit, lease.attempt, True)


async def test_a_unit_given_back_waits_for_its_time_and_keeps_its_place(
    lined: Lined, book: run_checkpoint.Checkpoint, clock: Clock
) -> None:
    lined_up = lined(wallets("a", "b"))
    first = await taken(lined_up)
    book.advance(first.unit.id, first.attempt, RESUME, PAGE)
    assert lined_up.give_back(first, not_before=clock.time + 60, error="503")
    assert (await taken(lined_up)).unit.keys == ("b",)
    waiting = asyncio.create_task(lined_up.lease_next("w"))
    await settled()
    await clock.go_on(59)
    assert not waiting.done()
    await clock.go_on(1)
    lease = await waiting
    assert lease is not None
    assert (lease.unit, lease.resume, lease.attempt) == (first.unit, RESUME, first.attempt + 1)


async def test_a_waiting_taker_wakes_when_a_unit_comes_back(lined: Lined) -> None:
    lined_up = lined(wallets("a"))
    lease = await taken(lined_up)
    waiting = asyncio.create_task(lined_up.lease_next("w2"))
    await settled()
    assert not waiting.done()
    lined_up.give_back(lease, count_attempt=False)
    found = await asyncio.wait_for(waiting, 5)
    assert found is not None
    assert found.worker == "w2"


async def test_the_last_finish_ends_everybody_who_waits(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"))
    lease = await taken(lined_up)
    idle = [asyncio.create_task(lined_up.lease_next(f"w{number}")) for number in range(5)]
    await settled()
    assert not any(task.done() for task in idle)
    finish(book, lined_up, lease)
    assert await asyncio.wait_for(asyncio.gather(*idle), 5) == [None] * 5


async def test_stop_ends_everybody_who_waits_and_hands_out_nothing(lined: Lined) -> None:
    lined_up = lined(wallets("a", "b"))
    lease = await taken(lined_up)
    await taken(lined_up)
    idle = asyncio.create_task(lined_up.lease_next("w"))
    await settled()
    lined_up.stop()
    assert await asyncio.wait_for(idle, 5) is None
    lined_up.give_back(lease)
    assert await lined_up.lease_next("w") is None
    assert lined_up.drained
    assert not lined_up.complete


async def test_an_old_lease_is_refused_once_another_worker_has_the_unit(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"))
    old = await taken(lined_up)
    lined_up.give_back(old)
    new = await taken(lined_up)
    assert not lined_up.touch(old)
    assert not finish(book, lined_up, old)
    assert not lined_up.give_back(old)
    assert not lined_up.fail(old, "late")
    assert not lined_up.split(old)
    assert not lined_up.expire(old)
    assert lined_up.touch(new)
    assert finish(book, lined_up, new)
    assert not finish(book, lined_up, new)
    assert lined_up.stats()["done"] == 1


async def test_an_expired_lease_is_fenced_at_once(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"))
    stalled = await taken(lined_up)
    assert lined_up.expire(stalled)
    assert not book.advance(stalled.unit.id, stalled.attempt, RESUME, PAGE)
    assert not finish(book, lined_up, stalled)
    again = await taken(lined_up)
    assert again.unit == stalled.unit
    assert book.open_units()[0].errors == 1


async def test_a_unit_whose_last_page_is_acknowledged_after_it_was_given_back_is_done(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a", "b"))
    first, second = await taken(lined_up), await taken(lined_up)
    for lease in (first, second):
        lined_up.give_back(lease, count_attempt=False)
    assert finish(book, lined_up, first)
    book.finish(second.unit.id, second.attempt)
    assert await lined_up.lease_next("w") is None
    assert lined_up.stats()["done"] == 2
    assert lined_up.complete


async def test_the_writer_finishes_a_unit_in_the_checkpoint_before_it_tells_the_queue(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"))
    lease = await taken(lined_up)
    assert book.finish(lease.unit.id, lease.attempt, PAGE)
    await book.sync()
    assert lined_up.finish(lease)
    assert [receipt.counts for receipt in book.receipts()] == [PAGE]


async def test_attempts_end_in_error_with_the_last_message(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"), max_attempts=3)
    for number in range(3):
        lease = await taken(lined_up)
        assert lease.attempt == number + 1
        lined_up.give_back(lease, error=f"reset {number}")
    assert await lined_up.lease_next("w") is None
    (failed,) = book.failed_units()
    assert failed.error == "3 attempts failed, the last: reset 2"
    assert failed.passing, "what passes may be tried again another night"
    assert lined_up.stats()["error"] == 1


async def test_attempts_that_gained_something_do_not_add_up(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"), max_attempts=2)
    for number in range(19):
        lease = await taken(lined_up)
        book.advance(lease.unit.id, lease.attempt, {"cursor": f"{number}"}, PAGE)
        lined_up.give_back(lease, error="reset")
    assert book.failed_units() == []
    lined_up.give_back(await taken(lined_up), error="reset")
    assert await lined_up.lease_next("w") is None
    assert len(book.failed_units()) == 1


async def test_polite_returns_are_free(lined: Lined, book: run_checkpoint.Checkpoint) -> None:
    lined_up = lined(wallets("a"), max_attempts=1)
    for _ in range(10):
        lined_up.give_back(await taken(lined_up), count_attempt=False)
    assert book.failed_units() == []


async def test_a_permanent_refusal_of_a_batch_is_narrowed_down_to_its_key(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined([BATCH])
    while (lease := await asyncio.wait_for(lined_up.lease_next("w"), 5)) is not None:
        if "c" in lease.unit.keys:
            lined_up.fail(lease, "400 bad key")
        else:
            finish(book, lined_up, lease)
    assert [(failed.unit.keys, failed.passing) for failed in book.failed_units()] == [
        (("c",), False)
    ]
    assert all(book.is_done(units.WALLETS, key) for key in ("a", "b", "d"))
    assert lined_up.stats()["done"] == 3
    assert lined_up.stats()["error"] == 1
    assert lined_up.stats()["splits"] == 2


async def test_what_failed_is_tried_again_and_counts_once_whatever_the_feed_says_of_it(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    """One that failed here, one that the feed names as failed before, one that it names later."""
    here, before, later, last = wallets("a", "b", "c", "d")
    for unit in (before, later):
        book.fail(unit.id, book.begin(unit), "400")
    more = asyncio.Event()

    async def feed() -> AsyncIterator[units.Unit]:
        yield here
        yield before
        await more.wait()
        for unit in (here, before, later, last):
            yield unit

    lined_up = lined(feed())
    assert lined_up.fail(await taken(lined_up), "400")
    await settled()
    assert [lined_up.has_failed(unit) for unit in (here, before, later)] == [True, True, False]
    for unit in (here, before, later):
        book.reopen(unit.id)
        assert lined_up.retry(unit)
        assert lined_up.retry(unit), "asked for twice, it is there once"
    stats = lined_up.stats()
    assert (stats["error"], stats["skipped_error"], stats["retried_unnamed"]) == (0, 0, 1)
    for unit in (here, before, later):
        lease = await taken(lined_up)
        assert lease.unit == unit
        assert finish(book, lined_up, lease)
    more.set()
    assert (await taken(lined_up)).unit == last
    stats = lined_up.stats()
    assert (stats["done"], stats["skipped_done"], stats["skipped_error"]) == (3, 0, 0)
    lined_up.stop()
    assert not lined_up.retry(before), "nothing is handed out any more"


async def test_a_batch_that_is_too_big_comes_back_in_halves(lined: Lined) -> None:
    lined_up = lined([BATCH, *wallets("z")])
    lined_up.split(await taken(lined_up))
    keys = [(await taken(lined_up)).unit.keys for _ in range(3)]
    assert keys == [("a", "b"), ("c", "d"), ("z",)]


async def test_one_key_that_is_too_big_is_tried_again(lined: Lined) -> None:
    lined_up = lined(wallets("a"))
    lease = await taken(lined_up)
    lined_up.split(lease)
    assert (await taken(lined_up)).unit == lease.unit


async def test_a_span_that_is_too_full_comes_back_in_halves_also_after_a_restart(
    lined: Lined, book: run_checkpoint.Checkpoint, folder: Path, clock: Clock
) -> None:
    sweep = wallets("open:0..86400@1", "open:86400..@1")
    lined_up = lined(sweep)
    lined_up.split(await taken(lined_up))
    early = await taken(lined_up)
    assert early.unit.keys == ("open:0..43200@1",)
    finish(book, lined_up, early)
    await book.sync()
    book.close()

    again = run_checkpoint.Checkpoint.open(folder, clock=clock)
    lined_up = lined(sweep, checkpoint=again)
    keys = [(await taken(lined_up)).unit.keys for _ in range(2)]
    assert keys == [("open:43200..86400@1",), ("open:86400..@1",)]
    assert lined_up.stats()["skipped_done"] == 1
    again.close()


async def test_a_restart_goes_on_where_the_dead_process_stood(
    lined: Lined, book: run_checkpoint.Checkpoint, folder: Path, clock: Clock
) -> None:
    lined_up = lined(wallets("a", "b", "c"))
    first, second = await taken(lined_up), await taken(lined_up)
    book.advance(second.unit.id, second.attempt, RESUME, PAGE)
    await book.sync()
    with_killed = run_checkpoint.Checkpoint.open(folder, clock=clock)
    restarted = lined(wallets("a", "b", "c"), checkpoint=with_killed)
    leases = [await taken(restarted) for _ in range(3)]
    assert [lease.unit.keys[0] for lease in leases] == ["a", "b", "c"]
    assert [lease.attempt for lease in leases] == [first.attempt + 1, second.attempt + 1, 1]
    assert [lease.resume for lease in leases] == [None, RESUME, None]
    with_killed.close()


async def test_units_left_open_can_be_left_for_another_run_until_the_feed_names_them(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    book.begin(BATCH)
    book.give_back(BATCH.id, 1, counted=False)
    assert await lined(wallets("z")[:0], adopts=lambda _unit: False).lease_next("w") is None
    lease = await taken(lined(wallets("b"), adopts=lambda _unit: False))
    assert lease.unit == BATCH
    assert await taken(lined(wallets("z"))) is not None


async def test_units_of_another_kind_are_not_touched(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    book.begin(units.Unit(units.CONDITIONS, ("c",)))
    assert await lined().lease_next("w") is None


async def test_a_wait_for_retry_outlasts_a_restart(
    lined: Lined, book: run_checkpoint.Checkpoint, clock: Clock
) -> None:
    lined_up = lined(wallets("a"))
    lined_up.give_back(await taken(lined_up), not_before=clock.time + 60)
    await lined_up.close()
    waiting = asyncio.create_task(lined().lease_next("w"))
    await settled()
    await clock.go_on(59)
    assert not waiting.done()
    await clock.go_on(1.1)
    assert await waiting is not None


async def test_a_unit_that_kills_its_process_each_time_ends_in_error(
    book: run_checkpoint.Checkpoint, folder: Path, clock: Clock
) -> None:
    book.close()
    deaths = 0
    while True:
        reopened = run_checkpoint.Checkpoint.open(folder, clock=clock)
        lined_up = unit_queue.Queue(
            units.WALLETS, feed=wallets("a"), checkpoint=reopened, clock=clock, max_interruptions=4
        )
        lease = await lined_up.lease_next("w")
        if lease is None:
            break
        deaths += 1
        # The process dies here: nothing is closed and nothing more is written.
    assert deaths == 4
    (failed,) = reopened.failed_units()
    assert "died 4 times" in failed.error
    assert lined_up.stats()["error"] == 1
    reopened.close()


async def test_what_the_feed_raises_reaches_every_taker(lined: Lined) -> None:
    async def feed() -> AsyncIterator[units.Unit]:
        yield wallets("a")[0]
        raise errors.Stop("the plan table is gone")

    lined_up = lined(feed())
    for _ in range(2):
        with pytest.raises(errors.Stop, match="plan table"):
            await asyncio.wait_for(lined_up.lease_next("w"), 5)
    assert not lined_up.drained


async def test_a_taker_that_is_cancelled_loses_no_unit(
    lined: Lined, book: run_checkpoint.Checkpoint
) -> None:
    lined_up = lined(wallets("a"))
    for number in range(20):
        taker = asyncio.create_task(lined_up.lease_next("w"))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        taker.cancel()
        lease = (await asyncio.gather(taker, return_exceptions=True))[0]
        if isinstance(lease, unit_queue.Lease):
            lined_up.give_back(lease, count_attempt=False)
    assert (await taken(lined_up)).unit.keys == ("a",)
    assert book.open_units()[0].errors == 0


async def test_nobody_spins_while_there_is_nothing_to_do(lined: Lined, clock: Clock) -> None:
    lined_up = lined((unit for unit in wallets(*"abcdefgh")), look_ahead=2)
    leases = [await taken(lined_up) for _ in range(3)]
    for lease in leases:
        lined_up.give_back(lease, not_before=clock.time)
    await settled()
    sleeps = len(clock._sleepers)
    await settled()
    assert len(clock._sleepers) == sleeps
