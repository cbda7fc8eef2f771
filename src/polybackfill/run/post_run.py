"""What a run of everything or of a planned list leaves behind beside the tables: dimensions, P&L by
category, the watchlist and the coverage report, each as the command of its own name makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from polybackfill import formats, settings
from polybackfill.checkpoint import ledgers
from polybackfill.engine import post_run_step
from polybackfill.inputs import dimension_files
from polybackfill.reports import category_breakdown, coverage_report, dimension_export
from polybackfill.run import category_report
from polybackfill.store import client
from polybackfill.watchlist import watchlist_auto


async def make_reports(
    chosen: settings.Settings,
    store: client.Store,
    ledger: ledgers.Ledger,
    *,
    stop: asyncio.Event,
    alive: Callable[[], Awaitable[None]],
) -> list[str]:
    """Make them in the order in which they need each other; a line for each, made or not."""
    folder = chosen.backfill.data_dir
    lines: list[str] = []

    async def step(name: str, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | None:
        result = await post_run_step.run_step(name, work, stop=stop, alive=alive)
        if result is None:
            lines.append(f"not made: polybackfill {name}")
        return result

    if result := await step("dims build", dimension_export.make_report(store, chosen)):
        count = result["markets_in_markets_dim"]
        lines.append(
            f"dimensions of {formats.counted(count, 'market')}: "
            f"{folder / dimension_files.MARKETS_FILE}"
        )
    if result := await step("report categories", category_report.make_report(store, chosen)):
        count = result["num_wallets"]
        lines.append(
            f"profit and loss of {formats.counted(count, 'wallet')}: "
            f"{folder / category_breakdown.FILE}"
        )
    if watchlist_auto.is_enabled(chosen) and (
        result := await step("watchlist auto", watchlist_auto.make_report(store, chosen))
    ):
        lines.append(f"{formats.counted(len(result['added']), 'market')} added to the watchlist")
    file = folder / coverage_report.FILE
    if result := await step(
        "report coverage", coverage_report.make_report(store, ledger, chosen, file)
    ):
        lines.append(f"{result['verdict']} {file}")
    return lines
