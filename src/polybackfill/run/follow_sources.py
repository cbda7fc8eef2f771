"""Where the units come from in a run that follows: windows of the present, and rounds.

A round of lists is a new sweep. Of the plans a round takes what nobody has read yet and what has
news; of the wallets those at the top. Their keys are marked with the round, whose receipts the next
one replaces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog

from polybackfill import units, worker_progress
from polybackfill.checkpoint import run_checkpoint, sweeps
from polybackfill.engine import (
    followed_windows,
    plan_source,
    round_source,
    source_lag,
    unit_queue,
    window_source,
)
from polybackfill.kinds import key_source, registry
from polybackfill.run import shared_state, unit_sources
from polybackfill.store import active_keys, client, discovery

log = structlog.get_logger()

# Where a source does not say how far it lies behind (pm-backfill reads 120 s behind the head).
_UNKNOWN_LAG_S = 120.0
_LOOK_BACK_S = 7 * 86_400


class FollowSources:
    """The sources of one run that follows."""

    def __init__(
        self,
        state: shared_state.SharedState,
        sources_of_run: unit_sources.UnitSources,
        lag: source_lag.SourceLag,
    ) -> None:
        self._backfill = state.chosen.backfill
        self._sources = sources_of_run
        self._checkpoint = state.context.checkpoint
        self._store = state.store_to_write
        self._lag = lag
        self._clock = clock = state.clock
        self._dry_run = state.request.dry_run
        self._began = int(clock.now())
        self.windows: dict[str, window_source.WindowSource] = {}
        self._marked: defaultdict[str, list[str]] = defaultdict(list)

    async def source(self, kind: str) -> plan_source.UnitSource:
        """Where the units of a kind come from."""
        keys: key_source.KeySource = registry.KINDS[kind].keys
        if isinstance(keys, key_source.TimeWindows):
            return self._window_source(kind, keys)
        if self._dry_run or self._store is None:
            return await self._sources.source(kind)
        is_swept = isinstance(keys, key_source.WholeList | key_source.PlannedWallets)
        self._marked[kind] += find_marked(kind, self._checkpoint)
        first = None
        if not (is_swept and self._sources.is_recent(kind, self._backfill.follow_lists_s)):
            first = await self._sources.source(kind)
        is_list = isinstance(keys, key_source.WholeList)
        rounds = round_source.Rounds(
            every_s=self._backfill.follow_lists_s if is_list else self._backfill.follow_round_s,
            begin=partial(self._begin_round, kind, self._store),
            note_end=partial(self._note_end, kind),
        )
        return round_source.RoundSource(
            kind, first, rounds, queue=partial(self._queue, kind), clock=self._clock
        )

    def describe(self) -> dict[str, Any] | None:
        """How fresh the trades are, as `window_source.describe`; None before that is known."""
        source = self.windows.get(registry.find_followed("external_trades_raw").name)
        if source is None or not self._sources.flow.has_read_all():
            return None
        return window_source.describe(source.followed, self._clock.now())

    @property
    def has_read_all(self) -> bool:
        """Whether everything was read once."""
        return self._sources.flow.has_read_all()

    def close_gaps(self) -> None:
        """When all was read, what was not followed before this start was read with it: by the
        markets and wallets themselves.
        """
        for kind, source in self.windows.items():
            for gap in source.followed.close_gaps(self._began):
                log.info("follow.gap_closed", kind=kind, since=gap.since, until=gap.until)

    def _queue(self, kind: str) -> unit_queue.Queue:
        return self._sources.flow.queues[kind]

    def _window_source(self, kind: str, keys: key_source.TimeWindows) -> window_source.WindowSource:
        source = window_source.WindowSource(
            kind,
            schedule=window_source.Schedule(
                every_s=keys.every_s(self._backfill),
                overlap_s=self._backfill.follow_overlap_s,
                began=self._began - self._backfill.follow_overlap_s,
                reach=keys.reach or (lambda _now: 0),
            ),
            followed=followed_windows.FollowedWindows(kind, self._checkpoint),
            upstream=self._sources.flow.upstream(kind),
            read_lag_s=partial(self._read_lag_s, kind, keys.every_s(self._backfill) / 2),
            queue=partial(self._queue, kind),
            clock=self._clock,
            only_once=self._dry_run,
        )
        self.windows[kind] = source
        return source

    async def _read_lag_s(self, kind: str, fresh_s: float) -> float:
        route = registry.KINDS[kind].route
        if route.host != "data":
            return 0.0
        lag_s = await self._lag.read_lag_s(
            route, worker_progress.Progress(self._clock), fresh_s=fresh_s
        )
        return _UNKNOWN_LAG_S if lag_s is None else lag_s

    def _note_end(self, kind: str) -> None:
        self._sources.complete_sweep(kind)
        self._sources.flow.note_read_once(kind)

    async def _begin_round(self, kind: str, store: client.Store) -> plan_source.UnitSource:
        """The source of one more round. Raises errors.Retry while the store is away."""
        match registry.KINDS[kind].keys:
            case key_source.PlanTable() as keys:
                listing, add = partial(self._list_news, kind, store), keys.add
            case key_source.PlannedWallets() as keys:
                listing, add = partial(self._list_top, kind, keys, store), keys.add
            case _:
                source = await self._sources.source(kind)
                self._queue(kind).drop_failed()
                await source.expected()
                return source
        return round_source.ListedOnce(
            kind,
            prepare=self._sources.preparation(kind, add, store),
            listing=listing,
            clock=self._clock,
        )

    async def _list_news(self, kind: str, store: client.Store) -> AsyncIterator[units.Unit]:
        """What nobody has read yet, and what has news."""
        async for unit in self._sources.planned_keys(kind, store).units():
            yield unit
        is_of_wallets = registry.KINDS[kind].key_flag == "wallets"
        choice = active_keys.Choice(
            after=max(0, int(self._clock.now()) - _LOOK_BACK_S),
            most=self._backfill.follow_wallets if is_of_wallets else 0,
        )
        listed = [each async for each in active_keys.list_active(store, kind, choice)]
        sweep = self._begin_marked(kind)
        size = registry.KINDS[kind].keys_per_request
        for since, keys in listed:
            for first in range(0, len(keys), size):
                batch = tuple(keys[first : first + size])
                yield self._marked_unit(kind, batch, sweep, since)

    async def _list_top(
        self, kind: str, keys: key_source.PlannedWallets, store: client.Store
    ) -> AsyncIterator[units.Unit]:
        """The wallets at the top of the plan."""
        most = self._backfill.follow_wallets
        if keys.most is not None:
            most = min(most, keys.most(self._backfill))
        wallets = discovery.PlannedWallets(store, first=most)
        listed = [wallet async for chunk in wallets() for wallet in chunk]
        sweep = self._begin_marked(kind)
        for wallet in listed:
            yield self._marked_unit(kind, (wallet,), sweep, None)

    def _begin_marked(self, kind: str) -> str:
        """The name of a new round; the receipts of the one before it are forgotten."""
        marked = self._marked.pop(kind, [])
        self._checkpoint.forget(kind, marked)
        self._queue(kind).drop_failed(set(marked))
        return sweeps.follow_name(self._clock.now())

    def _marked_unit(
        self, kind: str, keys: tuple[str, ...], sweep: str, since: int | None
    ) -> units.Unit:
        marked = tuple(units.mark_key(key, sweep) for key in keys)
        self._marked[kind] += marked
        return units.Unit(kind, marked, since, expected_rows=None)


def find_marked(kind: str, checkpoint: run_checkpoint.Checkpoint) -> list[str]:
    """Keys of the rounds that an earlier process read, whose receipts the next round replaces."""
    return [
        key
        for receipt in checkpoint.receipts(kind)
        if sweeps.is_of_follow(receipt.unit.sweep)
        for key in receipt.unit.keys
    ]
