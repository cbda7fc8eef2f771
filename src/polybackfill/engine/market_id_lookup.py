"""Asking Gamma for market ids: batches, several workers, everything found or missed written down.

A condition is asked for among the closed markets first, most are, and then among the open ones;
what the first question leaves over is packed into new batches. No condition is in two batches at a
time, so whoever waits for one shares its request.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from polybackfill import clocks, errors, worker_progress
from polybackfill.inputs import lookup_results
from polybackfill.polymarket import gamma_queries, http, market_matching, retry

log = structlog.get_logger()

SOURCE = "gamma"
_RATE_S = 30.0  # the window of the rate an ETA is made of
_SILENT_S = 60.0  # a host that answered nobody for so long is out


@dataclass
class LookupCounts:
    """How a lookup stands. `asked`: conditions to be asked for; `reasons`: misses by reason."""

    requested: int
    matched: int = 0
    requests: int = 0
    foreign: int = 0
    failed_for_good: int = 0
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def missed(self) -> int:
        """Conditions asked for in vain."""
        return sum(self.reasons.values())

    @property
    def left(self) -> int:
        """Conditions still without an answer."""
        return self.requested - self.matched - self.missed


class Rate:
    """Conditions settled a second, over the last 30 s."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._seen: collections.deque[tuple[float, int]] = collections.deque(
            [(clock.monotonic(), 0)]
        )

    def per_s(self, settled: int) -> float:
        """The rate with so many settled by now."""
        now = self._clock.monotonic()
        self._seen.append((now, settled))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_S:
            self._seen.popleft()
        began_at, before = self._seen[0]
        return (settled - before) / (now - began_at) if now > began_at else 0.0


@dataclass(frozen=True)
class _Batch:
    """Conditions that share a request. `closed`: which of Gamma's two lists is asked."""

    closed: bool
    conditions: tuple[str, ...]


class _Batches:
    """What is still to be asked for, packed `size` at a time, the closed markets first."""

    def __init__(self, conditions: Iterable[str], size: int) -> None:
        self._size = size
        self._waiting = {True: collections.deque(conditions), False: collections.deque[str]()}
        self._again = collections.deque[_Batch]()

    def pop_next(self) -> _Batch | None:
        """The next batch; what is left over waits for company as long as there are full ones."""
        if self._again:
            return self._again.popleft()
        first, second = self._waiting[True], self._waiting[False]
        if not first and not second:
            return None
        closed = bool(first) and len(second) < self._size
        waiting = self._waiting[closed]
        size = min(self._size, len(waiting))
        return _Batch(closed, tuple(waiting.popleft() for _ in range(size)))

    def ask_among_open(self, condition: str) -> None:
        """The list of closed markets does not know it."""
        self._waiting[False].append(condition)

    def put_back(self, batch: _Batch) -> None:
        """Nothing is known of it yet."""
        self._again.append(batch)

    def halve(self, batch: _Batch) -> bool:
        """Ask for each half by itself; False for a single condition."""
        half = len(batch.conditions) // 2
        if half:
            self._again.append(_Batch(batch.closed, batch.conditions[:half]))
            self._again.append(_Batch(batch.closed, batch.conditions[half:]))
        return bool(half)


