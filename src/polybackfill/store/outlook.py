"""How much there is to fetch: counted in the store, or as published before its lists were read."""

from __future__ import annotations

from dataclasses import dataclass

from polybackfill.store import client, plan_table

# Sizes of the exchange in 2026, for a store that knows nothing yet: 1.5 million markets (order book
# list, 2026-06-29), 1.09 million events (highest id, 2026-09-28), 1.2 billion fills in two rows
# each, 2.9 million wallets (published data sets, mid-2026).
PUBLISHED_MARKETS = 1_500_000
PUBLISHED_EVENTS = 1_093_037
PUBLISHED_ROWS = 2_400_000_000
PUBLISHED_WALLETS = 2_900_000

_COUNTS = """
SELECT
    (SELECT uniqExact(condition_id) FROM api_market_rows) AS markets,
    (SELECT uniqExact(event_id) FROM api_event_rows) AS events,
    (SELECT count() FROM condition_backfill_plan
        WHERE status IN ('pending', 'in_progress') AND {which}) AS conditions,
    (SELECT count() FROM condition_backfill_plan WHERE status = 'done'
        AND condition_id IN (SELECT condition_id FROM api_market_rows WHERE NOT closed))
        AS open_again,
    (SELECT uniqExact(condition_id) FROM api_resolution_rows WHERE status = 'resolved') AS resolved,
    (SELECT sum(trade_count) FROM condition_backfill_plan
        WHERE status IN ('pending', 'in_progress') AND {which}) AS condition_rows,
    (SELECT count() FROM wallet_backfill_plan) AS planned_wallets,
    (SELECT count() FROM wallet_backfill_plan
        WHERE status IN ('pending', 'in_progress') AND {which}) AS wallets,
    (SELECT sum(trade_count) FROM wallet_backfill_plan
        WHERE status IN ('pending', 'in_progress') AND {which}) AS wallet_rows
"""


@dataclass(frozen=True)
class Outlook:
    """Keys and rows still to fetch. `open_again`: markets that were read and are still open;
    `unresolved`: markets whose resolution is not stored. `published`: names of the figures nobody
    has counted here.
    """

    markets: int
    events: int
    conditions: int
    open_again: int
    unresolved: int
    condition_rows: int
    wallets: int
    wallet_rows: int
    holders: int
    published: tuple[str, ...]


async def of(store: client.Store, *, everything: bool, listed_only: bool = False) -> Outlook:
    """What a run has before it; `everything`: of the whole exchange, not only of the plans;
    `listed_only`: of the plans only what somebody listed.
    """
    which = plan_table.IS_LISTED if listed_only else "true"
    row = (await store.rows(_COUNTS.format(which=which)))[0]
    counted = {name: int(row[name]) for name in row}
    published: list[str] = []

    def known(name: str, otherwise: int) -> int:
        if counted[name] or not everything:
            return counted[name]
        published.append(name)
        return otherwise

    lists_read = counted["markets"] > 0
    conditions = counted["conditions"]
    condition_rows = counted["condition_rows"]
    if everything and not lists_read:
        published += ["conditions", "condition_rows"]
        conditions, condition_rows = PUBLISHED_MARKETS, PUBLISHED_ROWS
    wallets, wallet_rows = counted["wallets"], counted["wallet_rows"]
    holders = known("planned_wallets", PUBLISHED_WALLETS)
    if "planned_wallets" in published:
        published += ["wallets", "wallet_rows"]
        wallets, wallet_rows = PUBLISHED_WALLETS, PUBLISHED_ROWS
    markets = known("markets", PUBLISHED_MARKETS)
    return Outlook(
        markets=markets,
        events=known("events", PUBLISHED_EVENTS),
        conditions=conditions,
        open_again=counted["open_again"] if everything else 0,
        unresolved=max(0, markets - counted["resolved"]),
        condition_rows=condition_rows,
        wallets=wallets,
        wallet_rows=wallet_rows,
        holders=holders,
        published=tuple(published),
    )
