"""What the parts that read everything have to read: lists in slices, and what the store has found.

A source is listed again and again while the parts it feeds on are still at work, so that markets
and wallets are fetched as they are found. The queue skips what it knows already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from polybackfill import clocks, errors, units
from polybackfill.engine import change_event, plan_source
from polybackfill.store import client

log = structlog.get_logger()

_FIRST_AGAIN_S = 2.0
_COUNTED_AGAIN_S = 3.0  # what waits for all others is counted by the plan, which is quick
_AGAIN_S = 60.0
_LISTINGS_SHARE = 10  # listing takes a tenth of the time at most

Listing = Callable[[], AsyncIterator[list[str]]]
Choose = Callable[[list[str]], Awaitable[list[str]]]
Step = Callable[[], Awaitable[None]]
Count = Callable[[], Awaitable[plan_source.WorkEstimate]]


async def skip_step() -> None:
    """Nothing to be done before a listing."""


async def with_retries(kind: str, step: Step, clock: clocks.Clock) -> None:
    """Take a step, again and again while the store or the API is away."""
    while True:
        try:
            await step()
        except errors.Retry as error:
            log.warning("source.retry", kind=kind, error=str(error))
            await clock.sleep(max(error.after_s or 0.0, _FIRST_AGAIN_S))
        else:
            return


class RetriedReads:
    """The store as a listing asks it: a question is asked again while the store is away, so that
    the listing goes on where it was.
    """

    def __init__(self, kind: str, store: client.Reader, clock: clocks.Clock) -> None:
        self._kind = kind
        self._store = store
        self._clock = clock

    async def rows(
        self, sql: str, *, parameters: client.Parameters | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a query, whenever the store is there to answer."""
        answer: list[dict[str, Any]] = []

        async def read() -> None:
            answer.extend(await self._store.rows(sql, parameters=parameters))

        await with_retries(self._kind, read, self._clock)
        return answer


def chain_listings(first: Listing, second: Listing) -> Listing:
    """One listing after the other."""

    async def listing() -> AsyncIterator[list[str]]:
        async for keys in first():
            yield keys
        async for keys in second():
            yield keys

    return listing


@dataclass(frozen=True)
class Upstream:
    """The parts a source feeds on. `ready`: a first listing is worth its while; `counted`: what is
    counted from now on is most of it, also where it is nothing; `ended`: nothing will be added any
    more. `pushes`: how often rows of theirs were stored. `changed` rings when any of this changes.
    """

    ready: Callable[[], bool]
    ended: Callable[[], bool]
    counted: Callable[[], bool]
    pushes: Callable[[], int]
    changed: change_event.ChangeEvent


class DependentSource:
    """A source that lists what its upstream has brought, until upstream has ended.

    `prepare` runs before every listing; `count` says what there is to do at that moment, with the
    requests of what no listing has named yet. `at_once`: what an earlier run has left is listed
    before upstream is ready; `comes_last`: it is counted while it waits. `has_ended`: units that
    are listed though the queue will leave them out. `took_s`: how long the preparation of the
    newest listing took.
    """

    rests = False

    def __init__(
        self,
        kind: str,
        *,
        prepare: Step,
        listing: Callable[[], AsyncIterator[units.Unit]],
        upstream: Upstream,
        count: Count,
        has_ended: Callable[[units.Unit], bool],
        clock: clocks.Clock,
        at_once: bool = False,
        comes_last: bool = False,
    ) -> None:
        self._kind = kind
        self._prepare = prepare
        self._listing = listing
        self._upstream = upstream
        self._at_once = at_once
        self._count = count
        self._has_ended = has_ended
        self._clock = clock
        self.known = plan_source.WorkEstimate()
        self.took_s = 0.0
        self._is_counted = False
        self._comes_last = comes_last

    @property
    def is_behind(self) -> bool:
        """It has not begun, and begins when the parts it waits for have ended."""
        return self._comes_last and not self._upstream.ready()

    @property
    def counted(self) -> bool:
        """Whether anything was found yet, or it was too late to find anything more."""
        return self._is_counted or self.known.keys > 0

    async def expected(self) -> plan_source.WorkEstimate:
        """What is known of it so far; `known` grows while the run goes on."""
        self._is_counted = self._upstream.counted()
        self.known = await self._count()
        return self.known

    async def units(self) -> AsyncIterator[units.Unit]:
        """Units until upstream has ended and was listed once more after that."""
        left = self.known.keys - self.known.done_before - self.known.failed_before
        if not (self._at_once and left):
            await self._until_ready()
        while True:
            last, pushes = self._upstream.ended(), self._upstream.pushes()
            began_at = self._clock.monotonic()
            await with_retries(self._kind, self._prepare, self._clock)
            await with_retries(self._kind, self._recount, self._clock)
            self.took_s = self._clock.monotonic() - began_at
            async for unit in self._listing():
                if not self._has_ended(unit):
                    self.known = self.known.without(unit)
                yield unit
            self.known = self.known.handed_out()
            if last:
                return
            pause_s = min(_AGAIN_S, max(_FIRST_AGAIN_S, self.took_s * _LISTINGS_SHARE))
            await self._until(self._upstream.ended, pause_s)
            await self._until(partial(self._has_news, pushes), _AGAIN_S)

    def _has_news(self, pushes: int) -> bool:
        """Whether upstream has ended, or brought rows since it had so many pushes."""
        return self._upstream.ended() or self._upstream.pushes() != pushes

    async def _recount(self) -> None:
        """What was done before this run stays what it was at its start."""
        self._is_counted = self._is_counted or self._upstream.counted()
        now = await self._count()
        self.known = dataclasses.replace(
            now,
            keys=max(now.keys, self.known.keys),
            done_before=self.known.done_before,
            failed_before=self.known.failed_before,
        )

    async def _until_ready(self) -> None:
        while not self._upstream.ready():
            await self._until(self._upstream.ready, _COUNTED_AGAIN_S)
            if self._comes_last:  # or nobody could tell how long the run takes
                await with_retries(self._kind, self._recount, self._clock)

    async def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = self._clock.monotonic() + within_s
        while not condition() and (left_s := deadline - self._clock.monotonic()) > 0:
            await self._upstream.changed.wait(left_s)


