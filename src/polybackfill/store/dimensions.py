"""`markets_dim`, `events_dim` and `condition_market_map`, made in SQL from what was fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polybackfill.store import client, rebuild, taxonomy

# An event's own market list is asked where a market names no event, and the accepted look-ups where
# it names no market id: the lists are fetched apart.
# A market `m` with its event `e`.
_MARKETS_AND_EVENTS = """FROM
(
    SELECT
        market.condition_id AS condition_id, market.market_slug AS market_slug,
        market.event_slug AS event_slug, market.question AS question,
        market.outcomes AS outcomes, market.category AS category, market.tags AS tags,
        market.start_date AS start_date, market.end_date AS end_date,
        if(market.market_id != '', market.market_id, looked_up.market_id) AS market_id,
        if(market.event_id != '', market.event_id, listed.event_id) AS event
    FROM
    (
        SELECT condition_id, market_id, market_slug, event_id, event_slug, question, outcomes,
            category, start_date, end_date,
            CAST(tags AS Array(String)) AS tags
        FROM api_markets_staging
    ) AS market
    LEFT JOIN
    (
        SELECT condition_id, argMin(event_id, toUInt64OrZero(event_id)) AS event_id
        FROM api_events_staging ARRAY JOIN condition_ids AS condition_id
        GROUP BY condition_id
    ) AS listed ON listed.condition_id = market.condition_id
    LEFT JOIN
    (
        SELECT condition_id, market_id FROM condition_market_ids
    ) AS looked_up ON looked_up.condition_id = market.condition_id
) AS m
LEFT JOIN
(
    SELECT event_id, event_slug, category, CAST(tags AS Array(String)) AS tags
    FROM api_events_staging
) AS e ON e.event_id = m.event
"""

_MARKETS = """
SELECT
    m.condition_id AS condition_id,
    m.market_id AS market_id,
    m.event AS event_id,
    if(e.event_slug != '', e.event_slug, m.event_slug) AS event_slug,
    m.market_slug AS market_slug,
    m.question AS question,
    m.outcomes AS outcomes,
    {category} AS category,
    arraySort(arrayDistinct(arrayConcat(m.tags, e.tags))) AS tags,
    multiIf(length(p.payouts) != 2, NULL,
        p.payouts[1] > p.payouts[2], 'YES',
        p.payouts[1] < p.payouts[2], 'NO', NULL) AS resolved_outcome,
    if(length(p.payouts) = 2, p.payouts[1], NULL) AS payout_yes,
    if(length(p.payouts) = 2, p.payouts[2], NULL) AS payout_no,
    p.payouts AS payouts,
    p.resolved_at AS resolved_at,
    m.start_date AS start_date,
    m.end_date AS end_date
{source}
LEFT JOIN market_payouts AS p ON p.condition_id = m.condition_id
SETTINGS join_use_nulls = 0
"""

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

# The fields of the seed's report; `traded` are the conditions of all wallets with trades.
_COVERAGE = """
SELECT
    (SELECT uniqExact(condition_id) FROM trades_for_pnl)
        AS total_conditions_across_qualified_wallets,
    countIf(traded AND market_id != '') AS conditions_with_valid_market_id,
    countIf(traded) AS conditions_in_markets_dim,
    countIf(traded AND event_id != '') AS markets_with_event_id,
    (SELECT count() FROM events_dim) AS unique_events_in_events_dim,
    (SELECT countIf(category != {none:String}) FROM events_dim) AS events_with_category,
    count() AS markets_in_markets_dim,
    countIf(category != {none:String}) AS markets_with_category,
    countIf(notEmpty(payouts)) AS markets_with_payouts
FROM
(
    SELECT *, condition_id IN (SELECT condition_id FROM trades_for_pnl) AS traded
    FROM markets_dim
)
"""


async def build(store: client.Store, *, cluster: str | None = None) -> None:
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
        cluster=cluster,
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
