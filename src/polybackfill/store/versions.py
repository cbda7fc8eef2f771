"""Which row of a key is newer: the highest version stored, which every new row must exceed.

Versions are ticks (`clock.Clock.tick`). An earlier run may have made them with a clock that was
ahead, and the checkpoint that knew may be lost, so the tables themselves are asked.
"""

from __future__ import annotations

from polybackfill.store import client

# Positions hold twice the tick, and one more.
_NEWEST = """
SELECT greatest(
    (SELECT max(version) FROM api_market_rows),
    (SELECT max(version) FROM api_event_rows),
    (SELECT max(version) FROM api_resolution_rows),
    (SELECT max(version) FROM api_user_stat_rows),
    (SELECT intDiv(max(version), 2) FROM api_position_rows)) AS newest
"""
# A row written by hand with a version beyond stays above all others; the rest must go on.
_LIMIT = 2**61


async def newest(store: client.Store) -> int:
    """The highest tick among the rows of all lists and readings; 0 for none."""
    (row,) = await store.rows(_NEWEST)
    return min(int(row["newest"]), _LIMIT)
