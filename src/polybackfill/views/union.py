"""How many fills each source holds, and how many pm_trades_with_external shows."""

from __future__ import annotations

from polybackfill.store import client
from polybackfill.views import slices


async def counts(store: client.Store) -> dict[str, int]:
    """Rows of both sources and of the view."""
    found = {
        "internal": await _count(store, "pm_trades"),
        "external": await _count(store, "external_trades_raw"),
        "view": 0,
    }
    for part in slices.of(found["internal"]):
        found["view"] += await _count(store, f"pm_trades_with_external WHERE {part}")
    return found


async def _count(store: client.Store, of: str) -> int:
    (counted,) = await store.rows(f"SELECT count() AS n FROM {of}")
    return int(counted["n"])
