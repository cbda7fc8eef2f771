SELECT concat('0x', wallet_address) AS wallet, fills, bought, sold, economic_pnl_usd, has_pnl
FROM
(
    SELECT wallet_address, count() AS fills, sumIf(cash_value, side = 'BUY') AS bought,
        sumIf(cash_value, side = 'SELL') AS sold
    FROM external_trades_raw WHERE condition_id = {condition:String}
    GROUP BY wallet_address ORDER BY bought + sold DESC, wallet_address LIMIT {most:UInt32}
) AS traded
LEFT JOIN
(
    SELECT wallet_address, toFloat64(sum(economic_pnl_usd)) AS economic_pnl_usd, true AS has_pnl
    FROM wallet_market_pnl WHERE condition_id = {condition:String} GROUP BY wallet_address
) AS earned USING (wallet_address)
ORDER BY bought + sold DESC, wallet
SETTINGS join_use_nulls = 1
