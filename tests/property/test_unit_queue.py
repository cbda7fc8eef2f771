"""The queue under any order of takes, ends, stalls, splits, waits and restarts."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests import virtual_clock

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import unit_queue

KEYS = tuple("abcdefghij")
MAX_ATTEMPTS = 3


@st.composite
def feeds(draw: st.DrawFn) -> list[units.Unit]:
    """Batches over few keys, so that some overlap and some repeat."""
    batches = st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)
    return [units.Unit(units.CONDITIONS, tuple(keys)) for keys in draw(st.lists(batches))]


class QueueMachine(RuleBasedStateMachine):
    """Each key of the feed is in exactly one place, and all of them come to an end."""

    @initialize(feed=feeds(), look_ahead=st.integers(1, 4))
    def start(self, feed: list[units.Unit], look_ahead: int) -> None:
        self.runner = asyncio.Runner()
        self.clock = virtual_clock.VirtualClock()
        self.feed = feed
        self.asked = {key for unit in feed for key in unit.keys}
        self.look_ahead = look_ahead
        self.folder = Path(tempfile.mkdtemp(prefix="queue-property-"))
        self.leases: list[unit_queue.Lease] = []
        self.old: list[unit_queue.Lease] = []
        self.refused: set[str] = set()
        self.takers: list[asyncio.Task[unit_queue.Lease | None]] = []
        self.open()

    def open(self) -> None:
        self.book = run_checkpoint.Checkpoint.open(self.folder, clock=self.clock, fold_lines=20)
        self.queue = unit_queue.Queue(
            units.CONDITIONS,
            feed=iter(self.feed),
            checkpoint=self.book,
            clock=self.clock,
            look_ahead=self.look_ahead,
            max_attempts=MAX_ATTEMPTS,
            max_interruptions=MAX_ATTEMPTS,
        )

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        try:
            self.work_to_the_end()
        finally:
            self.runner.run(self.let_go())
            self.book.close()
            self.runner.close()
            shutil.rmtree(self.folder)

    async def let_go(self) -> None:
        for task in self.takers:
            task.cancel()
        await asyncio.gather(*self.takers, return_exceptions=True)
        self.takers.clear()
        await self.queue.close()

    async def settle(self) -> None:
        """Let the takers run as far as they get; a sync among it takes a real moment."""
        quiet_turns = 0
        while quiet_turns < 8:
            quiet_turns += 1
            await asyncio.sleep(0)
            if (writing := self.book._durable._flight) is not None:
                await asyncio.wait({writing})
                quiet_turns = 0
        for task in [one for one in self.takers if one.done()]:
            self.takers.remove(task)
            lease = task.result()
            if lease is None:
                assert self.queue.complete
            else:
                self.received(lease)

    def received(self, lease: unit_queue.Lease) -> None:
        held = {key for other in self.leases for key in other.unit.keys}
        assert not held & set(lease.unit.keys), "two workers hold one key"
        assert all(not self.book.is_done(units.CONDITIONS, key) for key in lease.unit.keys)
        self.leases.append(lease)

    def drop(self, data: st.DataObject) -> unit_queue.Lease:
        lease = data.draw(st.sampled_from(self.leases))
        self.leases.remove(lease)
        self.old.append(lease)
        return lease

    @precondition(lambda self: len(self.takers) < 4)
    @rule()
    def take(self) -> None:
        async def begin() -> None:
            self.takers.append(asyncio.create_task(self.queue.lease_next(f"w{len(self.takers)}")))
            await self.settle()

        self.runner.run(begin())

    @precondition(lambda self: self.takers)
    @rule(data=st.data())
    def cancel_a_taker(self, data: st.DataObject) -> None:
        async def cancel() -> None:
            task = self.takers.pop(data.draw(st.integers(0, len(self.takers) - 1)))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.settle()

        self.runner.run(cancel())

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        assert self.book.advance(lease.unit.id, lease.attempt, {"cursor": "x"})

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        lease = self.drop(data)
        assert self.book.finish(lease.unit.id, lease.attempt)
        assert self.queue.finish(lease)
        self.runner.run(self.settle())

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        lease = self.drop(data)
        assert self.queue.fail(lease, "400")
        self.refused.update(lease.unit.keys)
        self.runner.run(self.settle())

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), wait_s=st.integers(0, 50), counted=st.booleans())
    def give_back(self, data: st.DataObject, wait_s: int, counted: bool) -> None:
        lease = self.drop(data)
        not_before = self.clock.time + wait_s
        assert self.queue.give_back(lease, not_before=not_before, count_attempt=counted)
        self.refused.update(lease.unit.keys)
        self.runner.run(self.settle())

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        lease = self.drop(data)
        assert self.queue.expire(lease)
        assert not self.book.advance(lease.unit.id, lease.attempt, {"cursor": "late"})
        assert not self.book.finish(lease.unit.id, lease.attempt)
        assert not self.queue.finish(lease)
        self.refused.update(lease.unit.keys)
        self.runner.run(self.settle())

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        lease = self.drop(data)
        assert self.queue.split(lease)
        self.refused.update(lease.unit.keys)
        self.runner.run(self.settle())

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def an_old_lease_speaks(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.old))
        assert not self.queue.touch(lease)
        assert not self.queue.give_back(lease)
        assert not self.queue.fail(lease, "late")
        assert not self.queue.expire(lease)
        assert not self.queue.split(lease)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        async def later() -> None:
            self.clock.pass_by(seconds)
            await self.settle()

        self.runner.run(later())

    @rule()
    def the_process_dies(self) -> None:
        self.refused.update(key for lease in self.leases for key in lease.unit.keys)
        self.runner.run(self.let_go())
        self.book.close()
        self.leases.clear()
        self.old.clear()
        self.open()

    @invariant()
    def every_key_is_in_one_place(self) -> None:
        if not hasattr(self, "queue"):
            return
        stats = self.queue.stats()
        assert stats["leased"] == sum(len(lease.unit.keys) for lease in self.leases)
        queued = list(self.queue._backlog)
        keys = [key for unit in [*queued, *(one.unit for one in self.leases)] for key in unit.keys]
        assert len(keys) == len(set(keys))
        assert set(keys) <= self.asked
        ended = {key for key in self.asked if self.book.is_done(units.CONDITIONS, key)}
        ended |= {one.unit.keys[0] for one in self.book.failed_units()}
        assert not ended & set(keys)

    def work_to_the_end(self) -> None:
        """Whatever happened before: what is left can be finished, and then it is over."""
        for _ in range(200):
            for lease in self.leases:
                assert self.book.finish(lease.unit.id, lease.attempt)
                assert self.queue.finish(lease)
            self.leases.clear()
            self.time_passes(60)
            if self.queue.complete:
                break
            if not self.takers:
                self.take()
        assert self.queue.complete
        failed = {key for one in self.book.failed_units() for key in one.unit.keys}
        for key in self.asked:
            assert self.book.is_done(units.CONDITIONS, key) != (key in failed)
        assert failed <= self.refused
        assert self.book.open_units() == []
        assert all(len(one.unit.keys) == 1 for one in self.book.failed_units())


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_queue_loses_and_doubles_nothing = QueueMachine.TestCase
