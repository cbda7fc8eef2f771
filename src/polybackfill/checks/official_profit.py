"""Polymarket's own figure of a wallet beside ours: the difference, its parts, the likeliest reason.

Polymarket adds up a profit as trades (before fees) less fees plus rewards; what is not yet taken
is within trades, and shown beside it. Ours is the economic profit of `wallet_market_pnl`, taken
apart the same way. Both are compared where they speak of the same rows: a wallet whose history is
not closed, one that has traded since it was read, and prices that moved in between are named and
not held against anybody.
"""

from __future__ import annotations

from typing import Any

from polybackfill.checks import check_result
from polybackfill.store import client

NAME = "official-pnl"
# Figures within so much count as equal: what rounding and prices of a moment leave.
NEAR_USD = 1.0
NEAR_SHARE = 0.01
LISTED = 50

_COMPARED = f"""
WITH
ours AS
(
    SELECT wallet_address, min(is_exact) AS is_exact,
        arrayStringConcat(arraySort(groupUniqArrayArray(inexact_reasons)), ', ') AS inexact,
        toFloat64(sum(economic_pnl_usd)) AS pnl,
        toFloat64(sum(ifNull(fees_usd, 0))) AS fees,
        toFloat64(sum(reward_usd + rebate_usd + yield_usd)) AS rewards,
        toFloat64(sum(ifNull(value_usd, 0))) AS value,
        sum(num_fills) AS fills
    FROM wallet_market_pnl WHERE wallet_address IN ({{wallets}}) GROUP BY wallet_address
),
held AS
(
    SELECT wallet_address, sum(ifNull(current_value, 0)) AS worth,
        sum(ifNull(unrealized_pnl, 0)) AS unrealized
    FROM
    (
        SELECT wallet_address, current_value, unrealized_pnl FROM api_positions_staging
        WHERE wallet_address IN ({{wallets}}) AND status != 'CLOSED'
        UNION ALL
        SELECT wallet_address, 0 AS current_value, 0 AS unrealized_pnl FROM ingested_positions
        WHERE wallet_address IN ({{wallets}})
    )
    GROUP BY wallet_address
),
read AS
(
    SELECT wallet_address, read_until FROM wallet_backfill_plan
    WHERE wallet_address IN ({{wallets}})
)
SELECT
    concat('0x', wallet_address) AS wallet,
    multiIf(
        isNull(difference), 'not comparable',
        abs(difference) <= {NEAR_USD}, 'equal',
        has_traded_since, 'traded since',
        have_prices_moved, 'prices moved',
        'differs') AS outcome,
    if(ours.is_exact, ours.pnl, NULL) AS our_pnl_usd,
    told.economic_pnl AS official_pnl_usd,
    our_pnl_usd - official_pnl_usd AS difference,
    our_pnl_usd - ours.rewards + ours.fees - told.trade_pnl AS difference_trades,
    if(ours.is_exact, ours.fees, NULL) - told.fees AS difference_fees,
    ours.rewards - told.wallet_income AS difference_rewards,
    held.unrealized - told.unrealized_pnl AS difference_unrealized,
    ifNull(ours.fills, 0) AS fills,
    told.trade_count AS official_fills,
    toString(told.timestamp) AS official_at,
    told.answer AS answer,
    told.trade_count > fills AND told.counted_at > read.read_until AS has_traded_since,
    abs(difference - (ours.value - held.worth)) <= {NEAR_USD} AS have_prices_moved,
    abs(told.trade_pnl - told.fees + told.wallet_income - told.economic_pnl) > {NEAR_USD}
        OR abs(told.realized_pnl + told.unrealized_pnl - told.trade_pnl) > {NEAR_USD}
        AS contradicts_itself,
    multiIf(
        told.answer != 'figures', concat('Polymarket: ', told.answer),
        isNull(told.economic_pnl), 'Polymarket tells no figure',
        isNull(ours.is_exact), 'no profit is computed for it yet',
        NOT ours.is_exact, concat('history not closed: ', ours.inexact),
        outcome = 'equal', '',
        has_traded_since, 'it has traded since it was read',
        have_prices_moved, 'prices moved between the two readings',
        told.trade_count != fills, concat('Polymarket counts ', toString(told.trade_count),
            ' fills, stored are ', toString(fills)),
        abs(difference_fees) > {NEAR_USD}, 'fees',
        abs(difference_rewards) > {NEAR_USD}, 'rewards',
        contradicts_itself, 'the parts of Polymarket''s figure do not add up to it',
        abs(difference_unrealized) > {NEAR_USD}, 'what is held now: other shares or prices',
        'trades: other costs or payouts') AS reason
FROM (SELECT * FROM api_user_stats WHERE wallet_address IN ({{wallets}})) AS told
LEFT JOIN ours USING (wallet_address)
LEFT JOIN held USING (wallet_address)
LEFT JOIN read USING (wallet_address)
SETTINGS join_use_nulls = 1
"""
_ALL = "SELECT wallet_address FROM api_user_stat_rows"
_SUMS = f"""
SELECT count() AS wallets,
    countIf(isNotNull(difference)) AS compared,
    countIf(abs(difference) <= greatest({NEAR_USD}, {NEAR_SHARE} * abs(official_pnl_usd)))
        AS within_1_usd_or_1_percent,
    countIf(outcome = 'differs') AS differing,
    countIf(outcome = 'prices moved') AS prices_moved,
    countIf(outcome = 'traded since') AS traded_since,
    countIf(outcome = 'not comparable') AS not_comparable,
    round(sum(abs(difference)), 2) AS usd_apart,
    round(sum(abs(difference_trades)), 2) AS usd_apart_in_trades,
    round(sum(abs(difference_fees)), 2) AS usd_apart_in_fees,
    round(sum(abs(difference_rewards)), 2) AS usd_apart_in_rewards,
    round(sum(abs(difference_unrealized)), 2) AS usd_apart_in_unrealized
FROM ({{compared}})
"""
_OTHERS = f"""
SELECT wallet, outcome, round(our_pnl_usd, 2) AS ours, round(official_pnl_usd, 2) AS official,
    round(difference, 2) AS difference, round(difference_trades, 2) AS trades,
    round(difference_fees, 2) AS fees, round(difference_rewards, 2) AS rewards,
    round(difference_unrealized, 2) AS unrealized, reason
FROM ({{compared}})
WHERE outcome != 'equal'
ORDER BY outcome = 'differs' DESC, isNull(difference), abs(difference) DESC, wallet
LIMIT {LISTED}
"""


