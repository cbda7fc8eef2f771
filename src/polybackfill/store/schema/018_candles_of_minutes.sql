-- Only candles of minutes are kept. Where fills are rare, which is most markets, each fill would have
-- three candles of its own; an hour or a day is told by its minutes whenever somebody asks.
CREATE OR REPLACE VIEW trade_candles {on_cluster}
(
    condition_id String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    token_id     String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    interval_s   UInt32 COMMENT 'length of the candle: 60, 3600 or 86400 seconds',
    started_at   DateTime('UTC') COMMENT 'first second of the candle, UTC',
    open         Float64 COMMENT 'price of the first fill, USD per share',
    high         Float64 COMMENT 'highest price, USD per share',
    low          Float64 COMMENT 'lowest price, USD per share',
    close        Float64 COMMENT 'price of the last fill, USD per share',
    shares       Float64 COMMENT 'sum of the fills in shares',
    volume       Float64 COMMENT 'sum of the fills in USD: shares times price, without fees',
    fills        UInt64 COMMENT 'number of fills, of a trade one on each side'
) AS
SELECT * EXCEPT version FROM trade_candle_rows FINAL WHERE interval_s = 60
UNION ALL
SELECT
    condition_id, token_id, longer_s AS interval_s,
    toDateTime(intDiv(toUnixTimestamp(minute.started_at), longer_s) * longer_s, 'UTC')
        AS started_at,
    argMin(minute.open, minute.started_at) AS open, max(minute.high) AS high,
    min(minute.low) AS low, argMax(minute.close, minute.started_at) AS close,
    sum(minute.shares) AS shares, sum(minute.volume) AS volume, sum(minute.fills) AS fills
FROM trade_candle_rows AS minute FINAL
ARRAY JOIN [3600, 86400] AS longer_s
WHERE minute.interval_s = 60
GROUP BY condition_id, token_id, longer_s, started_at;
