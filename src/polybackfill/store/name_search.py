"""What the stored lists know of the names that people type: numbers and slugs of markets, slugs of
events.
"""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill.store import client

_AT_ONCE = 500  # the values travel in a URL, which ClickHouse takes up to 1 MB
_MARKETS = """
SELECT {field} AS name, condition_id AS condition, any(market_slug) AS label
FROM api_market_rows
WHERE {field} IN {{names:Array(String)}} AND condition_id != ''
GROUP BY name, condition ORDER BY name, condition
"""
_EVENTS = """
SELECT name, condition, condition AS label
FROM (
    SELECT event_slug AS name, argMax(condition_ids, fetched_at) AS conditions
    FROM api_event_rows WHERE event_slug IN {names:Array(String)} GROUP BY name
)
ARRAY JOIN conditions AS condition
WHERE condition != ''
"""

Matches = dict[str, list[tuple[str, str]]]
"""Name → (condition id, what people call it)."""


async def markets_by_number(store: client.Store, numbers: Sequence[str]) -> Matches:
    """The conditions of market numbers; what is not stored is left out."""
    return await _search(store, _MARKETS.format(field="market_id"), numbers)


async def markets_by_slug(store: client.Store, slugs: Sequence[str]) -> Matches:
    """The conditions of market slugs."""
    return await _search(store, _MARKETS.format(field="market_slug"), slugs)


async def markets_of_events(store: client.Store, slugs: Sequence[str]) -> Matches:
    """All conditions of events, as they were listed last."""
    return await _search(store, _EVENTS, slugs)


async def _search(store: client.Store, sql: str, names: Sequence[str]) -> Matches:
    matches: Matches = {}
    for first in range(0, len(names), _AT_ONCE):
        chunk = list(names[first : first + _AT_ONCE])
        for row in await store.rows(sql, parameters={"names": chunk}):
            matches.setdefault(row["name"], []).append((row["condition"], row["label"]))
    return matches
