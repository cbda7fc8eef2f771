"""What a run over markets brought to light: wallets nobody had seen, conditions nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill.store import client

_NOW = """
SELECT toUnixTimestamp(now()) AS second,
    countIf(ingested_at <= now() + 5) AS rows, countIf(ingested_at > now() + 5) AS ahead
FROM external_trades_raw WHERE ingested_at >= now()
"""
# No row is stored in such a second.
NEVER = 2**32 - 1
_WALLETS = """
SELECT count() AS n FROM (
    SELECT wallet_address FROM external_trades_raw
    WHERE wallet_address NOT IN (SELECT wallet_address FROM wallet_backfill_plan
        WHERE toUnixTimestamp(ingested_at) < {since:UInt32})
    GROUP BY wallet_address HAVING toUnixTimestamp(min(ingested_at)) >= {since:UInt32}
)
"""
_CHUNK = "SELECT arrayJoin({asked:Array(String)}) AS condition_id"
_PLANNED = """
SELECT condition_id FROM condition_backfill_plan
WHERE status = 'done' AND toUnixTimestamp(last_run_at) >= {since:UInt32}
"""
_UNKNOWN = """
SELECT condition_id FROM ({of})
WHERE condition_id NOT IN (SELECT condition_id FROM external_trades_raw)
    AND condition_id NOT IN (SELECT condition_id FROM api_market_rows)
ORDER BY condition_id LIMIT {{limit:UInt32}}
"""
# The values travel in a URL, which ClickHouse takes up to 1 MB.
_ASKED_MAX = 5_000


async def begin(store: client.Store) -> int | None:
    """The store's present second, None while rows of this very second are there already; `NEVER`
    when its clock was ahead once, so that the rows of this run cannot be told from others by time.
    """
    (row,) = await store.rows(_NOW)
    if row["ahead"]:
        return NEVER
    return None if row["rows"] else int(row["second"])


async def new_wallets(store: client.Store, since: int) -> int:
    """Wallets whose first trade was stored in second `since` or later, and that no plan knew."""
    (row,) = await store.rows(_WALLETS, parameters={"since": since})
    return int(row["n"])


async def unknown_conditions(
    store: client.Store, conditions: Sequence[str], since: int, *, limit: int
) -> list[str]:
    """Of `asked`, or without any of the planned ones that ended since, those without a trade that
    no list knows either: misspelt, or not there yet.
    """
    if not conditions:
        sql = _UNKNOWN.format(of=_PLANNED)
        rows = await store.rows(sql, parameters={"since": since, "limit": limit})
        return [row["condition_id"] for row in rows]
    unknown: list[str] = []
    for first in range(0, len(conditions), _ASKED_MAX):
        chunk = list(conditions[first : first + _ASKED_MAX])
        sql = _UNKNOWN.format(of=_CHUNK)
        rows = await store.rows(sql, parameters={"asked": chunk, "limit": limit})
        unknown += [row["condition_id"] for row in rows]
    return unknown[:limit]
