-- As `make_candles`, but the first and the last fill are found by second and id as they stand.
SELECT condition_id, token_id, interval_s,
    toDateTime(intDiv(toUnixTimestamp(trade_timestamp), interval_s) * interval_s, 'UTC')
        AS started_at,
    argMin(price, (trade_timestamp, toUInt128(external_trade_id))) AS open, max(price) AS high,
    min(price) AS low, argMax(price, (trade_timestamp, toUInt128(external_trade_id))) AS close,
    sum(fill.shares) AS shares, sum(cash_value) AS volume, count() AS fills
FROM external_trades_raw AS fill
ARRAY JOIN [60, 3600, 86400] AS interval_s
WHERE {chosen}
GROUP BY condition_id, token_id, interval_s, started_at
