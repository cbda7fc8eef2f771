"""What is stored of one market, from the tables: the figures behind the report of one market."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polybackfill.store import client, query_files

WALLETS_SHOWN = 50
MOST_CANDLES = 240  # of a chart: more are thinner than a pixel
_LENGTHS_S = (60, 3_600, 86_400)

_MARKET = """
SELECT question, market_slug, market_id, event_id, event_slug, outcomes, token_ids, active, closed,
    resolved, volume, liquidity, sources, toString(timestamp) AS read_at,
    toString(start_date) AS start_date, toString(end_date) AS end_date
FROM api_markets_staging WHERE condition_id = {condition:String}
"""
# What `market_payouts` said when it was made: that view reads every market for one of them.
_PAYOUTS = """
SELECT payouts, toString(ingested_at) AS made_at FROM markets_dim
WHERE condition_id = {condition:String}
"""
_PLAN = """
SELECT toString(status) AS status, toString(last_run_at) AS last_run_at
FROM condition_backfill_plan WHERE condition_id = {condition:String}
"""
_FILLS = """
SELECT count() AS fills, uniqExact(wallet_address) AS wallets, sum(shares) / 2 AS shares,
    sum(cash_value) / 2 AS usd, countIf(isNotNull(fees)) AS fills_with_fee,
    toString(min(trade_timestamp)) AS first, toString(max(trade_timestamp)) AS newest,
    toUnixTimestamp(min(trade_timestamp)) AS first_second,
    toUnixTimestamp(max(trade_timestamp)) AS newest_second
FROM external_trades_raw WHERE condition_id = {condition:String}
"""
_OUTCOMES = """
SELECT token_id, any(outcome) AS name, count() AS fills,
    sumIf(shares, side = 'BUY') AS bought, sumIf(shares, side = 'SELL') AS sold,
    sum(cash_value) AS usd, min(price) AS lowest, max(price) AS highest,
    argMax(price, (trade_timestamp, external_trade_id)) AS newest
FROM external_trades_raw WHERE condition_id = {condition:String}
GROUP BY token_id ORDER BY min(outcome_index), token_id
"""
_WALLETS = query_files.read("wallets_of_a_market")
_CANDLES = """
SELECT token_id, toUnixTimestamp(started_at) AS second, open, high, low, close
FROM trade_candles
WHERE condition_id = {condition:String} AND interval_s = {length_s:UInt32}
ORDER BY token_id, second DESC LIMIT {most:UInt32} BY token_id
"""
_WAITS = "SELECT count() AS marks FROM candle_marks WHERE condition_id = {condition:String}"


@dataclass(frozen=True)
class LiveVolume:
    """Shares that `/v2/live-volume` counts, None for the reason in `unknown`."""

    shares: float | None = None
    unknown: str = ""


@dataclass(frozen=True)
class Figures:
    """Everything the report says. `condition`: 64 hex digits. `market`: as the lists show it, empty
    where none does; `plan`: how far it was read, empty when it is not planned. `payouts_at`: when
    it was last looked whether it is resolved, '' for never. `candles`: by token, oldest first, each
    of `candle_s`; `candles_wait`: fills have come since they were made.
    """

    condition: str
    market: dict[str, Any]
    plan: dict[str, Any]
    fills: dict[str, Any]
    payouts: list[float] = field(default_factory=list)
    payouts_at: str = ""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    wallets: list[dict[str, Any]] = field(default_factory=list)
    candle_s: int = _LENGTHS_S[-1]
    candles: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    candles_wait: bool = False
    live: LiveVolume = field(default_factory=LiveVolume)


async def read_event(store: client.Store, condition: str) -> int | None:
    """The number of the market's event in Gamma, None where no list names it."""
    rows = await store.rows(
        "SELECT event_id FROM api_markets_staging WHERE condition_id = {condition:String}",
        parameters={"condition": condition},
    )
    named = rows[0]["event_id"] if rows else ""
    return int(named) if named.isascii() and named.isdecimal() else None


async def read(store: client.Store, condition: str, live: LiveVolume) -> Figures:
    """The figures as they are stored now."""
    parameters: dict[str, Any] = {"condition": condition}

    async def first_of(sql: str) -> dict[str, Any]:
        rows = await store.rows(sql, parameters=parameters)
        return rows[0] if rows else {}

    fills, paid = await first_of(_FILLS), await first_of(_PAYOUTS)
    lasted_s = fills["newest_second"] - fills["first_second"]
    candle_s = next((one for one in _LENGTHS_S if lasted_s < one * MOST_CANDLES), _LENGTHS_S[-1])
    candles: dict[str, list[tuple[float, ...]]] = {}
    parameters |= {"length_s": candle_s, "most": MOST_CANDLES}
    for row in reversed(await store.rows(_CANDLES, parameters=parameters)):
        prices = (row["open"], row["high"], row["low"], row["close"])
        candles.setdefault(row["token_id"], []).append((row["second"], *prices))
    return Figures(
        condition,
        market=await first_of(_MARKET),
        plan=await first_of(_PLAN),
        fills=fills,
        payouts=paid.get("payouts", []),
        payouts_at=paid.get("made_at", ""),
        outcomes=await store.rows(_OUTCOMES, parameters=parameters),
        wallets=await store.rows(_WALLETS, parameters={**parameters, "most": WALLETS_SHOWN}),
        candle_s=candle_s,
        candles=candles,
        candles_wait=bool((await first_of(_WAITS))["marks"]),
        live=live,
    )
