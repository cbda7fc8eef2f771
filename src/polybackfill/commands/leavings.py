"""What a run of everything or of a planned list leaves behind beside the tables: dimensions, P&L by
category, the watchlist and the coverage report, each as the command of its own name makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from polybackfill import formats, settings
from polybackfill.commands import coverage, dims, report, watchlist
from polybackfill.engine import post_run_step
from polybackfill.store import client as stores
from polybackfill.views import breakdown
from polybackfill.work import ledgers, seeds


async def make(
    chosen: settings.Settings,
    store: stores.Store,
    ledger: ledgers.Ledger,
    *,
    stop: asyncio.Event,
    alive: Callable[[], Awaitable[None]],
) -> list[str]:
    """Make them in the order in which they need each other; a line for each, made or not."""
    folder = chosen.backfill.data_dir
    told: list[str] = []

    async def step(name: str, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | None:
        made = await post_run_step.run_step(name, work, stop=stop, alive=alive)
        if made is None:
            told.append(f"not made: polybackfill {name}")
        return made

    if made := await step("dims build", dims.made(store, chosen)):
        count = made["markets_in_markets_dim"]
        told.append(
            f"dimensions of {formats.counted(count, 'market')}: {folder / seeds.MARKETS_FILE}"
        )
    if made := await step("report categories", report.made(store, chosen)):
        count = made["num_wallets"]
        told.append(
            f"profit and loss of {formats.counted(count, 'wallet')}: {folder / breakdown.FILE}"
        )
    if watchlist.is_enabled(chosen) and (
        made := await step("watchlist auto", watchlist.made(store, chosen))
    ):
        told.append(f"{formats.counted(len(made['added']), 'market')} added to the watchlist")
    file = folder / coverage.FILE
    if made := await step("report coverage", coverage.made(store, ledger, chosen, file)):
        told.append(f"{made['verdict']} {file}")
    return told
