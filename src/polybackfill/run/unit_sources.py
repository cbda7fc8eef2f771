"""Where the units of each kind come from, in a run of everything and in a run of a list."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

from polybackfill import clocks, errors, settings, units, worker_progress
from polybackfill.checkpoint import sweeps
from polybackfill.engine import kinds, plan_source, sources, unit_queue
from polybackfill.polymarket import clob, contracts, endpoints, http, list_partitions, pagination
from polybackfill.run import run_context, run_request
from polybackfill.store import client, discovery, plan_table, stale_keys

_PART_PAGES = 20


class _Count(Protocol):
    """How many keys of a kind the store names now; `listed_only`: for planned lists."""

    async def __call__(self, store: client.Store, *, listed_only: bool) -> int: ...


# What a kind feeds on: `ready` when the first have ended, over when all have.
_FIRST = {
    units.LOOKUPS: (units.CLOB, units.MARKETS, units.EVENTS),
    units.CONDITIONS: (units.CLOB, units.MARKETS, units.EVENTS),
    units.RESOLUTIONS: (units.CLOB, units.MARKETS, units.EVENTS),
    # When a wallet and what it holds were read, so that both figures speak of the same time.
    units.USER_STATS: (units.CONDITIONS, units.WALLETS, units.POSITIONS),
}
_LAST = {
    units.LOOKUPS: (units.CONDITIONS, units.WALLETS, units.RESOLUTIONS),
    # A change of a position is a reason to read a wallet again.
    units.WALLETS: (units.CONDITIONS, units.POSITIONS),
    units.POSITIONS: (units.CONDITIONS,),
    units.RESOLUTIONS: (units.CONDITIONS, units.WALLETS),
}
# What is read anew in every sweep, whose name is part of each key.
_LISTS = (units.CLOB, units.MARKETS, units.EVENTS)
_SWEPT = (*_LISTS, units.LOOKUPS, units.POSITIONS, units.RESOLUTIONS, units.USER_STATS)
_OF_PLANNED_WALLETS = (units.POSITIONS, units.USER_STATS)
_AGAIN = {units.CONDITIONS: stale_keys.MARKETS, units.WALLETS: stale_keys.WALLETS}
_COUNTS: dict[str, _Count] = {
    units.LOOKUPS: discovery.count_unlisted,
    units.RESOLUTIONS: discovery.count_unresolved,
    units.POSITIONS: discovery.count_planned_wallets,
    units.USER_STATS: discovery.count_planned_wallets,
}
_LACKING = {
    units.LOOKUPS: discovery.unlisted_conditions,
    units.RESOLUTIONS: discovery.unresolved_conditions,
}


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
        backfill = chosen.backfill
        self._request = request
        self._ledger = context.ledger
        self._store = context.store
        self._client = client
        self._clock = clock
        # Of how many wallets of the plan a kind reads; of the others of all.
        self._most = {units.USER_STATS: backfill.official_wallets}
        self._selection = plan_source.Selection(
            request.window, backfill.limit, backfill.skip, request.listed_only
        )
        self._sweeps = sweeps.Sweeps(chosen.ledger_dir, listed_only=request.listed_only)
        self._named = sweeps.name(clock.now(), listed_only=request.listed_only)
        self._began = int(clock.now())
        self._began_at = clock.monotonic()
        self._is_dated = False
        self._adding = asyncio.Lock()
        self.queues: dict[str, unit_queue.Queue] = {}

    async def source(self, kind: str) -> plan_source.UnitSource:
        """Where the units of a kind come from."""
        if self._request.has_typed_keys or self._store is None:
            plan = None
            if self._store is not None and not self._request.dry_run:
                plan = plan_table.PlanTable(self._store)
            return plan_source.ExplicitKeys(
                kind, self._request.keys(kind), self._selection, self._ledger, plan
            )
        if kind in _LISTS:
            return self._slices(kind, await self._sweep(kind, self._store))
        if kind in {units.CONDITIONS, units.WALLETS}:
            return self._planned(kind, self._store)
        return await self._discovered_source(kind, self._store)

    def adopts(self, unit: units.Unit) -> bool:
        """Whether what a killed run began of the present sweep is finished first, also where
        nothing names it any more: what was to be looked up may stand in a list by now.
        """
        is_kept = self._selection.takes_all and not (
            self._request.has_typed_keys or self._request.dry_run
        )
        return is_kept and unit.kind in _SWEPT and self.is_own(unit)

    def is_own(self, unit: units.Unit) -> bool:
        """False in a run of a list for units of a sweep of everything."""
        is_any = not self._request.listed_only or unit.kind not in _SWEPT
        return is_any or all(map(sweeps.is_of_list, unit.keys))

    def complete(self) -> None:
        """Sweeps whose every unit has ended are complete: the next run begins new ones."""
        for kind, queue in self.queues.items():
            if queue.complete and self._selection.takes_all and not self._request.dry_run:
                self._sweeps.complete(kind)

    def _slices(self, kind: str, sweep: str) -> plan_source.UnitSource:
        async def keys() -> list[str]:
            if kind == units.CLOB:
                return [sweeps.key(key, sweep) for key in await self._offsets()]
            began = sweeps.began(sweep)
            return [
                sweeps.key(key, sweep)
                for closed in (False, True)  # a market that closes meanwhile is seen twice
                for key in list_partitions.sweep(began, closed=closed)
            ]

        return sources.ListSource(
            kind, keys, splits=lambda: self.queues[kind].stats()["splits"], clock=self._clock
        )

    async def _offsets(self) -> list[str]:
        """The order book's list in parts of 20 pages, the last one open for what is added."""
        progress = worker_progress.Progress(self._clock)

        async def fetch(feed: pagination.FeedQuery, cursor: str | None) -> http.Response:
            return await self._client.get(feed.route, feed.request_params(cursor), progress)

        rows = await clob.size(pagination.RequestContext(fetch, self._clock))
        firsts = range(0, max(1, rows), _PART_PAGES * clob.PAGE_ROWS)
        ends = [*firsts[1:], None]
        return [clob.key(first, end) for first, end in zip(firsts, ends, strict=True)]

    def _planned(self, kind: str, store: client.Store) -> plan_source.UnitSource:
        planned = plan_source.PlannedKeys(
            kind,
            store,
            self._selection,
            self._ledger,
            dry_run=self._request.dry_run,
            clock=self._clock,
        )
        if self._request.dry_run or not (self._request.everything or self._request.listed_only):
            return planned
        prepare: sources.Step = sources.skip_step
        if self._request.everything:
            add = self._add_wallets if kind == units.WALLETS else self._add_markets
            prepare = partial(add, store)
        return sources.DependentSource(
            kind,
            prepare=prepare,
            listing=partial(self._new_and_again, kind, planned, store),
            upstream=self._upstream(kind),
            count=partial(self._count_both, kind, planned, store),
            has_ended=partial(plan_source.has_ended, self._ledger),
            clock=self._clock,
            at_once=True,
        )

    async def _add_markets(self, store: client.Store) -> None:
        """Markets are ranked by volume, so all of them have to be known first."""
        if self._ended(_FIRST[units.CONDITIONS]):
            await discovery.add_markets(store)

    async def _count_both(
        self, kind: str, planned: plan_source.PlannedKeys, store: client.Store
    ) -> plan_source.WorkEstimate:
        known = await planned.expected()
        if not (self._reads_again and self._upstream(kind).ended()):
            return known
        now = int(self._clock.now())
        keys = await stale_keys.count(
            store,
            _AGAIN[kind],
            began=self._began,
            now=now,
            listed_only=self._request.listed_only,
        )
        keys += sum(len(unit.keys) for unit in await self._begun_windows(kind, store))
        requests = known.requests + kinds.KINDS[kind].requests(keys)
        return dataclasses.replace(known, requests=requests, again=keys)

    async def _new_and_again(
        self, kind: str, planned: plan_source.PlannedKeys, store: client.Store
    ) -> AsyncIterator[units.Unit]:
        """What nobody has read yet; once nothing more can be found, what has grown since."""
        over = self._upstream(kind).ended()
        async for unit in planned.units():
            yield unit
        if not (over and self._reads_again):
            return
        await sources.with_retries(kind, self._learn_when_it_began, self._clock)
        for unit in await self._begun_windows(kind, store):
            yield unit
        async for since, keys in stale_keys.list_stale(
            store,
            _AGAIN[kind],
            began=self._began,
            now=int(self._clock.now()),
            listed_only=self._request.listed_only,
        ):
            size = kinds.KINDS[kind].keys_per_request
            for first in range(0, len(keys), size):
                yield units.Unit(kind, tuple(keys[first : first + size]), since, self._began)

    async def _learn_when_it_began(self) -> None:
        """The run's start is the end of every window, so it must be right: by the source's clock.

        Nobody may have been asked yet, so ask. Raises Retry while the API is out.
        """
        clock = self._clock
        if self._is_dated or not isinstance(clock, clocks.SourceClock):
            return
        if not clock.is_confirmed:
            with contextlib.suppress(errors.GiveUp):
                await self._client.get(endpoints.STATUS, (), worker_progress.Progress(clock))
        if clock.is_confirmed:
            self._began = int(clock.now() - (clock.monotonic() - self._began_at))
        self._is_dated = True

    async def _begun_windows(self, kind: str, store: client.Store) -> list[units.Unit]:
        """Windows that a killed run began to read; what reads them again has other bounds."""
        begun = [
            open_unit.unit
            for open_unit in self._ledger.open_units()
            if open_unit.unit.kind == kind
            and open_unit.unit.window not in self._own_windows(open_unit.unit)
        ]
        if not (begun and self._request.listed_only):
            return begun
        keys = [key for unit in begun for key in unit.keys]
        planned_keys = await plan_table.PlanTable(store).listed_among(kind, keys)
        return [unit for unit in begun if planned_keys.issuperset(unit.keys)]

    def _own_windows(self, unit: units.Unit) -> tuple[units.Window, ...]:
        return (units.FULL_HISTORY, (unit.since, self._began))

    @property
    def _reads_again(self) -> bool:
        return self._selection.takes_all and self._selection.full_history

    async def _discovered_source(self, kind: str, store: client.Store) -> plan_source.UnitSource:
        sweep = await self._sweep(kind, store)
        selection = self._selection_for(kind)
        keys, later = self._listings(kind, sweep, store)
        batches = sources.SweepUnits(
            kind,
            sweep,
            kinds.KINDS[kind].keys_per_request,
            keys,
            later=later,
            limit=selection.limit,
            skip=selection.skip,
            has_ended=partial(self._ledger.has_ended, kind),
        )
        before = await self._ended_before(kind, sweep, store)
        # A portion is chosen among what earlier runs have left of the sweep.
        ended = before if kind in _OF_PLANNED_WALLETS and not selection.takes_all else 0

        async def count() -> plan_source.WorkEstimate:
            known = await _COUNTS[kind](store, listed_only=self._request.listed_only)
            known = min(known, self._most.get(kind, known))
            keys = selection.count_taken(max(0, known - ended))
            seen = max(before if selection.takes_all else 0, selection.count_taken(batches.seen))
            # Of wallets all are counted each time, of conditions those that lack something.
            first_or_all = kind in _OF_PLANNED_WALLETS or not batches.seen
            left = max(0, keys - seen) if first_or_all else 0
            return plan_source.WorkEstimate(keys, kinds.KINDS[kind].requests(left))

        prepare: sources.Step = sources.skip_step
        if kind in _OF_PLANNED_WALLETS and self._request.everything and not self._request.dry_run:
            prepare = partial(self._add_wallets, store)
        return sources.DependentSource(
            kind,
            prepare=prepare,
            listing=batches,
            upstream=self._upstream(kind),
            count=count,
            has_ended=partial(plan_source.has_ended, self._ledger),
            clock=self._clock,
            comes_last=kind == units.USER_STATS,
        )

    def _selection_for(self, kind: str) -> plan_source.Selection:
        """`--limit` of a planned list counts what is listed, not the markets that it leads to."""
        if self._request.listed_only and kind not in _OF_PLANNED_WALLETS:
            return dataclasses.replace(self._selection, limit=None, skip=0)
        return self._selection

    def _listings(
        self, kind: str, sweep: str, store: client.Store
    ) -> tuple[sources.Listing, sources.Listing | None]:
        """What the first listing of a kind asks for, and what every further one."""
        of_list = self._request.listed_only
        if kind in _OF_PLANNED_WALLETS:
            most = self._most.get(kind)
            return discovery.PlannedWallets(store, first=most, listed_only=of_list), None
        first: sources.Listing = partial(_LACKING[kind], store, listed_only=of_list)
        if of_list:
            return first, partial(self._left, kind, sweep, first)
        traded = partial(discovery.traded_conditions, store)
        if kind == units.LOOKUPS:
            since = partial(discovery.closed_since, store)
            return sources.chain_listings(first, since), sources.chain_listings(
                partial(traded, unknown_to="api_market_rows"), since
            )
        return first, partial(traded, unknown_to="api_resolution_rows")

    async def _left(
        self, kind: str, sweep: str, listing: sources.Listing
    ) -> AsyncIterator[list[str]]:
        """What this sweep has not ended; a market that stays open is listed again and again."""
        async for keys in listing():
            has_ended = self._ledger.has_ended
            yield [key for key in keys if not has_ended(kind, sweeps.key(key, sweep))]

    async def _add_wallets(self, store: client.Store) -> None:
        """Three kinds feed on the wallets that are found; one at a time may add them."""
        async with self._adding:
            await discovery.add_wallets(store, tuple(contracts.CONTRACTS))

    async def _sweep(self, kind: str, store: client.Store) -> str:
        """The sweep that is under way, or a new one. A run of everything forgets those of the list,
        so that it counts its own.
        """
        if self._request.dry_run:
            return self._named
        name = self._sweeps.current(kind)
        if name is None or not self._request.listed_only:
            await self._forget_list(kind, store)
        if name is None:
            name = self._named
            if not self._request.listed_only:
                self._ledger.forget(kind)
            self._sweeps.begin(kind, name)
        return name

    async def _forget_list(self, kind: str, store: client.Store) -> None:
        """Forget the newest sweep of the planned list."""
        sweep = self._sweeps.of_list(kind)
        if sweep is None:
            return
        async for keys in self._of_list(kind, store):
            self._ledger.forget(kind, [sweeps.key(key, sweep) for key in keys])
        self._sweeps.drop_of_list(kind)

    async def _ended_before(self, kind: str, sweep: str, store: client.Store) -> int:
        """Keys of the present sweep that earlier runs have ended."""
        if not self._request.listed_only:
            return self._ledger.count_ended(kind, units.FULL_HISTORY)
        ended = 0
        async for keys in self._of_list(kind, store):
            ended += sum(self._ledger.has_ended(kind, sweeps.key(key, sweep)) for key in keys)
        return ended

    def _of_list(self, kind: str, store: client.Store) -> AsyncIterator[list[str]]:
        """All keys that a sweep of the planned list can have, some thousand at a time."""
        if kind in _OF_PLANNED_WALLETS:
            return discovery.PlannedWallets(store, listed_only=True)()
        return discovery.listed_conditions(store)

    def _upstream(self, kind: str) -> sources.Upstream:
        first, last = _FIRST.get(kind, ()), _LAST.get(kind, ())
        return sources.Upstream(
            ready=partial(self._ended, first),
            ended=partial(self._ended, (*first, *last)),
            counted=partial(self._ended, first or last),
        )

    def _ended(self, kinds_before: tuple[str, ...]) -> bool:
        return all(self.queues[kind].complete for kind in kinds_before if kind in self.queues)
