"""What the lists and the trades show that no plan names yet: markets, wallets, open questions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from polybackfill.store import client

# Shares in a row, for want of anything better known of a market than its volume: 12 at the median
# and 69 at the ninth decile of the 7,613 recorded rows. Only a hint for packing and for estimates.
SHARES_PER_ROW = 30
# USD or shares. What an earlier version or a person stored beyond it is no figure (`fields`).
AMOUNT_LIMIT = 1e12

_CHUNK = 5_000
_MARKETS = """
INSERT INTO condition_backfill_plan
    (condition_id, trade_count, notional, priority_rank, source)
SELECT condition_id, toUInt64(usd * 2 / {shares}), usd,
    (SELECT max(priority_rank) FROM condition_backfill_plan)
        + row_number() OVER (ORDER BY usd DESC, condition_id),
    'found in api_markets_staging'
FROM
(
    SELECT condition_id, if(volume BETWEEN 0 AND {limit}, assumeNotNull(volume), 0) AS usd
    FROM api_markets_staging
)
WHERE condition_id NOT IN (SELECT condition_id FROM condition_backfill_plan)
"""
_WALLETS = """
INSERT INTO wallet_backfill_plan (wallet_address, trade_count, notional, priority_rank, source)
SELECT wallet_address, trades, notional,
    (SELECT max(priority_rank) FROM wallet_backfill_plan)
        + row_number() OVER (ORDER BY notional DESC, wallet_address),
    'found in external_trades_raw'
FROM
(
    SELECT wallet_address, count() AS trades,
        sumIf(cash_value, abs(cash_value) < {limit}) AS notional
    FROM external_trades_raw
    WHERE wallet_address NOT IN (SELECT wallet_address FROM wallet_backfill_plan)
        AND wallet_address NOT IN {contracts:Array(String)}
    GROUP BY wallet_address
)
"""
# Conditions that the order book, an event or a trade shows, and Gamma's lists do not.
_UNLISTED = """
SELECT condition_id FROM
(
    SELECT condition_id FROM api_market_rows WHERE source != 'gamma'
    UNION DISTINCT SELECT arrayJoin(condition_ids) FROM api_event_rows
    UNION DISTINCT SELECT condition_id FROM external_trades_raw
)
WHERE condition_id > {after:String} AND condition_id != ''
    AND condition_id NOT IN (SELECT condition_id FROM api_market_rows WHERE source = 'gamma')
ORDER BY condition_id LIMIT {chunk:UInt32}
"""
_UNRESOLVED = """
SELECT condition_id FROM
(
    SELECT condition_id FROM api_market_rows
    UNION DISTINCT SELECT condition_id FROM external_trades_raw
)
WHERE condition_id > {after:String} AND condition_id != ''
    AND condition_id NOT IN (
        SELECT condition_id FROM api_resolution_rows WHERE status = 'resolved')
ORDER BY condition_id LIMIT {chunk:UInt32}
"""
# What only trades show, and no list: found while the lists are long read.
_SEEN_IN_TRADES = """
SELECT DISTINCT condition_id FROM external_trades_raw
WHERE condition_id > {{after:String}} AND condition_id != ''
    AND condition_id NOT IN (SELECT condition_id FROM {known})
ORDER BY condition_id LIMIT {{chunk:UInt32}}
"""
# Resolved since the lists were read, which still show them open.
_CLOSED_SINCE = """
SELECT condition_id FROM resolution_disagreements
WHERE disagreement = 'open' AND condition_id > {after:String}
ORDER BY condition_id LIMIT {chunk:UInt32}
"""
_EVERYTHING: dict[str, str | int] = {"after": "", "chunk": 2**32 - 1}
_PLANNED_WALLETS = """
SELECT priority_rank, wallet_address, trade_count FROM wallet_backfill_plan
WHERE status != 'skip' AND (priority_rank, wallet_address) > ({rank:UInt32}, {after:String})
ORDER BY priority_rank, wallet_address LIMIT {chunk:UInt32}
"""


async def add_markets(store: client.Store) -> None:
    """Every market of the lists into `condition_backfill_plan`, the largest by volume first."""
    sql = _MARKETS.replace("{shares}", str(SHARES_PER_ROW)).replace("{limit}", str(AMOUNT_LIMIT))
    await store.command(sql)


async def add_wallets(store: client.Store, contracts: Sequence[str]) -> None:
    """Every wallet that has traded into `wallet_backfill_plan`, ranked by notional behind those it
    holds; `contracts` are left out.
    """
    sql = _WALLETS.replace("{limit}", str(AMOUNT_LIMIT))
    await store.command(sql, parameters={"contracts": list(contracts)})


async def unlisted_conditions(store: client.Store) -> AsyncIterator[list[str]]:
    """Conditions that Gamma's lists have not shown, in order, some thousand at a time."""
    async for chunk in _chunks(store, _UNLISTED):
        yield chunk


async def unresolved_conditions(store: client.Store) -> AsyncIterator[list[str]]:
    """Conditions whose resolution is not stored yet, in order, some thousand at a time."""
    async for chunk in _chunks(store, _UNRESOLVED):
        yield chunk


async def traded_conditions(store: client.Store, *, unknown_to: str) -> AsyncIterator[list[str]]:
    """Conditions of trades that a table (of `api_market_rows`, `api_resolution_rows`) lacks."""
    async for chunk in _chunks(store, _SEEN_IN_TRADES.format(known=unknown_to)):
        yield chunk


async def closed_since(store: client.Store) -> AsyncIterator[list[str]]:
    """Conditions that are resolved, though the lists still showed them open when they were read."""
    async for chunk in _chunks(store, _CLOSED_SINCE):
        yield chunk


class PlannedWallets:
    """All wallets of the plan in order of rank, whatever their status, but those to skip; with
    `first` so many at most.

    Asked again it goes on behind the last one: what is found later is ranked later.
    """

    def __init__(self, store: client.Store, *, first: int | None = None) -> None:
        self._store = store
        self._rank, self._after = 0, ""
        self._left = first

    async def __call__(self) -> AsyncIterator[list[str]]:
        """Some thousand at a time."""
        while True:
            chunk = _CHUNK if self._left is None else min(_CHUNK, self._left)
            rows = await self._store.rows(
                _PLANNED_WALLETS,
                parameters={"rank": self._rank, "after": self._after, "chunk": chunk},
            )
            if not rows:
                return
            if self._left is not None:
                self._left -= len(rows)
            yield [row["wallet_address"] for row in rows]
            self._rank, self._after = rows[-1]["priority_rank"], rows[-1]["wallet_address"]


async def count_unlisted(store: client.Store) -> int:
    """How many `unlisted_conditions` there are now."""
    return await _count(store, _UNLISTED)


async def count_unresolved(store: client.Store) -> int:
    """How many `unresolved_conditions` there are now."""
    return await _count(store, _UNRESOLVED)


async def count_planned_wallets(store: client.Store) -> int:
    """How many wallets the plan holds, whatever their status, but those to skip."""
    sql = "SELECT wallet_address FROM wallet_backfill_plan WHERE status != 'skip'"
    return await _count(store, sql)


async def _count(store: client.Store, sql: str) -> int:
    rows = await store.rows(f"SELECT count() AS n FROM ({sql})", parameters=_EVERYTHING)
    return int(rows[0]["n"])


async def _chunks(store: client.Store, sql: str) -> AsyncIterator[list[str]]:
    after = ""
    while True:
        rows = await store.rows(sql, parameters={"after": after, "chunk": _CHUNK})
        if not rows:
            return
        yield [row["condition_id"] for row in rows]
        after = rows[-1]["condition_id"]
