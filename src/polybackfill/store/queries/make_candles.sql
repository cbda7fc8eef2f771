-- All candles of a minute of the marked markets from {first:String} to {last:String}; those of hours
-- and days are told by them (trade_candles).
INSERT INTO trade_candle_rows
SELECT condition_id, token_id, 60 AS interval_s,
    toDateTime(intDiv(toUnixTimestamp(trade_timestamp), 60) * 60, 'UTC') AS started_at,
    argMin(price, {order}) AS open, max(price) AS high, min(price) AS low,
    argMax(price, {order}) AS close,
    sum(fill.shares) AS shares, sum(cash_value) AS volume, count() AS fills,
    {version:UInt64} AS version
FROM external_trades_raw AS fill
WHERE condition_id BETWEEN {first:String} AND {last:String} AND condition_id IN (
    SELECT condition_id FROM candle_marks
    WHERE condition_id BETWEEN {first:String} AND {last:String})
GROUP BY condition_id, token_id, started_at
SETTINGS optimize_on_insert = 0
