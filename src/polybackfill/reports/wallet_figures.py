"""What a wallet did and earned, from the tables: the figures behind the report of one wallet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polybackfill.checks import official_profit
from polybackfill.polymarket import official_figures
from polybackfill.store import client

MARKETS_SHOWN = 100

_KNOWN = """
SELECT
    (SELECT count() FROM external_trades_raw WHERE wallet_address = {wallet:String}) AS fills,
    (SELECT toString(any(status)) FROM wallet_backfill_plan
        WHERE wallet_address = {wallet:String}) AS status,
    (SELECT toString(max(trade_timestamp)) FROM external_trades_raw
        WHERE wallet_address = {wallet:String}) AS newest
"""
# Money of one wallet, whatever it is grouped by. What is not known of a part is not known of the
# sum; of fees what is known is summed, and `num_fills_with_fee` says of how many.
_SUMS = """
    sum(num_fills) AS fills, sum(num_fills_with_fee) AS fills_with_fee,
    countIf(num_fills > 0) AS markets, countIf(num_fills > 0 AND is_resolved) AS resolved_markets,
    toFloat64(sum(bought_usd)) AS bought_usd, toFloat64(sum(sold_usd)) AS sold_usd,
    if(fills > 0 AND fills_with_fee = 0, NULL, toFloat64(sum(ifNull(fees_usd, 0)))) AS fees_usd,
    toFloat64(sum(split_usd)) AS split_usd, toFloat64(sum(merged_usd)) AS merged_usd,
    toFloat64(sum(redeemed_usd)) AS redeemed_usd, toFloat64(sum(converted_usd)) AS converted_usd,
    toFloat64(sum(reward_usd)) AS reward_usd, toFloat64(sum(rebate_usd)) AS rebate_usd,
    toFloat64(sum(yield_usd)) AS yield_usd,
    if(countIf(isNull(value_usd)) > 0, NULL, toFloat64(sum(value_usd))) AS value_usd,
    if(min(is_exact), toFloat64(sum(economic_pnl_usd)), NULL) AS economic_pnl_usd,
    toFloat64(sum(held_to_resolution_pnl_usd)) AS held_to_resolution_pnl_usd,
    arraySort(groupUniqArrayArray(inexact_reasons)) AS inexact_reasons
"""
_OF_WALLET = "FROM wallet_market_pnl WHERE wallet_address = {wallet:String}"
_TOTALS = f"SELECT {_SUMS}, toString(max(computed_at)) AS computed_at {_OF_WALLET}"
_CATEGORIES = f"""
SELECT if(condition_id = '', 'no market', toString(category)) AS name, {_SUMS} {_OF_WALLET}
GROUP BY name ORDER BY bought_usd + sold_usd DESC, name
"""
_MARKETS = f"""
SELECT concat('0x', condition_id) AS condition, question, category, is_resolved, bought_shares,
    sold_shares, shares_held, money.* EXCEPT condition_id
FROM
(
    SELECT condition_id, any(toString(category)) AS category, max(is_resolved) AS is_resolved,
        sum(bought_shares) AS bought_shares, sum(sold_shares) AS sold_shares,
        any(shares_held) AS shares_held
    {_OF_WALLET} AND condition_id != '' GROUP BY condition_id
) AS held
INNER JOIN
(
    SELECT condition_id, {_SUMS} {_OF_WALLET} AND condition_id != '' GROUP BY condition_id
) AS money USING (condition_id)
LEFT JOIN (SELECT condition_id, question FROM markets_dim) AS named USING (condition_id)
ORDER BY bought_usd + sold_usd + split_usd DESC, condition LIMIT {MARKETS_SHOWN}
"""
# Our part of the figure → Polymarket's name of it.
_PARTS = (
    ("profit", "economic_pnl"),
    ("trades", "trade_pnl"),
    ("fees", "fees"),
    ("rewards", "wallet_income"),
    ("unrealized", "unrealized_pnl"),
)


@dataclass(frozen=True)
class ProfitPart:
    """A part of the economic profit in USD, ours and Polymarket's, None where it is unknown."""

    name: str
    ours: float | None
    official: float | None

    @property
    def difference(self) -> float | None:
        """Ours less theirs; None while one of them is unknown."""
        if self.ours is None or self.official is None:
            return None
        return self.ours - self.official


