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
    FROM wallet_market_pnl WHERE wallet_address IN ({wallets}) GROUP BY wallet_address
),
held AS
(
    SELECT wallet_address, sum(ifNull(current_value, 0)) AS worth,
        sum(ifNull(unrealized_pnl, 0)) AS unrealized
    FROM
    (
        SELECT wallet_address, current_value, unrealized_pnl FROM api_positions_staging
        WHERE wallet_address IN ({wallets}) AND status != 'CLOSED'
        UNION ALL
        SELECT wallet_address, 0 AS current_value, 0 AS unrealized_pnl FROM ingested_positions
        WHERE wallet_address IN ({wallets})
    )
    GROUP BY wallet_address
),
read AS
(
    SELECT wallet_address, read_until FROM wallet_backfill_plan
    WHERE wallet_address IN ({wallets})
)
SELECT
    concat('0x', wallet_address) AS wallet,
    multiIf(
        isNull(difference), 'not comparable',
        abs(difference) <= {near_usd}, 'equal',
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
    abs(difference - (ours.value - held.worth)) <= {near_usd} AS have_prices_moved,
    abs(told.trade_pnl - told.fees + told.wallet_income - told.economic_pnl) > {near_usd}
        OR abs(told.realized_pnl + told.unrealized_pnl - told.trade_pnl) > {near_usd}
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
        abs(difference_fees) > {near_usd}, 'fees',
        abs(difference_rewards) > {near_usd}, 'rewards',
        contradicts_itself, 'the parts of Polymarket''s figure do not add up to it',
        abs(difference_unrealized) > {near_usd}, 'what is held now: other shares or prices',
        'trades: other costs or payouts') AS reason
FROM (SELECT * FROM api_user_stats WHERE wallet_address IN ({wallets})) AS told
LEFT JOIN ours USING (wallet_address)
LEFT JOIN held USING (wallet_address)
LEFT JOIN read USING (wallet_address)
SETTINGS join_use_nulls = 1
