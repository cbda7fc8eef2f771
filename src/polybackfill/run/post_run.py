"""What is made of the rows when the last unit has ended: fees and market ids filled in, what the
run has found, and the reports, each of these as the command of its own name makes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import structlog

from polybackfill import formats, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import market_id_cache, post_run_step
from polybackfill.inputs import dimension_files
from polybackfill.kinds import registry
from polybackfill.reports import category_breakdown, coverage_report, dimension_export
from polybackfill.run import (
    category_report,
    morning_report,
    new_keys,
    quarantined_rows,
    run_summary,
    shared_state,
)
from polybackfill.store import candles, client, fill_costs, market_ids
from polybackfill.watchlist import watchlist_auto

log = structlog.get_logger()

_EXPECTED_S = 4.0
# Kinds after which market ids can be filled in, and those that say how markets were decided.
_LISTING = registry.storing("api_market_rows")
_DECIDING = registry.storing("api_resolution_rows")

Alive = Callable[[], Awaitable[None]]
Picture = Callable[[], dict[str, Any]]


async def _say_nothing() -> None:
    """Whoever asks has been told that the run stops."""


class PostRun:
    """The steps after the last unit of one run; of one that follows, in between. `inserting`: held
    while rows are inserted.
    """

    def __init__(
        self,
        state: shared_state.SharedState,
        new: new_keys.NewKeys,
        quarantined: quarantined_rows.QuarantinedRows,
        ids: market_ids.MarketIds | None,
        *,
        inserting: asyncio.Lock,
    ) -> None:
        self._state = state
        self._new_keys = new
        self._quarantined = quarantined
        self._market_ids = ids
        self._inserting = inserting

    async def run(
        self, alive: Alive, current: Picture, *, state: str = "finished"
    ) -> dict[str, Any]:
        """Do them all; what the last picture says of them. `alive` is called every second;
        `current`: the newest picture, for the morning report, and `state`: how the run then stands.
        """
        await self.keep_up(alive)
        summary: dict[str, Any] = {"disagreements": await self._disagreements()}
        summary |= await self._new_keys.count_new()
        summary["newly_set_aside"] = await self._quarantined.newly()
        return {**summary, "left_behind": await self._make_reports(alive, current, state)}

    async def keep_up(self, alive: Alive) -> None:
        """Fees, candles and market ids of what was stored since the last time."""
        await self._fold_costs(alive)
        await self._fill_market_ids(alive)

    async def report_stop(self, current: Picture, *, within_s: float) -> list[str]:
        """The morning report alone, of a run that was stopped: a line for it, made or not."""
        store = self._state.context.store
        if store is None or not self._makes_reports:
            return []
        makers = ReportMakers(
            self._state.chosen, store, self._state.context.checkpoint, asyncio.Event(), _say_nothing
        )
        last_run = morning_report.LastRun("stopped", current(), self._state.request)
        try:
            async with asyncio.timeout(within_s):
                await makers.make_morning_report(last_run, None)
        except TimeoutError:
            return ["not made: polybackfill report morning"]
        return makers.lines

    def expected_s(self, snapshot_file: Path | None) -> float:
        """As long as it took the last time; at first a guess of no weight beside a night."""
        if not self._makes_reports:
            return 0.0
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = b"" if snapshot_file is None else snapshot_file.read_bytes()
            if seen := float(orjson.loads(content)["post_run_s"]):
                return seen
        return _EXPECTED_S

    @property
    def _makes_reports(self) -> bool:
        request = self._state.request
        is_portion_of_list = request.listed_only and self._state.is_portion
        wanted = self._state.chosen.backfill.reports
        return request.fetches_all and wanted and not is_portion_of_list

    async def _fold_costs(self, alive: Alive) -> None:
        if (store := self._state.store_to_write) is not None:
            await self._step("fees of fills", self._between_inserts(fill_costs.fold, store), alive)
            await self._step("candles", self._between_inserts(candles.make_marked, store), alive)

    async def _between_inserts(
        self, step: Callable[[client.Store], Awaitable[int]], store: client.Store
    ) -> int:
        """What came meanwhile the step would remove with what it has done."""
        async with self._inserting:
            return await step(store)

    async def _fill_market_ids(self, alive: Alive) -> None:
        if self._market_ids is None or _LISTING.isdisjoint(self._state.request.kinds):
            return
        filling = market_id_cache.catch_up(self._market_ids, clock=self._state.clock)
        if (done := await self._step("market ids", filling, alive)) is not None:
            log.info("market_ids.filled", conditions=done.conditions, trades=done.trades)

    async def _disagreements(self) -> dict[str, int]:
        store = self._state.store_to_write
        if store is None or _DECIDING.isdisjoint(self._state.parts):
            return {}
        return await run_summary.disagreements(store)

    async def _make_reports(self, alive: Alive, current: Picture, state: str) -> list[str]:
        store = self._state.context.store
        if store is None or not self._makes_reports:
            return []
        makers = ReportMakers(
            self._state.chosen, store, self._state.context.checkpoint, self._state.stop, alive
        )
        coverage = await makers.make_reports()
        # Nothing but the report itself is left to do.
        picture = {**current(), "state": state}
        last_run = morning_report.LastRun(state, picture, self._state.request)
        await makers.make_morning_report(last_run, coverage)
        return makers.lines

    async def _step(
        self, name: str, work: Coroutine[Any, Any, post_run_step.Result], alive: Alive
    ) -> post_run_step.Result | None:
        return await post_run_step.run_step(name, work, stop=self._state.stop, alive=alive)


class ReportMakers:
    """Makes the reports at the end of a run. `lines`: one for each, made or not."""

    def __init__(
        self,
        chosen: settings.Settings,
        store: client.Store,
        checkpoint: run_checkpoint.Checkpoint,
        stop: asyncio.Event,
        alive: Alive,
    ) -> None:
        self._chosen = chosen
        self._store = store
        self._checkpoint = checkpoint
        self._stop = stop
        self._alive = alive
        self.lines: list[str] = []

    async def make_reports(self) -> coverage_report.Written | None:
        """In the order in which they need each other; the figures of the coverage report."""
        chosen, store = self._chosen, self._store
        folder = chosen.backfill.data_dir
        if result := await self._step("dims build", dimension_export.make_report(store, chosen)):
            count = result["markets_in_markets_dim"]
            self.lines.append(
                f"dimensions of {formats.counted(count, 'market')}: "
                f"{folder / dimension_files.MARKETS_FILE}"
            )
        if result := await self._step(
            "report categories", category_report.make_report(store, chosen)
        ):
            count = result["num_wallets"]
            self.lines.append(
                f"profit and loss of {formats.counted(count, 'wallet')}: "
                f"{folder / category_breakdown.FILE}"
            )
        if watchlist_auto.is_enabled(chosen) and (
            result := await self._step("watchlist auto", watchlist_auto.make_report(store, chosen))
        ):
            added = formats.counted(len(result["added"]), "market")
            self.lines.append(f"{added} added to the watchlist")
        file = folder / coverage_report.FILE
        making = coverage_report.make_report(store, self._checkpoint, chosen, file)
        if coverage := await self._step("report coverage", making):
            self.lines.append(f"{coverage['conclusion']} {file}")
        return coverage

    async def make_morning_report(
        self, last_run: morning_report.LastRun, coverage: coverage_report.Written | None
    ) -> None:
        """The last of them, which says how the others came out."""
        making = morning_report.make_report(
            self._chosen, self._store, self._checkpoint, last_run, coverage=coverage
        )
        if page_file := await self._step("report morning", making):
            self.lines.append(f"the night on one page: {page_file}")

    async def _step(
        self, name: str, work: Coroutine[Any, Any, post_run_step.Result]
    ) -> post_run_step.Result | None:
        result = await post_run_step.run_step(name, work, stop=self._stop, alive=self._alive)
        if result is None:
            self.lines.append(f"not made: polybackfill {name}")
        return result
