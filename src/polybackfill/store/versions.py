"""Which row of a key is newer: the highest version stored, which every new row must exceed.

Versions are ticks (`clock.Clock.tick`). An earlier run may have made them with a clock that was
ahead, and the checkpoint that knew may be lost, so the tables themselves are asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from polybackfill.store import client

# A row written by hand with a version beyond stays above all others; the rest must go on.
_LIMIT = 2**61


async def newest(store: client.Store, versions: Mapping[str, str]) -> int:
    """The highest tick among the rows of some tables, 0 for none. `versions`: table → SQL of it."""
    each = [f"(SELECT {version} FROM {table})" for table, version in versions.items()]
    (row,) = await store.rows(f"SELECT greatest({', '.join(each)}) AS newest")
    return min(int(row["newest"]), _LIMIT)
