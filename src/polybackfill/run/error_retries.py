"""Errors that a person wants tried again while a run goes on: back into the queues."""

from __future__ import annotations

from polybackfill import units
from polybackfill.run import shared_state, store_upkeep
from polybackfill.store import plan_table


class ErrorRetries:
    """Takes up what is asked for, once a second."""

    def __init__(self, state: shared_state.SharedState, upkeep: store_upkeep.StoreUpkeep) -> None:
        self._state = state
        self._upkeep = upkeep
        self._seen: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look once. What is none of this run stays for the next one. Raises errors.Retry while the
        store is away.
        """
        wanted = self._state.retries.read()
        if wanted == self._seen:
            return
        failed_units = self._state.context.checkpoint.failed_units()
        failing = [one for one in failed_units if one.unit.id in wanted]
        chosen = [one for one in failing if await self._is_own(one.unit)]
        self._state.retries.drop(wanted - {one.unit.id for one in failed_units})
        await self._upkeep.reopen(chosen)
        for failed in chosen:
            self._state.parts[failed.unit.kind].queue.retry(failed.unit)
        self._seen = self._state.retries.read()

    async def _is_own(self, unit: units.Unit) -> bool:
        """Whether this run has it in error, as one of its own or as one of the plan it follows."""
        request, part = self._state.request, self._state.parts.get(unit.kind)
        if part is None or part.queue.drained or unit.window != request.window:
            return False
        if (job := self._state.context.job) is not None and any(
            map(job.shards.kinds[unit.kind].is_elsewhere, unit.keys)
        ):
            return False
        if part.queue.has_failed(unit):
            return True
        if unit.kind not in plan_table.TABLES or request.has_typed_keys or self._state.is_portion:
            return False
        store = self._state.store_to_write
        if store is None or not request.listed_only:
            return store is not None
        return bool(await plan_table.PlanTable(store).listed_among(unit.kind, unit.keys))