class ListSource:
    """The slices of a list: offsets of the order book's, dates of Gamma's. `keys` names them."""

    def __init__(
        self,
        kind: str,
        keys: Callable[[], Awaitable[list[str]]],
        *,
        splits: Callable[[], int],
        clock: clocks.Clock,
    ) -> None:
        self._kind = kind
        self._keys = keys
        self._splits = splits
        self._clock = clock
        self._count = 1
        self._handed_out = 0

    counted = True
    took_s = 0.0
    is_behind = False
    rests = False

    @property
    def known(self) -> plan_source.WorkEstimate:
        """A slice that is too full becomes two."""
        return plan_source.WorkEstimate(
            self._count + self._splits(), self._count - self._handed_out
        )

    async def expected(self) -> plan_source.WorkEstimate:
        """How many there are is asked when the run has begun."""
        return plan_source.WorkEstimate(self._count, self._count)

    async def units(self) -> AsyncIterator[units.Unit]:
        """One unit per slice, in order."""
        keys: list[str] = []

        async def name() -> None:
            keys.extend(await self._keys())

        await with_retries(self._kind, name, self._clock)
        self._count = len(keys)
        for key in keys:
            self._handed_out += 1
            yield units.Unit(self._kind, (key,))


class SweepUnits:
    """Keys of the store as units of one sweep, `size` keys each.

    `later`: what the second and every further listing asks for instead. `skip` and `limit` count
    the keys of which `has_ended` says that an earlier run has not ended them in this sweep.
    `seen`: how many keys these counted so far. `choose`: of a job, the keys that are this daemon's.
    """

    def __init__(
        self,
        kind: str,
        sweep: str,
        size: int,
        keys: Listing,
        *,
        later: Listing | None = None,
        limit: int | None = None,
        skip: int = 0,
        has_ended: Callable[[str], bool] = lambda _key: False,
        choose: Choose | None = None,
    ) -> None:
        self._choose = choose
        self._kind = kind
        self._sweep = sweep
        self._has_ended = has_ended
        self._size = size
        self._keys = keys
        self._later = later or keys
        self._end = None if limit is None else skip + limit
        self._skip = skip
        self.seen = 0

    async def __call__(self) -> AsyncIterator[units.Unit]:
        """The units of one listing."""
        keys, self._keys = self._keys, self._later
        async for chunk in keys():
            mine = chunk if self._choose is None else await self._choose(chunk)
            chosen = self._chosen(mine)
            for first in range(0, len(chosen), self._size):
                batch = chosen[first : first + self._size]
                yield units.Unit(
                    self._kind, tuple(units.mark_key(key, self._sweep) for key in batch)
                )

    def _chosen(self, chunk: list[str]) -> list[str]:
        """What of this chunk `--skip` and `--limit` leave."""
        if self._end is None and not self._skip:
            self.seen += len(chunk)
            return chunk
        left = [key for key in chunk if not self._has_ended(units.mark_key(key, self._sweep))]
        first = max(0, self._skip - self.seen)
        end = None if self._end is None else max(0, self._end - self.seen)
        self.seen += len(left)
        return left[first:end]
