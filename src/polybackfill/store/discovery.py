"""What the lists and the trades show that no plan names yet: markets, wallets, open questions; and
what wallets and conditions of planned lists (`listed_only`) need.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from polybackfill.polymarket import coerce
from polybackfill.store import client, plan_table, query_files

# Shares in a row, for want of anything better known of a market than its volume: 12 at the median
# and 69 at the ninth decile of the 7,613 recorded rows. Only a hint for packing and for estimates.
SHARES_PER_ROW = 30

_CHUNK = 5_000
_MARKETS = query_files.read("discovered_markets")
_WALLETS = query_files.read("discovered_wallets")
_LISTED_WALLETS = f"""
    SELECT wallet_address FROM wallet_backfill_plan
    WHERE {plan_table.IS_LISTED} AND status != 'skip'
"""
# Conditions of planned lists, and those that wallets of planned lists hold or traded. What else a
# wallet did names combos and families of markets too.
LISTED_CONDITIONS = f"""
    SELECT condition_id FROM condition_backfill_plan
    WHERE {plan_table.IS_LISTED} AND status != 'skip'
    UNION DISTINCT
    SELECT condition_id FROM external_trades_raw WHERE wallet_address IN ({_LISTED_WALLETS})
    UNION DISTINCT
    SELECT condition_id FROM api_position_rows WHERE wallet_address IN ({_LISTED_WALLETS})
    UNION DISTINCT
    SELECT condition_id FROM wallet_activity_raw
    WHERE activity_type IN ('SPLIT', 'MERGE', 'REDEEM') AND NOT is_combo
        AND wallet_address IN ({_LISTED_WALLETS})
"""
_LISTED = f"""
SELECT condition_id FROM ({LISTED_CONDITIONS})
WHERE condition_id > {{after:String}} AND condition_id != ''
ORDER BY condition_id LIMIT {{chunk:UInt32}}
"""
# What only trades show, and no list: found while the lists are long read.
_SEEN_IN_TRADES = """
SELECT DISTINCT condition_id FROM external_trades_raw
WHERE condition_id > {{after:String}} AND condition_id != ''
    AND condition_id NOT IN (SELECT condition_id FROM {known})
ORDER BY condition_id LIMIT {{chunk:UInt32}}
"""
_EVERYTHING: dict[str, str | int] = {"after": "", "chunk": 2**32 - 1}


async def add_markets(store: client.Store) -> None:
    """Every market of the lists into `condition_backfill_plan`, the largest by volume first."""
    sql, fence = _MARKETS.replace("{shares}", str(SHARES_PER_ROW)), store.fence
    sql = sql.replace("{limit}", str(coerce.AMOUNT_LIMIT)).replace("{fence}", _guard(store))
    await store.command(sql, parameters=fence.parameters if fence is not None else None)


async def add_wallets(store: client.Store, contracts: Sequence[str]) -> None:
    """Every wallet that has traded into `wallet_backfill_plan`, ranked by notional behind those it
    holds; `contracts` are left out.
    """
    sql = _WALLETS.replace("{limit}", str(coerce.AMOUNT_LIMIT)).replace("{fence}", _guard(store))
    fence = store.fence.parameters if store.fence is not None else {}
    await store.command(sql, parameters={"contracts": list(contracts), **fence})


def _guard(store: client.Store) -> str:
    """Of a job: what a daemon that was taken over still sends adds nothing."""
    return "true" if store.fence is None else store.fence.condition


async def list_conditions(store: client.Reader, sql: str) -> AsyncIterator[list[str]]:
    """What `sql` selects, in order, some thousand at a time: the first `{chunk:UInt32}` condition
    ids after `{after:String}`.
    """
    after = ""
    while True:
        rows = await store.rows(sql, parameters={"after": after, "chunk": _CHUNK})
        if not rows:
            return
        yield [row["condition_id"] for row in rows]
        after = rows[-1]["condition_id"]


async def count_conditions(store: client.Store, sql: str) -> int:
    """How many conditions `list_conditions` gives now."""
    return await _count(store, sql)


async def traded_conditions(store: client.Reader, *, unknown_to: str) -> AsyncIterator[list[str]]:
    """Conditions of trades that a table lacks, as `list_conditions` gives them."""
    async for chunk in list_conditions(store, _SEEN_IN_TRADES.format(known=unknown_to)):
        yield chunk


async def listed_conditions(store: client.Store) -> AsyncIterator[list[str]]:
    """Conditions of planned lists, and those that wallets of planned lists traded or hold."""
    async for chunk in list_conditions(store, _LISTED):
        yield chunk


class PlannedWallets:
    """All wallets of the plan in order of rank, whatever their status, but those to skip; with
    `first` so many at most, with `listed_only` none that a run has found.

    Asked again it goes on behind the last one: what is found later is ranked later.
    """

    def __init__(
        self, store: client.Reader, *, first: int | None = None, listed_only: bool = False
    ) -> None:
        self._store = store
        self._rank, self._after = 0, ""
        self._left = first
        self._sql = _planned_wallets(listed_only=listed_only)

    async def __call__(self) -> AsyncIterator[list[str]]:
        """Some thousand at a time."""
        while True:
            chunk = _CHUNK if self._left is None else min(_CHUNK, self._left)
            rows = await self._store.rows(
                f"{self._sql} AND (priority_rank, wallet_address) > "
                "({rank:UInt32}, {after:String}) "
                "ORDER BY priority_rank, wallet_address LIMIT {chunk:UInt32}",
                parameters={"rank": self._rank, "after": self._after, "chunk": chunk},
            )
            if not rows:
                return
            if self._left is not None:
                self._left -= len(rows)
            yield [row["wallet_address"] for row in rows]
            self._rank, self._after = rows[-1]["priority_rank"], rows[-1]["wallet_address"]


async def count_planned_wallets(store: client.Store, *, listed_only: bool = False) -> int:
    """How many wallets `PlannedWallets` names now."""
    return await _count(store, _planned_wallets(listed_only=listed_only))


def _planned_wallets(*, listed_only: bool) -> str:
    which = plan_table.IS_LISTED if listed_only else "true"
    return (
        "SELECT priority_rank, wallet_address FROM wallet_backfill_plan "
        f"WHERE status != 'skip' AND {which}"
    )


async def _count(store: client.Store, sql: str) -> int:
    rows = await store.rows(f"SELECT count() AS n FROM ({sql})", parameters=_EVERYTHING)
    return int(rows[0]["n"])
