"""A part of a run from its kind: source, queue, what a worker does, and the workers."""

from __future__ import annotations

from functools import partial

from polybackfill.engine import (
    market_id_cache,
    running_part,
    source_lag,
    unit_queue,
    worker,
    worker_pool,
)
from polybackfill.kinds import registry
from polybackfill.run import (
    api_client,
    follow_sources,
    quarantined_rows,
    shared_state,
    unit_sources,
)


class PartBuilder:
    """Puts the parts of one run together. `market_ids`: None where trades get none on their way;
    `follow`: of a run that follows.
    """

    def __init__(
        self,
        state: shared_state.SharedState,
        sources: unit_sources.UnitSources,
        quarantined: quarantined_rows.QuarantinedRows,
        *,
        market_ids: market_id_cache.MarketIdCache | None,
        lag: source_lag.SourceLag,
        follow: follow_sources.FollowSources | None,
    ) -> None:
        self._state = state
        self._sources = sources
        self._quarantined = quarantined
        self._market_ids = market_ids
        self._lag = lag
        self._follow = follow

    async def add(self, kind: str) -> None:
        """Add the part of `kind` to the run. Raises errors.Retry when the store is away."""
        source = await (self._follow or self._sources).source(kind)
        await source.expected()
        queue = unit_queue.Queue(
            kind,
            feed=source.units(),
            checkpoint=self._state.context.checkpoint,
            max_attempts=self._state.chosen.backfill.max_attempts,
            adopts=self._sources.adopts,
            feed_rests=lambda: source.rests,
            clock=self._state.clock,
        )
        runner = self._runner(kind, queue)
        self._state.parts[kind] = running_part.RunningPart(
            pool=self._pool(kind, queue, runner),
            queue=queue,
            runner=runner,
            source=source,
            route=registry.KINDS[kind].route,
            quarantined=partial(self._quarantined.count_for, kind),
        )
        self._sources.flow.add(kind, queue)

    def _runner(self, kind: str, queue: unit_queue.Queue) -> worker.UnitRunner:
        backfill = self._state.chosen.backfill
        return worker.UnitRunner(
            registry.KINDS[kind],
            client=self._state.api.client,
            buffer=self._state.buffer,
            queue=queue,
            pacer=worker.Pacer(backfill.sleep_ms / 1000, self._state.clock),
            retries=api_client.page_retries(self._state.chosen, self._state.clock),
            clock=self._state.clock,
            lag=self._lag,
            market_ids=self._market_ids,
        )

    def _pool(
        self, kind: str, queue: unit_queue.Queue, runner: worker.UnitRunner
    ) -> worker_pool.WorkerPool:
        return worker_pool.WorkerPool(
            kind,
            queue=queue,
            runner=runner,
            size=partial(_pool_size, self._state, kind),
            stall_s=self._state.chosen.backfill.stall_s,
            clock=self._state.clock,
        )


def _pool_size(state: shared_state.SharedState, kind: str) -> int:
    """As many workers as the settings say, or as the budget needs at its present latency; none
    while a person has paused the kind.
    """
    if kind in state.paused.kinds:
        return 0
    budget = registry.KINDS[kind].route.budgets[0]
    workers = state.chosen.backfill.workers
    if isinstance(workers, int):
        return workers
    latency_s = state.api.limits.latency_s(budget)
    return worker_pool.size_for(state.api.budgets[budget], state.chosen.backfill.share, latency_s)
