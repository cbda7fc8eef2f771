"""Profit and loss of every wallet by market and by category, in SQL.

`wallet_market_pnl` says what a wallet did in a market; `wallet_category_pnl` adds it up, and the
view `wallet_pnl` that. docs/analytics.md has the contract in full. Sums are of decimals: categories
add up to the whole exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill import errors, records
from polybackfill.store import client, inflation, market_pnl, rebuild

_CHAIN = "blockchain"  # the source of chain trades in vw_trades_unified
EARLY, LATE = 0.25, 0.75  # of a market's life, from its start to its resolution or planned end

_BY_CATEGORY = """
SELECT
    wallet_address, category,
    ifNull(sum(p.held_to_resolution_pnl_usd), 0) AS realized_pnl_usd,
    sum(p.held_to_resolution_pnl_usd) AS held_to_resolution_pnl_usd,
    min(p.is_exact) AS is_exact,
    if(is_exact, sum(p.economic_pnl_usd), NULL) AS economic_pnl_usd,
    arraySort(groupUniqArrayArray(p.inexact_reasons)) AS inexact_reasons,
    sumIf(p.num_fills, is_counted) AS num_fills,
    sumIf(p.num_fills_with_fee, is_counted) AS num_fills_with_fee,
    if(num_fills > 0 AND num_fills_with_fee = 0, NULL, ifNull(sumIf(p.fees_usd, is_counted), 0))
        AS fees_usd,
    sum(p.num_fills) AS num_all_fills, sum(p.num_fills_with_fee) AS num_all_fills_with_fee,
    if(num_all_fills > 0 AND num_all_fills_with_fee = 0, NULL, ifNull(sum(p.fees_usd), 0))
        AS all_fees_usd,
    sumIf(p.bought_usd, is_counted) AS total_position_size_usd,
    sum(p.bought_usd) AS bought_usd,
    if(bought_usd > 0, 100 * toFloat64(total_position_size_usd) / toFloat64(bought_usd), NULL)
        AS coverage_money_pct,
    if(countIf(isNull(p.value_usd)) > 0, NULL, sum(p.value_usd)) AS value_usd,
    countIf(p.num_fills > 0) AS num_markets,
    countIf(is_counted) AS num_resolved_markets,
    countIf(p.held_to_resolution_pnl_usd > 0) AS num_winning_markets,
    countIf(p.held_to_resolution_pnl_usd < 0) AS num_losing_markets,
    countIf(is_counted AND side = 'YES') AS yes_count,
    countIf(is_counted AND side = 'NO') AS no_count,
    countIf(is_counted AND isNotNull(entry_share)) AS dated_markets,
    countIf(is_counted AND entry_share <= {early}) AS early_entries,
    countIf(is_counted AND entry_share >= {late}) AS late_entries
FROM
(
    SELECT *, isNotNull(held_to_resolution_pnl_usd) AS is_counted FROM {markets}
) AS p
GROUP BY wallet_address, category
"""


async def compute(
    store: client.Store, *, inflated: Sequence[str] = (), cluster: str | None = None
) -> None:
    """Make `wallet_market_pnl` and `wallet_category_pnl` anew from what is stored now.

    `inflated`: the sources to be divided, for all views (`store.inflation`). Raises errors.Stop
    when that is said of a source of external trades or of the chain, whose figures are right.
    """
    external = await store.rows(
        "SELECT DISTINCT toString(source) AS source FROM external_trades_raw"
    )
    right = {records.SOURCE, _CHAIN, *(row["source"] for row in external)}
    if wrong := sorted(right & set(inflated)):
        raise errors.Stop(
            f"BACKFILL_INFLATED_SOURCES names {', '.join(wrong)}: the shares of external trades "
            "and of the chain are right as they are; take it off the list"
        )
    await inflation.declare(store, inflated, cluster=cluster)
    by_category = _BY_CATEGORY.format(
        early=EARLY, late=LATE, markets=rebuild.fresh("wallet_market_pnl")
    )
    await rebuild.rebuild(
        store,
        {"wallet_market_pnl": market_pnl.select(), "wallet_category_pnl": by_category},
        cluster=cluster,
    )
