"""What was read to its end and has grown since: counted, and as units of the seconds since."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from polybackfill import clocks, errors, units, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import sources
from polybackfill.kinds import key_source, registry
from polybackfill.polymarket import endpoints, http
from polybackfill.store import client, plan_table, stale_keys


class GrownKeys:
    """The keys of the plans that grew before this run began; of a job, before `began_at` (epoch
    seconds, by the store's clock), so that all its daemons ask for the same.
    """

    def __init__(
        self,
        checkpoint: run_checkpoint.Checkpoint,
        client: http.Client,
        clock: clocks.Clock,
        *,
        listed_only: bool,
        began_at: float | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._client = client
        self._clock = clock
        self._listed_only = listed_only
        self._began = int(clock.now() if began_at is None else began_at)
        self._began_at = clock.monotonic()
        self._is_dated = began_at is not None

    async def count(self, kind: str, plan: key_source.PlanTable, store: client.Store) -> int:
        """How many there are now, with those that a killed run began to read."""
        keys = await stale_keys.count(
            store,
            plan.grown,
            began=self._began,
            now=int(self._clock.now()),
            listed_only=self._listed_only,
        )
        return keys + sum(len(unit.keys) for unit in await self._begun_windows(kind, store))

    async def list_units(
        self,
        kind: str,
        plan: key_source.PlanTable,
        store: client.Store,
        is_mine: Callable[[str], bool] = lambda _key: True,
    ) -> AsyncIterator[units.Unit]:
        """Their units: from a second before the end of what was read, to the run's start."""
        await sources.with_retries(kind, self._learn_when_it_began, self._clock)
        begun: list[units.Unit] = []

        async def list_begun() -> None:
            begun.extend(await self._begun_windows(kind, store))

        await sources.with_retries(kind, list_begun, self._clock)
        for unit in begun:
            if all(map(is_mine, unit.keys)):
                yield unit
        async for since, all_keys in stale_keys.list_stale(
            sources.RetriedReads(kind, store, self._clock),
            plan.grown,
            began=self._began,
            now=int(self._clock.now()),
            listed_only=self._listed_only,
        ):
            keys = list(filter(is_mine, all_keys))
            size = registry.KINDS[kind].keys_per_request
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
            for open_unit in self._checkpoint.open_units()
            if open_unit.unit.kind == kind
            and open_unit.unit.window not in self._own_windows(open_unit.unit)
        ]
        if not (begun and self._listed_only):
            return begun
        keys = [key for unit in begun for key in unit.keys]
        planned_keys = await plan_table.PlanTable(store).listed_among(kind, keys)
        return [unit for unit in begun if planned_keys.issuperset(unit.keys)]

    def _own_windows(self, unit: units.Unit) -> tuple[units.Window, ...]:
        return (units.FULL_HISTORY, (unit.since, self._began))
