WITH most AS
(
    SELECT wallet_address, count() AS fills, sumIf(cash_value, side = 'BUY') AS bought,
        sumIf(cash_value, side = 'SELL') AS sold
    FROM external_trades_raw WHERE condition_id = {condition:String}
    GROUP BY wallet_address ORDER BY bought + sold DESC, wallet_address LIMIT {most:UInt32}
)
SELECT concat('0x', wallet_address) AS wallet, fills, bought, sold, economic_pnl_usd
FROM most
LEFT JOIN
(
    SELECT wallet_address,
        if(min(is_exact), toFloat64(sum(economic_pnl_usd)), NULL) AS economic_pnl_usd
    FROM wallet_market_pnl
    WHERE condition_id = {condition:String} AND wallet_address IN (SELECT wallet_address FROM most)
    GROUP BY wallet_address
) AS earned USING (wallet_address)
ORDER BY bought + sold DESC, wallet
SETTINGS join_use_nulls = 1
