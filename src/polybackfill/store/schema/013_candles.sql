-- Candles of the fills in external_trades_raw. A sum that grew with each insert would count a fill
-- twice when a batch whose answer was lost comes again. So an insert only marks the markets of its
-- fills, which may be done any number of times, and `store/candles` makes the candles of marked
-- markets anew from what is stored.
CREATE TABLE IF NOT EXISTS candle_marks {on_cluster}
(
    condition_id String CODEC(ZSTD(1)) COMMENT 'a market with fills that its candles may lack: 64 hex digits, lower case, without 0x'
)
ENGINE = {engine:ReplacingMergeTree}
ORDER BY condition_id
SETTINGS {synced}
COMMENT 'Markets whose candles are to be made anew, empty after a run';

-- All fills of a batch, those that are stored already included: the batch may be one whose fills
-- arrived and whose marks did not.
CREATE MATERIALIZED VIEW IF NOT EXISTS candle_marks_mv {on_cluster} TO candle_marks AS
SELECT DISTINCT condition_id
FROM external_trades_landing;

-- Rows that are put into the table itself: a backup that is put back.
CREATE MATERIALIZED VIEW IF NOT EXISTS candle_marks_raw_mv {on_cluster} TO candle_marks AS
SELECT DISTINCT condition_id
FROM external_trades_raw;

CREATE TABLE IF NOT EXISTS trade_candle_rows {on_cluster}
(
    condition_id String CODEC(ZSTD(1)) COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    token_id     String CODEC(ZSTD(1)) COMMENT 'the token of the outcome: decimal text, empty when unknown',
    interval_s   UInt32 CODEC(ZSTD(1)) COMMENT 'length of the candle: 60, 3600 or 86400 seconds',
    started_at   DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'first second of the candle, UTC',
    open         Float64 CODEC(ZSTD(1)) COMMENT 'price of the first fill, USD per share',
    high         Float64 CODEC(ZSTD(1)) COMMENT 'highest price, USD per share',
    low          Float64 CODEC(ZSTD(1)) COMMENT 'lowest price, USD per share',
    close        Float64 CODEC(ZSTD(1)) COMMENT 'price of the last fill, USD per share',
    shares       Float64 CODEC(ZSTD(1)) COMMENT 'sum of the fills in shares',
    volume       Float64 CODEC(ZSTD(1)) COMMENT 'sum of the fills in USD: shares times price, without fees',
    fills        UInt64 CODEC(ZSTD(1)) COMMENT 'number of fills, of a trade one on each side',
    version      UInt64 CODEC(ZSTD(1)) COMMENT 'number of the making: the higher is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (condition_id, token_id, interval_s, started_at)
SETTINGS {synced}
COMMENT 'Candles as they were made: query trade_candles';

CREATE VIEW IF NOT EXISTS trade_candles {on_cluster}
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
SELECT * EXCEPT version FROM trade_candle_rows FINAL;
