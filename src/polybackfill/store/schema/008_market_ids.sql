-- Which market a condition belongs to, as `market-ids apply` accepted it. One row per condition to a
-- plain SELECT of the view below; join it to tables whose own market ids are not ours to write.
-- `version` is the millisecond of the apply, and later that of its revert.
CREATE TABLE IF NOT EXISTS condition_market_id_rows {on_cluster}
(
    condition_id String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_id    String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    source       LowCardinality(String) COMMENT 'who knew the mapping',
    verified_at  DateTime('UTC') COMMENT 'when the mapping was looked up, UTC',
    version      UInt64 COMMENT 'Unix time in milliseconds of the apply, later of its revert',
    is_deleted   UInt8 DEFAULT 0 COMMENT '1: the mapping was taken back'
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
ORDER BY condition_id
SETTINGS {synced}, index_granularity = 512
COMMENT 'Market ids that were applied: query condition_market_ids';

CREATE VIEW IF NOT EXISTS condition_market_ids {on_cluster}
(
    condition_id String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_id    String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    source       LowCardinality(String) COMMENT 'who knew the mapping',
    verified_at  DateTime('UTC') COMMENT 'when the mapping was looked up, UTC'
) AS
SELECT condition_id, market_id, source, verified_at FROM condition_market_id_rows FINAL;

-- What an apply filled in, written before it fills: enough to take it back. `trade_ids` names the
-- fills of a condition some of whose trades had an id already; where it is empty, all were filled.
CREATE TABLE IF NOT EXISTS market_id_fills {on_cluster}
(
    apply_id     UInt64 COMMENT 'the apply: Unix time in milliseconds at which it began',
    slice        UInt32 COMMENT 'part of the apply, from 0',
    condition_id String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_id    String COMMENT 'id of the market that was filled in: decimal text',
    trades       UInt64 COMMENT 'number of fills that got the id',
    trade_ids    Array(UUID) COMMENT 'the fills that got the id, empty when all of the condition did'
)
ENGINE = {engine:MergeTree}
ORDER BY (apply_id, slice, condition_id)
SETTINGS {synced}
COMMENT 'What each apply of market ids filled in';

CREATE TABLE IF NOT EXISTS market_id_applies {on_cluster}
(
    apply_id UInt64 COMMENT 'the apply: Unix time in milliseconds at which it began',
    action   LowCardinality(String) COMMENT 'apply or revert',
    source   String COMMENT 'where the map came from',
    at       DateTime64(3, 'UTC') COMMENT 'when it was done, UTC, in milliseconds'
)
ENGINE = {engine:MergeTree}
ORDER BY (apply_id, at)
SETTINGS {synced}
COMMENT 'Applies of market ids, and their reverts';
