-- The first purchase of each market decides; exits (sales) do nothing, and neither does a market
-- that has paid out already. One pass over the window, then the figures of the wallets in it.
SELECT
    t.condition_id AS condition_id, t.wallet_address AS wallet, t.outcome_index AS outcome_index,
    w.coverage_pct AS coverage_pct, toFloat64(w.realized_pnl_usd) AS realized_pnl_usd,
    w.rank AS rank
FROM
(
    SELECT condition_id, wallet_address, outcome_index, trade_timestamp
    FROM trades_for_pnl
    WHERE side = 'BUY' AND trade_timestamp >= toDateTime({since:UInt32})
        AND trade_timestamp <= toDateTime({until:UInt32})
) AS t
INNER JOIN (SELECT * FROM wallet_pnl WHERE band != 'none') AS w
    ON w.wallet_address = t.wallet_address
WHERE t.condition_id NOT IN (SELECT condition_id FROM market_payouts)
ORDER BY t.trade_timestamp, w.rank, t.condition_id, t.outcome_index
LIMIT 1 BY t.condition_id
