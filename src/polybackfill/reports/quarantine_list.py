"""Rows in quarantine, by reason and the newest of them."""

from __future__ import annotations

from typing import Any

from polybackfill.store import client

COLUMNS = "quarantine_id AS id, reason, request, raw, unit"


async def read(store: client.Store, limit: int) -> dict[str, Any]:
    """`by_reason`: how many and when the last came; `newest`: so many, as they were sent."""
    return {
        "by_reason": await store.rows(
            "SELECT reason, count() AS rows, max(rejected_at) AS newest FROM quarantine "
            "GROUP BY reason ORDER BY rows DESC"
        ),
        "newest": await store.rows(
            f"SELECT {COLUMNS} FROM quarantine ORDER BY rejected_at DESC LIMIT {limit}"
        ),
    }
