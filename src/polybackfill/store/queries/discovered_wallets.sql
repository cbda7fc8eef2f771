INSERT INTO wallet_backfill_plan (wallet_address, trade_count, notional, priority_rank, source)
SELECT wallet_address, trades, notional,
    (SELECT max(priority_rank) FROM wallet_backfill_plan)
        + row_number() OVER (ORDER BY notional DESC, wallet_address),
    'found in external_trades_raw'
FROM
(
    SELECT wallet_address, count() AS trades,
        sumIf(cash_value, abs(cash_value) < {limit}) AS notional
    FROM external_trades_raw
    WHERE wallet_address NOT IN (SELECT wallet_address FROM wallet_backfill_plan)
        AND wallet_address NOT IN {contracts:Array(String)}
    GROUP BY wallet_address
)
WHERE {fence}
