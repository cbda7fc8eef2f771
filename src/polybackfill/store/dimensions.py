"""`markets_dim`, `events_dim` and `condition_market_map`, made in SQL from what was fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polybackfill.store import client, query_files, rebuild, taxonomy

_MARKETS_AND_EVENTS = query_files.read("markets_with_events")

_MARKETS = query_files.read("markets_dim")

_EVENTS = """
SELECT
    event_id, event_slug, title, {category} AS category,
    CAST(e.tags AS Array(String)) AS tags,
    multiIf(closed, 'closed', active, 'active', 'inactive') AS status,
    end_date AS ends_at
FROM api_events_staging AS e
"""

_TAGS = """
SELECT m.condition_id AS condition_id, m.question AS question, {tags} AS tags
{source}
"""

_MAP = """
SELECT condition_id, market_id, event_id, category AS canonical_category, tags AS raw_tags
FROM {markets}
"""

_ALL_TAGS = "arrayConcat(m.tags, e.tags, [toString(m.category), toString(e.category)])"
_EVENT_TAGS = "arrayPushBack(CAST(e.tags AS Array(String)), toString(e.category))"

_COVERAGE = query_files.read("dimensions_coverage")


async def build(store: client.Store) -> None:
    """Make the three tables anew from markets, events and payouts as they are stored now."""
    await rebuild.rebuild(
        store,
        {
            "markets_dim": _MARKETS.format(
                category=taxonomy.category_sql(_ALL_TAGS), source=_MARKETS_AND_EVENTS
            ),
            "events_dim": _EVENTS.format(category=taxonomy.category_sql(_EVENT_TAGS)),
            "condition_market_map": _MAP.format(markets=rebuild.fresh("markets_dim")),
        },
    )


async def tags(store: client.Store, conditions: Sequence[str]) -> list[dict[str, Any]]:
    """What the category of these markets is made of: `condition_id`, `question`, `tags`."""
    select = _TAGS.format(tags=_ALL_TAGS, source=_MARKETS_AND_EVENTS)
    return await store.rows(
        f"{select} WHERE m.condition_id IN {{conditions:Array(String)}} "
        "ORDER BY condition_id SETTINGS join_use_nulls = 0",
        parameters={"conditions": list(conditions)},
    )


async def coverage(store: client.Store) -> dict[str, Any]:
    """How much of what was traded the dimensions know: counts, and shares in percent.

    A share of nothing is None.
    """
    (counts,) = await store.rows(_COVERAGE, parameters={"none": taxonomy.UNCATEGORIZED})
    return {
        **counts,
        "coverage_rates": {
            "market_id": _percent(
                counts["conditions_with_valid_market_id"],
                counts["total_conditions_across_qualified_wallets"],
            ),
            "event_id": _percent(
                counts["markets_with_event_id"], counts["conditions_in_markets_dim"]
            ),
            "category": _percent(
                counts["events_with_category"], counts["unique_events_in_events_dim"]
            ),
        },
    }


def _percent(part: int, whole: int) -> float | None:
    """In hundredths, rounded down: 100 means all."""
    return part * 10_000 // whole / 100 if whole else None
