"""Units on their way to workers: leases, attempts, waits. Knows no HTTP and no SQL.

A unit is ready, waiting for its time, or leased; every change of hands goes through the checkpoint,
so a killed process leaves the units it held open, with where they stood and how often they were
tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

import structlog

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint, unit_states
from polybackfill.engine import backlog, change_event, intake, retry_policy

log = structlog.get_logger()

LOOK_AHEAD = 200
# Units are given back for seconds; what an earlier process noted rests on a clock maybe wrong.
_LONGEST_RETRY_WAIT_S = 60.0


@dataclass(frozen=True)
class Lease:
    """The right to work on a unit. `resume`: where its walk goes on, None = at the first page.

    `attempt` is the checkpoint's fence; `counts`: what earlier attempts have stored.
    """

    unit: units.Unit
    attempt: int
    worker: str
    resume: units.Resume | None
    taken_at: float
    counts: units.Counts = units.NOTHING


class Queue:
    """The units of one kind, in the order of their feed; retries as soon as they are due.

    `feed` is read ahead by at most `look_ahead` units; keys that are done, in error, or already
    in the queue are skipped, so a feed may simply list everything. Units an earlier process left
    open come first, those that it `adopts`; of the others only what the feed names.
    `feed_rests`: whether the feed, which goes on later, has named all there is to do by now.
    """

    def __init__(
        self,
        kind: str,
        *,
        feed: intake.Feed,
        checkpoint: run_checkpoint.Checkpoint,
        clock: clocks.Clock,
        max_attempts: int = retry_policy.MAX_ATTEMPTS,
        max_interruptions: int = retry_policy.MAX_INTERRUPTIONS,
        look_ahead: int = LOOK_AHEAD,
        adopts: Callable[[units.Unit], bool] = lambda _unit: True,
        feed_rests: Callable[[], bool] = lambda: False,
    ) -> None:
        self.kind = kind
        self._checkpoint = checkpoint
        self._clock = clock
        self._retry_policy = retry_policy.UnitRetryPolicy(max_attempts, max_interruptions)
        self._intake = intake.Intake(checkpoint, change_event.ChangeEvent(f"{kind}-dropped", clock))
        self._backlog = backlog.Backlog(clock, capacity=look_ahead)
        self._leases: dict[str, Lease] = {}
        self._counts: Counter[str] = Counter()
        self._feed_rests = feed_rests
        self._changed = change_event.ChangeEvent(f"{kind}-queue", clock)
        self._reader = intake.FeedReader(
            f"{kind}-feed", feed, admit=self._admit, backlog=self._backlog, changed=self._changed
        )
        self._stopped = False
        for open_unit in checkpoint.open_units():
            if open_unit.unit.kind == kind and adopts(open_unit.unit):
                self._adopt(open_unit)

    # For workers

    async def lease_next(self, worker: str) -> Lease | None:
        """The next unit, as soon as there is one; None once the queue is drained or stopped.

        The attempt is on disk before this returns. Raises what the feed raised, and errors.Stop.
        """
        if not self._stopped:
            self._reader.start()
        while not self._stopped:
            self._reader.check()
            unit = self._next_unit()
            if unit is not None:
                return await self._lease(unit, worker)
            if self._is_over:
                return None
            await self._changed.wait(self._due_s())
        return None

    def touch(self, lease: Lease) -> bool:
        """Is the lease still good?"""
        return self._leases.get(lease.unit.id) is lease

    def finish(self, lease: Lease) -> bool:
        """The checkpoint has finished the unit, so it leaves the queue.

        False for a lease that was expired, or replaced before the checkpoint heard of the end.
        """
        unit = lease.unit
        done, current = self._is_done(unit), self._end_lease(lease)
        if done and (current or self._drop_queued(unit)):
            self._settle(unit, "done")
            return True
        if current:
            self._settle(unit, "gone")
        return False

    def fail(self, lease: Lease, message: str) -> bool:
        """Asking again will not help. A batch is split, a single key ends in error."""
        if not self._end_lease(lease):
            return False
        self._give_up(lease.unit, lease.attempt, message)
        return True

    def give_back(
        self,
        lease: Lease,
        *,
        not_before: float = 0.0,
        error: str = "",
        count_attempt: bool = True,
    ) -> bool:
        """Another attempt later, not before the clock's monotonic time `not_before`.

        Counted attempts without anything gained in between end in error (a batch: in halves).
        What this attempt has under way to the store is still recorded until the next one begins.
        """
        return self._return(lease, not_before, error, counted=count_attempt, fenced=False)

    def expire(
        self,
        lease: Lease,
        error: str = "no progress within the stall bound",
        *,
        count_attempt: bool = True,
    ) -> bool:
        """Take the lease from a stalled worker; what it still sends is refused from now on."""
        return self._return(lease, 0.0, error, counted=count_attempt, fenced=True)

    def split(self, lease: Lease) -> bool:
        """Halves take the unit's place at once; one that cannot be cut is given back instead."""
        if not units.can_split(lease.unit):
            return self.give_back(lease, error="the answer was too big for one key")
        if not self._end_lease(lease):
            return False
        self._split(lease.unit, lease.attempt)
        return True

    def note_rows(self) -> None:
        """Rows of its units were stored."""
        self._counts["pushes"] += 1
        self._changed.notify()

    @property
    def pushes(self) -> int:
        """How often rows of its units were stored."""
        return self._counts["pushes"]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when units came or rows were stored, and when no unit is left."""
        self._changed.on_notify(listener)

    # For the supervisor

    def leases(self) -> list[Lease]:
        """Who holds what, oldest first."""
        return list(self._leases.values())

    def has_failed(self, unit: units.Unit) -> bool:
        """Whether a unit in error ended so here, or was left out of the feed for that."""
        return self._intake.has_failed(unit)

    def retry(self, unit: units.Unit) -> bool:
        """Take in a unit that was in error, which the checkpoint has reopened. False once nothing
        is handed out any more.
        """
        if self.drained:
            return False
        if self._intake.add_retried(unit):
            self._enqueue(unit)
        return True

    def waiting_units(self) -> list[units.Unit]:
        """Units that nobody holds, ready or waiting for their time."""
        return list(self._backlog)

    def stop(self) -> None:
        """No unit is handed out any more; everybody waiting in `lease_next` gets None."""
        self._stopped = True
        self._reader.stop()
        self._changed.notify()

    async def close(self) -> None:
        """Stop, and wait for the feed to be let go."""
        self.stop()
        await self._reader.close()

    @property
    def drained(self) -> bool:
        """Will no unit be handed out any more? True when stopped, too."""
        return self._stopped or self._is_over

    @property
    def complete(self) -> bool:
        """The feed came to its end, or rests, and nothing is leased, ready or waiting."""
        return (self._reader.is_at_end or self._feed_rests()) and self._is_empty

    def holds(self, unit: units.Unit) -> bool:
        """Whether a unit that the feed named is not ended yet."""
        return self._intake.is_queued(unit)

    async def wait_for_end(self, unit: units.Unit) -> None:
        """Return when a unit that the feed named is done or in error."""
        while self.holds(unit):
            await self._intake.dropped.wait(intake.LONGEST_WAIT_S)

    async def wait_until_empty(self) -> None:
        """Return when nothing is leased, ready or waiting."""
        while not self._is_empty:
            await self._intake.dropped.wait(intake.LONGEST_WAIT_S)

    def drop_failed(self, keys: Collection[str] | None = None) -> None:
        """What ended in error of these keys (None: of all) is read anew under other names."""
        self._intake.drop_failed(keys)

    def note_rest(self) -> None:
        """The feed rests: whoever waits for that looks again."""
        self._changed.notify()

    @property
    def _is_over(self) -> bool:
        """Nothing will ever come any more."""
        return self._reader.is_at_end and self._is_empty

    @property
    def _is_empty(self) -> bool:
        return not (self._leases or self._backlog)

    def stats(self) -> dict[str, int]:
        """Keys (not units) by state: ready, waiting, leased, done, error, and what was skipped."""
        return {
            **self._backlog.stats(),
            "leased": sum(len(lease.unit.keys) for lease in self._leases.values()),
            "done": self._counts["done"],
            "splits": self._counts["splits"],
            "returns": self._counts["returns"],
            **self._intake.stats(),
        }

    # The feed

    def _admit(self, unit: units.Unit) -> None:
        for wanted in self._intake.wanted(unit):
            if isinstance(wanted, units.Unit):
                self._enqueue(wanted)
            else:
                self._adopt(wanted)

    def _adopt(self, open_unit: unit_states.OpenUnit) -> None:
        """Take in a unit that an earlier process left open, at where it stood."""
        if open_unit.unit.kind != self.kind:
            return
        if self._retry_policy.why_exhausted(open_unit):
            self._intake.add_queued(open_unit.unit)
            self._give_up_spent(open_unit)
            return
        wait_s = min(open_unit.not_before - self._clock.now(), _LONGEST_RETRY_WAIT_S)
        self._enqueue(
            open_unit.unit, due_at=self._clock.monotonic() + wait_s if wait_s > 0 else None
        )

    # Hand-over

    def _next_unit(self) -> units.Unit | None:
        while (unit := self._backlog.pop()) is not None:
            if len(self._backlog) == self._backlog.capacity - 1:
                self._changed.notify()
            # Its last pages may have been acknowledged after it was given back.
            if self._checkpoint.find(unit) is not None or not self._is_done(unit):
                return unit
            self._settle(unit, "done")
        return None

    def _drop_queued(self, unit: units.Unit) -> bool:
        """Take a unit out of the backlog; False when it is not there."""
        dropped = self._backlog.drop(unit)
        self._changed.notify()
        return dropped

    async def _lease(self, unit: units.Unit, worker: str) -> Lease:
        attempt = self._checkpoint.begin(unit)
        open_unit = self._checkpoint.find(unit)
        lease = Lease(
            unit=unit,
            attempt=attempt,
            worker=worker,
            resume=open_unit.resume if open_unit is not None else None,
            taken_at=self._clock.monotonic(),
            counts=open_unit.counts if open_unit is not None else units.NOTHING,
        )
        self._leases[unit.id] = lease
        try:
            # A unit that kills its process must be found in the checkpoint with this attempt.
            await self._checkpoint.sync()
        except BaseException:
            with suppress(Exception):  # the first failure is the one to hear about
                self.give_back(lease, count_attempt=False)
            raise
        return lease

    def _return(
        self, lease: Lease, not_before: float, error: str, *, counted: bool, fenced: bool
    ) -> bool:
        if not self._end_lease(lease):
            return False
        wait_s = max(0.0, not_before - self._clock.monotonic())
        open_unit = self._checkpoint.give_back(
            lease.unit.id,
            lease.attempt,
            counted=counted,
            fenced=fenced,
            not_before=self._clock.now() + wait_s if wait_s else 0.0,
            error=error,
        )
        if open_unit is None:
            self._settle(lease.unit, "gone")
            return False
        if counted and self._retry_policy.why_exhausted(open_unit):
            self._give_up_spent(open_unit)
        else:
            self._counts["returns"] += 1
            self._enqueue(open_unit.unit, due_at=self._clock.monotonic() + wait_s)
        return True

    def _end_lease(self, lease: Lease) -> bool:
        if not self.touch(lease):
            return False
        del self._leases[lease.unit.id]
        return True

    def _give_up_spent(self, open_unit: unit_states.OpenUnit) -> None:
        passing = not self._retry_policy.is_suspect(open_unit)
        self._give_up(
            open_unit.unit,
            open_unit.attempt,
            self._retry_policy.why_exhausted(open_unit),
            passing=passing,
        )

    def _give_up(
        self, unit: units.Unit, attempt: int, message: str, *, passing: bool = False
    ) -> None:
        if len(unit.keys) > 1:
            self._split(unit, attempt)
            return
        if self._checkpoint.fail(unit.id, attempt, message, passing=passing):
            log.error("unit.failed", unit=unit.id, attempt=attempt, error=message)
        self._intake.add_failed(unit)
        self._settle(unit, "error")

    def _split(self, unit: units.Unit, attempt: int) -> None:
        halves = self._checkpoint.split(unit.id, attempt)
        if halves is None:
            self._settle(unit, "gone")
            return
        self._counts["splits"] += 1
        for half in halves:
            self._enqueue(half, due_at=self._clock.monotonic())

    def _settle(self, unit: units.Unit, state: str) -> None:
        """The unit leaves the queue."""
        self._counts[state] += len(unit.keys)
        self._intake.drop_queued(unit)
        if self.complete:
            self._changed.notify()

    def _enqueue(self, unit: units.Unit, due_at: float | None = None) -> None:
        self._intake.add_queued(unit)
        self._backlog.add(unit, due_at)
        self._changed.notify()

    def _is_done(self, unit: units.Unit) -> bool:
        return all(self._checkpoint.is_done(unit.kind, key, unit.window) for key in unit.keys)

    # Waiting

    def _due_s(self) -> float:
        """Seconds to the next retry, at most half a minute."""
        due_s = self._backlog.due_s()
        return intake.LONGEST_WAIT_S if due_s is None else min(intake.LONGEST_WAIT_S, due_s)