class MarketIdLookup:
    """One lookup. `traded`: condition → token ids seen in its trades, all that is to be asked.

    `spacing_s`: each worker's pause between two requests, on top of the limits.
    """

    def __init__(
        self,
        traded: Mapping[str, Sequence[str]],
        *,
        client: http.Client,
        book: lookup_results.ResultsFile,
        workers: int,
        batch: int,
        spacing_s: float,
        retries: retry.PageRetries,
        clock: clocks.Clock,
    ) -> None:
        self._tokens = traded
        self._client = client
        self._book = book
        self._workers = workers
        self._spacing_s = spacing_s
        self._retries = retries
        self._clock = clock
        self._writing = asyncio.Lock()
        self._batches = _Batches(traded, min(batch, gamma_queries.MAX_CONDITIONS))
        self._why: dict[str, str] = {}
        self.counts = LookupCounts(requested=len(traded))

    async def run(self) -> LookupCounts:
        """Ask for everything once.

        Raises errors.Stop (75) when Gamma answers nobody any more; what was settled is written
        down, and the next lookup goes on with the rest.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"lookup-{number + 1}")
        except ExceptionGroup as failed:
            # Several workers meet the same outage, or the same full disk; one says it.
            raise failed.exceptions[0] from failed
        return self.counts

    async def _work(self) -> None:
        progress = worker_progress.Progress(self._clock)
        while (batch := self._batches.pop_next()) is not None:
            await self._settle(batch, progress)
            if self._spacing_s > 0:
                with progress.waiting("pace"):
                    await self._clock.sleep(self._spacing_s)

    async def _settle(self, batch: _Batch, progress: worker_progress.Progress) -> None:
        try:
            matches = await self._request(batch, progress)
        except errors.Retry as error:
            if error.split and self._batches.halve(batch):
                return
            if error.host_fault:
                self._batches.put_back(batch)
            else:
                await self._give_up(batch.conditions, error)
            if self._client.answers.silent_s(market_matching.ROUTE) > _SILENT_S:
                raise errors.Stop(
                    f"Gamma does not answer ({error}); the results so far are kept; start the "
                    "lookup again later",
                    exit_code=errors.EXIT_UNAVAILABLE,
                ) from error
            return
        except errors.GiveUp as error:
            await self._give_up(batch.conditions, error)
            return
        await self._note(batch, matches)

    async def _request(
        self, batch: _Batch, progress: worker_progress.Progress
    ) -> market_matching.MarketMatches:
        tokens_by_condition = {condition: self._tokens[condition] for condition in batch.conditions}

        async def attempt() -> market_matching.MarketMatches:
            self.counts.requests += 1
            query = market_matching.query(batch.conditions, closed=batch.closed)
            response = await self._client.get(market_matching.ROUTE, query, progress)
            return market_matching.match_markets(response, tokens_by_condition)

        return await self._retries.run(attempt, progress)

    async def _note(self, batch: _Batch, matches: market_matching.MarketMatches) -> None:
        """Write down what is settled; ask the other list for the rest."""
        if matches.foreign:
            self._warn_of_foreign(batch.conditions, matches)
        hits, missed = [], []
        for condition in batch.conditions:
            match = matches.matched.get(condition)
            if match is not None:
                hits.append(
                    lookup_results.Hit(
                        condition, match.market_id, SOURCE, match.token_ids, match.tokens
                    )
                )
                continue
            why = matches.refused.get(condition) or (
                market_matching.FOREIGN if matches.foreign else market_matching.NOT_FOUND
            )
            if batch.closed:
                self._why[condition] = why
                self._batches.ask_among_open(condition)
            else:
                missed.append((condition, self._worse(condition, why)))
        await self._write(hits, missed)

    def _worse(self, condition: str, why: str) -> str:
        """The more telling of the reasons of both questions."""
        before = self._why.pop(condition, market_matching.NOT_FOUND)
        return before if why == market_matching.NOT_FOUND else why

    async def _give_up(
        self, conditions: tuple[str, ...], error: errors.Retry | errors.GiveUp
    ) -> None:
        log.warning("lookup.failed", conditions=len(conditions), error=str(error))
        reason = market_matching.reason_of(error)
        await self._write([], [(condition, reason) for condition in conditions])

    async def _write(
        self, hits: Sequence[lookup_results.Hit], missed: Sequence[tuple[str, str]]
    ) -> None:
        now = self._clock.now()
        async with self._writing:
            misses = [self._book.miss(condition, why, now) for condition, why in missed]
            await asyncio.to_thread(self._book.append, hits, misses, now)
            self.counts.matched += len(hits)
            self.counts.reasons.update(why for _, why in missed)
            self.counts.failed_for_good += sum(
                miss.status == lookup_results.LOOKUP_FAILED for miss in misses
            )

    def _warn_of_foreign(
        self, conditions: tuple[str, ...], matches: market_matching.MarketMatches
    ) -> None:
        """Once, however many answers are like that."""
        if not self.counts.foreign:
            log.warning(
                "lookup.foreign_answer",
                asked=len(conditions),
                foreign=matches.foreign,
                meaning=f"Gamma ignores the filter {gamma_queries.CONDITION_FILTER}; "
                "such answers are misses",
            )
        self.counts.foreign += matches.foreign