@dataclass(frozen=True)
class Figures:
    """Everything the report says. `wallet`: 40 hex digits. `totals`: None while no profit is
    computed; `curve`: empty where nobody told one, for the reason in `no_curve`. `official_at`:
    when Polymarket's figure was read, '' when it was not; `reason`: the likeliest of a difference.
    """

    wallet: str
    fills: int
    status: str
    newest: str
    totals: dict[str, Any] | None = None
    categories: list[dict[str, Any]] = field(default_factory=list)
    markets: list[dict[str, Any]] = field(default_factory=list)
    parts: list[ProfitPart] = field(default_factory=list)
    reason: str = ""
    official_at: str = ""
    curve: list[tuple[int, float]] = field(default_factory=list)
    no_curve: str = ""


async def read(
    store: client.Store, wallet: str, curve: list[official_figures.ProfitPoint], no_curve: str
) -> Figures:
    """The figures as they are stored now. `curve`: as Polymarket tells it; `no_curve`: why not."""
    parameters = {"wallet": wallet}
    (known,) = await store.rows(_KNOWN, parameters=parameters)
    figures: dict[str, Any] = {"wallet": wallet, **known, "no_curve": no_curve}
    line = [(one.timestamp, one.figures.get("economic_pnl")) for one in curve]
    figures["curve"] = [(second, usd) for second, usd in line if usd is not None]
    ours: dict[str, float | None] = {}
    if await official_profit.is_computed(store):
        (totals,) = await store.rows(_TOTALS, parameters=parameters)
        if totals["fills"] or totals["computed_at"] > "1970-01-01 00:00:00":
            figures["totals"] = totals
            figures["categories"] = await store.rows(_CATEGORIES, parameters=parameters)
            figures["markets"] = await store.rows(_MARKETS, parameters=parameters)
            ours = await _ours(store, totals, parameters)
    official, at = await _official_side(store, parameters, curve)
    figures["official_at"] = at
    figures["parts"] = [
        ProfitPart(name, ours.get(name), official.get(theirs)) for name, theirs in _PARTS
    ]
    if ours and (compared := await official_profit.compare_wallet(store, wallet)):
        figures["reason"] = compared["reason"]
    return Figures(**figures)


async def _ours(
    store: client.Store, totals: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, float | None]:
    """The parts as Polymarket cuts them: what trading brought before fees, fees, rewards."""
    profit, fees = totals["economic_pnl_usd"], totals["fees_usd"]
    if totals["fills_with_fee"] < totals["fills"]:
        fees = None
    rewards = totals["reward_usd"] + totals["rebate_usd"] + totals["yield_usd"]
    (settled,) = await store.rows(
        "SELECT if((SELECT count() FROM ingested_positions WHERE wallet_address = {wallet:String}) "
        "= 0, NULL, ifNull(sum(unrealized_pnl), 0)) AS usd FROM api_positions_staging "
        "WHERE wallet_address = {wallet:String} AND status != 'CLOSED'",
        parameters=parameters,
    )
    trades = None if profit is None or fees is None else profit - rewards + fees
    return {
        "profit": profit,
        "trades": trades,
        "fees": fees,
        "rewards": rewards,
        "unrealized": settled["usd"],
    }


async def _official_side(
    store: client.Store, parameters: dict[str, Any], curve: list[official_figures.ProfitPoint]
) -> tuple[dict[str, Any], str]:
    """Polymarket's figures and their time: as a run read them, else of the end of the curve."""
    rows = await store.rows(
        "SELECT * REPLACE (toString(timestamp) AS timestamp) FROM api_user_stats "
        "WHERE wallet_address = {wallet:String} AND answer = 'figures'",
        parameters=parameters,
    )
    if rows:
        return rows[0], rows[0]["timestamp"]
    return (curve[-1].figures, "now") if curve else ({}, "")
