"""How many fills each source holds, and how many pm_trades_with_external shows."""

from __future__ import annotations

from typing import TypedDict

from polybackfill.checks import sql_partitions
from polybackfill.store import client


class FillCounts(TypedDict):
    """Rows of pm_trades, of the external trades, and of the view over both."""

    internal: int
    external: int
    view: int


async def count_fills(store: client.Store) -> FillCounts:
    """Rows of both sources and of the view."""
    counts_by_source: FillCounts = {
        "internal": await _count(store, "pm_trades"),
        "external": await _count(store, "external_trades_raw"),
        "view": 0,
    }
    for part in sql_partitions.list_conditions(counts_by_source["internal"]):
        counts_by_source["view"] += await _count(store, f"pm_trades_with_external WHERE {part}")
    return counts_by_source


async def _count(store: client.Store, source: str) -> int:
    (counted,) = await store.rows(f"SELECT count() AS n FROM {source}")
    return int(counted["n"])
