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
    (SELECT count() FROM condition_backfill_plan WHERE status = 'done' AND {which}
        AND condition_id IN (SELECT condition_id FROM api_market_rows WHERE NOT closed))
        AS open_again,
    (SELECT count() FROM wallet_backfill_plan WHERE {which}) AS planned_wallets
"""
_PLANNED = """
SELECT count() AS keys, sum(trade_count) AS rows FROM
(
    SELECT trade_count FROM {table} WHERE toString(status) IN {statuses} AND {which}
    ORDER BY priority_rank, {key} LIMIT {{limit:UInt64}} OFFSET {{skip:UInt64}}
)
"""
_OPEN = ("pending", "in_progress")


@dataclass(frozen=True)
class Bounds:
    """What of it a run shall take: `limit` keys of each part behind the first `skip`, of the plans
    only what somebody listed (`listed_only`), `windowed`: not the whole history. `official`: of how
    many wallets Polymarket's own figure is read.
    """

    limit: int | None = None
    skip: int = 0
    listed_only: bool = False
    windowed: bool = False
    official: int = 0

    def count_taken(self, count: int) -> int:
        """How many of `count` keys are taken."""
        return plan_table.count_portion(count, limit=self.limit, skip=self.skip)

    @property
    def takes_all(self) -> bool:
        """Every key, over its whole history."""
        return self.limit is None and not self.skip and not self.windowed


EVERYTHING = Bounds()


@dataclass(frozen=True)
class Outlook:
    """Keys and rows still to fetch, within `bounds`. `open_again`: markets that were read, are
    still open and are read once more; `planned_wallets`: all of the plan, whatever their status.
    `published`: names of the figures nobody has counted here. `condition_rows`, `wallet_rows`: None
    when nobody knows them, as of keys that were listed without a size, or in a window of time.
    """

    markets: int
    events: int
    conditions: int
    open_again: int
    condition_rows: int | None
    wallets: int
    wallet_rows: int | None
    planned_wallets: int
    published: tuple[str, ...]
    bounds: Bounds

    @property
    def finds_markets(self) -> bool:
        """Listed wallets that are not read yet bring more markets."""
        return self.bounds.listed_only and self.wallets > 0


async def count_backlog(
    store: client.Store, *, everything: bool, bounds: Bounds = EVERYTHING
) -> Outlook:
    """What a run has before it; `everything`: of the whole exchange, not only of the plans."""
    which = plan_table.IS_LISTED if bounds.listed_only else "true"
    row = (await store.rows(_COUNTS.format(which=which)))[0]
    counted = {name: int(row[name]) for name in row}
    published: list[str] = []

    def known(name: str, otherwise: int) -> int:
        if counted[name] or not everything:
            return counted[name]
        published.append(name)
        return otherwise

    conditions, condition_rows = await _planned(store, "conditions", bounds)
    if everything and not counted["markets"]:
        published += ["conditions", "condition_rows"]
        conditions = bounds.count_taken(PUBLISHED_MARKETS)
        condition_rows = _part(PUBLISHED_ROWS, conditions, PUBLISHED_MARKETS, bounds)
    wallets, wallet_rows = await _planned(store, "wallets", bounds)
    planned_wallets = bounds.count_taken(known("planned_wallets", PUBLISHED_WALLETS))
    if "planned_wallets" in published:
        published += ["wallets", "wallet_rows"]
        wallets = bounds.count_taken(PUBLISHED_WALLETS)
        wallet_rows = _part(PUBLISHED_ROWS, wallets, PUBLISHED_WALLETS, bounds)
    markets = known("markets", PUBLISHED_MARKETS)
    # A window reads all keys again, and counts them among the others.
    is_read_again = (everything or bounds.listed_only) and bounds.takes_all
    return Outlook(
        markets=markets,
        events=known("events", PUBLISHED_EVENTS),
        conditions=conditions,
        open_again=counted["open_again"] if is_read_again else 0,
        condition_rows=condition_rows,
        wallets=wallets,
        wallet_rows=wallet_rows,
        planned_wallets=planned_wallets,
        published=tuple(published),
        bounds=bounds,
    )


async def _planned(store: client.Store, kind: str, bounds: Bounds) -> tuple[int, int | None]:
    """Keys of a plan that are still open, and their rows. In a window all keys are read again."""
    table, key = plan_table.TABLES[kind]
    statement = _PLANNED.format(
        table=table,
        key=key,
        statuses=plan_table.STATUSES if bounds.windowed else _OPEN,
        which=plan_table.IS_LISTED if bounds.listed_only else "true",
    )
    limit = 2**62 if bounds.limit is None else bounds.limit
    (row,) = await store.rows(statement, parameters={"limit": limit, "skip": bounds.skip})
    keys, rows = int(row["keys"]), int(row["rows"])
    return keys, None if bounds.windowed or (keys and not rows) else rows


def _part(rows: int, keys: int, of_keys: int, bounds: Bounds) -> int | None:
    return None if bounds.windowed else rows * keys // of_keys