async def is_computed(store: client.Store) -> bool:
    """Whether profits of wallets and markets stand in the store."""
    return bool(await store.rows("SELECT 1 AS found FROM wallet_market_pnl LIMIT 1"))


async def compare_wallet(store: client.Store, wallet: str) -> dict[str, Any] | None:
    """Both figures of a wallet (40 hex digits) and the difference of each part, in USD, None where
    one side is unknown; None when Polymarket's was not read. The profits must be computed.
    """
    sql = _COMPARED.format(wallets="{wallet:String}")
    rows = await store.rows(sql, parameters={"wallet": wallet})
    return rows[0] if rows else None


async def official_pnl(context: check_result.CheckContext) -> check_result.CheckResult:
    """Each wallet whose history is closed earned what Polymarket says, to a dollar."""
    claim = "a wallet with a closed history has the profit that Polymarket states, to 1 USD"
    (read,) = await context.store.rows(
        "SELECT count() AS wallets, countIf(answer != 'not served') AS served FROM api_user_stats"
    )
    if not read["served"]:
        advice = "the API does not serve /v2/user-stats: Polymarket's own figure is unknown"
        if not read["wallets"]:
            advice = "Polymarket's own figure was not read yet: polybackfill run user-stats"
        return check_result.CheckResult(NAME, claim, "skipped", read, advice=advice)
    if not await is_computed(context.store):
        advice = "no profit is computed yet: polybackfill report categories"
        return check_result.CheckResult(NAME, claim, "skipped", read, advice=advice)
    compared = _COMPARED.format(wallets=_ALL)
    (sums,) = await context.store.rows(_SUMS.format(compared=compared))
    others = await context.store.rows(_OTHERS.format(compared=compared))
    if not sums["compared"]:
        advice = "no wallet has both figures; the reasons are listed"
        return check_result.CheckResult(NAME, claim, "skipped", sums, others, advice)
    sums["share_within"] = sums["within_1_usd_or_1_percent"] / sums["compared"]
    return check_result.pass_or_fail(
        NAME,
        claim,
        holds=sums["differing"] == 0,
        evidence=sums,
        examples=others,
        advice="look at one of them: polybackfill report wallet 0x…; read it again: polybackfill "
        "plan reset --wallet WALLET, polybackfill run",
    )
