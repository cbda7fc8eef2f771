"""What a run keeps in line beside its rows: receipts and plan tables, and market ids in memory."""

from __future__ import annotations

from functools import partial

from polybackfill import units
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
            receipts=stored_receipts.StoredReceipts(store, state.context.checkpoint.run_name),
            checkpoint=state.context.checkpoint,
            leased={
                kind: partial(state.leased_units, kind)
                for kind in plan_table.TABLES
                if kind in state.request.kinds
            },
            clock=state.clock,
        )

    async def begin(self) -> None:
        """Before the first unit is taken. Raises errors.Retry when the store is away."""
        if self._plan_sync is not None:
            if self._state.request.window == units.FULL_HISTORY:
                await self._plan_sync.begin()
            await self._plan_sync.reopen(self._state.request.kinds, self._state.request.window)
        if self.id_cache is not None:
            await self.id_cache.refresh()

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
