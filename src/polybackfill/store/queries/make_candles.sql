-- All candles of the marked markets from {first:String} to {last:String}, of each length from the
-- fills themselves: hours made of minutes would read them back, which takes longer.
INSERT INTO trade_candle_rows
SELECT condition_id, token_id, interval_s,
    toDateTime(intDiv(toUnixTimestamp(trade_timestamp), interval_s) * interval_s, 'UTC')
        AS started_at,
    argMin(price, {order}) AS open, max(price) AS high, min(price) AS low,
    argMax(price, {order}) AS close,
    sum(fill.shares) AS shares, sum(cash_value) AS volume, count() AS fills,
    {version:UInt64} AS version
FROM external_trades_raw AS fill
ARRAY JOIN [60, 3600, 86400] AS interval_s
WHERE condition_id BETWEEN {first:String} AND {last:String} AND condition_id IN (
    SELECT condition_id FROM candle_marks
    WHERE condition_id BETWEEN {first:String} AND {last:String})
GROUP BY condition_id, token_id, interval_s, started_at
