"""What a run that follows reads again and again: once as in any run, then anew by period."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import structlog

from polybackfill import clocks, errors, units
from polybackfill.engine import plan_source, sources, unit_queue

log = structlog.get_logger()

_AGAIN_S = 5.0  # the store is away: list anew


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """`every_s`: from the beginning of one to that of the next; `begin`: the source of a further
    one; `note_end`: called when every unit of one has ended.
    """

    every_s: float
    begin: Callable[[], Awaitable[plan_source.UnitSource]]
    note_end: Callable[[], None]


class RoundSource:
    """The source of one kind. `first`: of the first round, None where an earlier run has read
    everything not long ago.
    """

    def __init__(
        self,
        kind: str,
        first: plan_source.UnitSource | None,
        rounds: Rounds,
        *,
        queue: Callable[[], unit_queue.Queue],
        clock: clocks.Clock,
    ) -> None:
        self._kind = kind
        self._first = first
        self._present = first
        self._rounds = rounds
        self._queue = queue
        self._clock = clock
        self.rests = False

    @property
    def known(self) -> plan_source.WorkEstimate:
        """Keys of the first round, requests of the present one."""
        if self._first is None or self._present is None:
            return plan_source.WorkEstimate() if self._present is None else self._present.known
        present = self._present.known
        return dataclasses.replace(
            self._first.known, requests=present.requests, unsized=present.unsized
        )

    @property
    def counted(self) -> bool:
        """Whether `known` says anything yet."""
        return self._first is None or self._first.counted

    @property
    def took_s(self) -> float:
        """Seconds that one more listing takes."""
        return 0.0 if self._present is None else self._present.took_s

    @property
    def is_behind(self) -> bool:
        """Whether it begins when others have ended."""
        return self._present is not None and self._present.is_behind

    async def expected(self) -> plan_source.WorkEstimate:
        """That of the first round."""
        return plan_source.WorkEstimate() if self._first is None else await self._first.expected()

    async def _again(self) -> AsyncIterator[units.Unit]:
        while True:
            try:
                self._present = await self._rounds.begin()
                async for unit in self._present.units():
                    yield unit
            except errors.Retry as error:
                # What the queue has by now it does not take twice.
                log.warning("follow.retry", kind=self._kind, error=str(error))
                await self._clock.sleep(_AGAIN_S)
            else:
                return

    async def _end_round(self) -> None:
        await self._queue().wait_until_empty()
        self.rests = True
        self._rounds.note_end()
        self._queue().note_rest()

    async def units(self) -> AsyncIterator[units.Unit]:
        """Those of one round after the other, without end."""
        began_at = self._clock.monotonic()
        if self._first is not None:
            async for unit in self._first.units():
                yield unit
        while True:
            await self._end_round()
            rest_s = began_at + self._rounds.every_s - self._clock.monotonic()
            await self._clock.sleep(max(1.0, rest_s))
            began_at, self.rests = self._clock.monotonic(), False
            async for unit in self._again():
                yield unit


class ListedOnce:
    """A round of keys of which nobody counts before how many there are."""

    counted = True
    took_s = 0.0
    is_behind = False
    rests = False

    def __init__(
        self,
        kind: str,
        *,
        prepare: sources.Step,
        listing: Callable[[], AsyncIterator[units.Unit]],
        clock: clocks.Clock,
    ) -> None:
        self._kind = kind
        self._prepare = prepare
        self._listing = listing
        self._clock = clock
        self.known = plan_source.WorkEstimate()

    async def expected(self) -> plan_source.WorkEstimate:
        """Nothing is known."""
        return self.known

    async def units(self) -> AsyncIterator[units.Unit]:
        """Those of one listing."""
        await sources.with_retries(self._kind, self._prepare, self._clock)
        async for unit in self._listing():
            yield unit
