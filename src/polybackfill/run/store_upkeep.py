"""What a run keeps in line beside its rows: receipts and plan tables, and market ids in memory."""

from __future__ import annotations

from functools import partial

from polybackfill import units
from polybackfill.checkpoint import unit_states
from polybackfill.engine import market_id_cache, plan_sync, supervisor
from polybackfill.run import shared_state
from polybackfill.store import market_ids, plan_table, stored_receipts


class StoreUpkeep:
    """Of a run that writes; a dry run has nothing to keep in line, and None for both ids."""

    def __init__(self, state: shared_state.SharedState) -> None:
        self._state = state
        self._plan_sync: plan_sync.PlanSync | None = None
        self.market_ids: market_ids.MarketIds | None = None
        self.id_cache: market_id_cache.MarketIdCache | None = None
        store = state.store_to_write
        if store is None:
            return
        self.market_ids = market_ids.MarketIds(store)
        self.id_cache = market_id_cache.MarketIdCache(self.market_ids, clock=state.clock)
        self._plan_sync = plan_sync.PlanSync(
            plan=plan_table.PlanTable(store),
            receipts=stored_receipts.StoredReceipts(
                store, state.context.checkpoint.run_name, job=state.chosen.backfill.job
            ),
            checkpoint=state.context.checkpoint,
            leased={
                kind: partial(state.leased_units, kind)
                for kind in plan_table.TABLES
                if kind in state.request.kinds
            },
            clock=state.clock,
            shared=state.context.job is not None,
        )

    async def begin(self) -> None:
        """Before the first unit is taken. Raises errors.Retry when the store is away."""
        if self._plan_sync is not None:
            if self._state.request.window == units.FULL_HISTORY:
                await self._plan_sync.begin()
            await self.reopen(self._left_in_error())
        if self.id_cache is not None:
            await self.id_cache.refresh()

    def _left_in_error(self) -> list[unit_states.FailedUnit]:
        """What passing trouble of an earlier run has left in error, and what a person wants tried
        again. A run over everything takes up every window, one over a window that one.
        """
        request, wanted = self._state.request, self._state.retries.read()
        return [
            failed
            for failed in self._state.context.checkpoint.failed_units()
            if (failed.passing or failed.unit.id in wanted)
            and failed.unit.kind in request.kinds
            and request.window in (units.FULL_HISTORY, failed.unit.window)
        ]

    async def reopen(self, failed_units: list[unit_states.FailedUnit]) -> None:
        """Units in error are fetched again when a feed names them, or the queue is handed them."""
        if self._plan_sync is None or not failed_units:
            return
        await self._plan_sync.reopen(failed_units)
        await self._state.context.checkpoint.sync()
        self._state.retries.drop(failed.unit.id for failed in failed_units)

    async def sync_plan(self) -> None:
        """Tell the receipts and plan tables what has ended or begun since the last time."""
        if self._plan_sync is not None:
            await self._plan_sync.run()
            return
        # A dry run has no plan to tell; what has ended need not be remembered for that.
        checkpoint = self._state.context.checkpoint
        ends = checkpoint.transitions_since(checkpoint.synced_seq)
        if ends:
            checkpoint.note_plan_synced(ends[-1].seq)

    def periodic(self) -> list[supervisor.PeriodicTask]:
        """What is repeated while the run goes on, beside `sync_plan`."""
        if self.id_cache is None:
            return []
        return [
            supervisor.PeriodicTask("market ids", market_id_cache.REFRESH_S, self.id_cache.refresh)
        ]
