"""Where the units of each kind come from, in a run of everything and in a run of a list.

Each kind says it itself (`kinds.key_source`); here its words become a source that the queue reads.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from functools import partial

from polybackfill import clocks, settings, units, worker_progress
from polybackfill.checkpoint import sweeps
from polybackfill.engine import job_shards, key_flow, plan_source, sources
from polybackfill.kinds import key_source, registry
from polybackfill.polymarket import http, pagination
from polybackfill.run import grown_keys, run_context, run_request, run_sweeps
from polybackfill.store import client, discovery, plan_table


class UnitSources:
    """The sources of one run."""

    def __init__(
        self,
        chosen: settings.Settings,
        request: run_request.RunRequest,
        context: run_context.RunContext,
        client: http.Client,
        clock: clocks.Clock,
    ) -> None:
        self._job = context.job
        self._backfill = chosen.backfill
        self._request = request
        self._checkpoint = context.checkpoint
        self._store = context.store
        self._client = client
        self._clock = clock
        self._selection = plan_source.Selection(
            request.window, chosen.backfill.limit, chosen.backfill.skip, request.listed_only
        )
        began_at = None if context.job is None else context.job.job.began_at
        self._sweeps = run_sweeps.RunSweeps(
            chosen.checkpoint_path, request, context.checkpoint, clock, began_at
        )
        self._grown = grown_keys.GrownKeys(
            context.checkpoint, client, clock, listed_only=request.listed_only, began_at=began_at
        )
        # Several kinds feed on the same plan; one at a time may add to it.
        self._adding: defaultdict[key_source.AddKeys, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._flow = key_flow.KeyFlow(clock)

    async def source(self, kind: str) -> plan_source.UnitSource:
        """Where the units of a kind come from."""
        source = await self._source(kind)
        shards = self._shards(kind)
        return source if shards is None else job_shards.SharedSource(source, shards)

    def _shards(self, kind: str) -> job_shards.KindShards | None:
        """Which keys of a job are this daemon's; None without a job."""
        return None if self._job is None else self._job.shards.kinds[kind]

    async def _source(self, kind: str) -> plan_source.UnitSource:
        if self._request.has_typed_keys or self._store is None:
            plan = None
            if self._store is not None and not self._request.dry_run:
                plan = plan_table.PlanTable(self._store)
            return plan_source.ExplicitKeys(
                kind, self._request.keys(kind), self._selection, self._checkpoint, plan
            )
        match registry.KINDS[kind].keys:
            case key_source.WholeList() as keys:
                sweep = await self._sweeps.choose(kind, self._store)
                return self._list_source(kind, keys, sweep, self._store)
            case key_source.PlanTable() as keys:
                return self._plan_source(kind, keys, self._store)
            case key_source.PlannedWallets() | key_source.MissingConditions() as keys:
                return await self._sweep_source(kind, keys, self._store)
            case key_source.TimeWindows():
                raise ValueError(f"{kind} is followed: follow_sources")

    @property
    def flow(self) -> key_flow.KeyFlow:
        """Which of the run's kinds push keys to which."""
        return self._flow

    def adopts(self, unit: units.Unit) -> bool:
        """Whether what a killed run began of the present sweep is finished first, also where
        nothing names it any more: what was to be looked up may stand in a list by now. Of a job
        only what its shards name: a unit may be another daemon's by now.
        """
        if self._job is not None:
            return False
        is_kept = self._selection.takes_all and not (
            self._request.has_typed_keys or self._request.dry_run
        )
        return is_kept and registry.KINDS[unit.kind].is_swept and self.is_own(unit)

    def is_own(self, unit: units.Unit) -> bool:
        """False in a run of a list for units of a sweep of everything."""
        return self._sweeps.is_own(unit)

    def complete(self) -> None:
        """Sweeps whose every unit has ended are complete: the next run begins new ones."""
        for kind, queue in self._flow.queues.items():
            if queue.complete and self._selection.takes_all:
                self._sweeps.complete(kind)

    def complete_sweep(self, kind: str) -> None:
        """The same for one kind."""
        if self._selection.takes_all:
            self._sweeps.complete(kind)

    def is_recent(self, kind: str, within_s: float) -> bool:
        """Whether a complete sweep of the kind began so lately."""
        return self._sweeps.is_recent(kind, within_s)

    def planned_keys(self, kind: str, store: client.Store) -> plan_source.PlannedKeys:
        """The pending keys of a plan table."""
        return plan_source.PlannedKeys(
            kind,
            store,
            self._selection,
            self._checkpoint,
            dry_run=self._request.dry_run,
            clock=self._clock,
            shards=self._shards(kind),
        )

    def _list_source(
        self, kind: str, keys: key_source.WholeList, sweep: str, store: client.Store
    ) -> plan_source.UnitSource:
        progress = worker_progress.Progress(self._clock)
        shards = self._shards(kind)

        async def fetch(feed: pagination.FeedQuery, cursor: str | None) -> http.Response:
            return await self._client.get(feed.route, feed.request_params(cursor), progress)

        async def name_slices() -> list[str]:
            context = pagination.RequestContext(fetch, self._clock)
            slices = await keys.slices(context, sweeps.began(sweep))
            named = [units.mark_key(key, sweep) for key in slices]
            if shards is None:
                return named
            return await self._finished_elsewhere(kind, sweep, store).leave_out(shards, named)

        return sources.ListSource(
            kind,
            name_slices,
            splits=lambda: self._flow.queues[kind].stats()["splits"],
            clock=self._clock,
        )

    def _plan_source(
        self, kind: str, keys: key_source.PlanTable, store: client.Store
    ) -> plan_source.UnitSource:
        planned = self.planned_keys(kind, store)
        if self._request.dry_run or not (self._request.everything or self._request.listed_only):
            return planned
        return self._dependent(
            kind,
            prepare=self.preparation(kind, keys.add, store),
            listing=partial(self._new_and_grown, kind, keys, planned, store),
            count=partial(self._count_both, kind, keys, planned, store),
            at_once=True,
        )

    def preparation(self, kind: str, add: key_source.AddKeys, store: client.Store) -> sources.Step:
        """Add what was found to the plan, in a run of everything."""
        if not self._request.everything or self._request.dry_run:
            return sources.skip_step

        async def add_keys() -> None:
            # Markets are ranked by volume, so all of them have to be known first.
            if not self._flow.have_ended(registry.UPSTREAM[kind].ready):
                return
            async with self._adding[add]:
                if self._job is None:
                    await add(store)
                # Others add before their last listing alone: nothing they list may be lacking then.
                elif self._job.leads or self._flow.upstream(kind).ended():
                    await self._job.one_at_a_time(partial(add, store))

        return add_keys

    async def _count_both(
        self,
        kind: str,
        keys: key_source.PlanTable,
        planned: plan_source.PlannedKeys,
        store: client.Store,
    ) -> plan_source.WorkEstimate:
        known = await planned.expected()
        if not (self._reads_again and self._flow.upstream(kind).ended()):
            return known
        grown = await self._grown.count(kind, keys, store)
        requests = known.requests + registry.KINDS[kind].requests(grown)
        return dataclasses.replace(known, requests=requests, again=grown)

    async def _new_and_grown(
        self,
        kind: str,
        keys: key_source.PlanTable,
        planned: plan_source.PlannedKeys,
        store: client.Store,
    ) -> AsyncIterator[units.Unit]:
        """What nobody has read yet; once nothing more can be found, what has grown since."""
        over = self._flow.upstream(kind).ended()
        async for unit in planned.units():
            yield unit
        if over and self._reads_again:
            shards = self._shards(kind)
            is_mine = (lambda _key: True) if shards is None else shards.is_mine
            async for unit in self._grown.list_units(kind, keys, store, is_mine):
                yield unit

    @property
    def _reads_again(self) -> bool:
        return self._selection.takes_all and self._selection.full_history

    async def _sweep_source(
        self,
        kind: str,
        keys: key_source.PlannedWallets | key_source.MissingConditions,
        store: client.Store,
    ) -> plan_source.UnitSource:
        sweep = await self._sweeps.choose(kind, store)
        of_wallets = isinstance(keys, key_source.PlannedWallets)
        selection = self._selection
        if self._request.listed_only and not of_wallets:
            # `--limit` of a planned list counts what is listed, not the markets it leads to.
            selection = dataclasses.replace(selection, limit=None, skip=0)
        first, later = self._listings(kind, keys, sweep, store)
        batches = sources.SweepUnits(
            kind,
            sweep,
            registry.KINDS[kind].keys_per_request,
            first,
            later=later,
            limit=selection.limit,
            skip=selection.skip,
            has_ended=partial(self._checkpoint.has_ended, kind),
            choose=self._chooser(kind, sweep, store),
        )
        before = await self._sweeps.count_ended(kind, sweep, store)
        # A portion is chosen among what earlier runs have left of the sweep.
        ended = before if of_wallets and not selection.takes_all else 0

        async def count() -> plan_source.WorkEstimate:
            known = await self._count(keys, store)
            chosen = selection.count_taken(max(0, known - ended))
            seen = max(before if selection.takes_all else 0, selection.count_taken(batches.seen))
            # Of wallets all are counted each time, of conditions those that lack something.
            first_or_all = of_wallets or not batches.seen
            left = max(0, chosen - seen) if first_or_all else 0
            return plan_source.WorkEstimate(chosen, registry.KINDS[kind].requests(left))

        return self._dependent(
            kind,
            prepare=self.preparation(kind, keys.add, store)
            if isinstance(keys, key_source.PlannedWallets)
            else sources.skip_step,
            listing=batches,
            count=count,
            # All wallets of the plan are counted in no time, also while others are still read.
            comes_last=of_wallets and bool(registry.UPSTREAM[kind].ready),
        )

    def _chooser(self, kind: str, sweep: str, store: client.Store) -> sources.Choose | None:
        """Of a job: which keys of a sweep are this daemon's, and not proven by another."""
        if (shards := self._shards(kind)) is None:
            return None
        finished = self._finished_elsewhere(kind, sweep, store)

        async def choose(keys: list[str]) -> list[str]:
            await finished.refresh(shards)
            return [key for key in keys if shards.is_mine(key) and key not in finished]

        return choose

    def _finished_elsewhere(
        self, kind: str, sweep: str, store: client.Store
    ) -> job_shards.FinishedElsewhere:
        return job_shards.FinishedElsewhere(store, kind, sweep, self._checkpoint.run_name)

    async def _count(
        self,
        keys: key_source.PlannedWallets | key_source.MissingConditions,
        store: client.Store,
    ) -> int:
        """How many keys of the kind the store names now."""
        of_list = self._request.listed_only
        if isinstance(keys, key_source.MissingConditions):
            return await discovery.count_conditions(
                store, keys.of_lists if of_list else keys.of_all
            )
        known = await discovery.count_planned_wallets(store, listed_only=of_list)
        return known if keys.most is None else min(known, keys.most(self._backfill))

    def _listings(
        self,
        kind: str,
        keys: key_source.PlannedWallets | key_source.MissingConditions,
        sweep: str,
        store: client.Store,
    ) -> tuple[sources.Listing, sources.Listing | None]:
        """What the first listing of a kind asks for, and what every further one."""
        reads = sources.RetriedReads(kind, store, self._clock)
        of_list = self._request.listed_only
        if isinstance(keys, key_source.PlannedWallets):
            most = None if keys.most is None else keys.most(self._backfill)
            listing = partial(discovery.PlannedWallets, reads, first=most, listed_only=of_list)
            if (shards := self._shards(kind)) is None:
                return listing(), None
            return job_shards.RenewedListing(shards, listing), None
        list_sql = partial(discovery.list_conditions, reads)
        if of_list:
            first = partial(list_sql, keys.of_lists)
            return first, partial(self._left, kind, sweep, first)
        first = partial(list_sql, keys.of_all)
        if self._job is not None:  # shards that are added later have seen none of it
            everything = sources.chain_listings(first, partial(list_sql, keys.also))
            return (everything if keys.also else first), None
        traded = partial(discovery.traded_conditions, reads, unknown_to=keys.table)
        if not keys.also:
            return first, traded
        also = partial(list_sql, keys.also)
        return sources.chain_listings(first, also), sources.chain_listings(traded, also)

    async def _left(
        self, kind: str, sweep: str, listing: sources.Listing
    ) -> AsyncIterator[list[str]]:
        """What this sweep has not ended; a market that stays open is listed again and again."""
        async for keys in listing():
            yield [key for key in keys if not self._sweeps.has_ended(kind, key, sweep)]

    def _dependent(
        self,
        kind: str,
        *,
        prepare: sources.Step,
        listing: Callable[[], AsyncIterator[units.Unit]],
        count: sources.Count,
        at_once: bool = False,
        comes_last: bool = False,
    ) -> sources.DependentSource:
        return sources.DependentSource(
            kind,
            prepare=prepare,
            listing=listing,
            upstream=self._flow.upstream(kind),
            count=count,
            has_ended=partial(plan_source.has_ended, self._checkpoint),
            clock=self._clock,
            at_once=at_once,
            comes_last=comes_last,
        )
