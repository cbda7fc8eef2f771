-- Which market a condition belongs to, as `market-ids apply` accepted it. One row per condition to a
-- plain SELECT of the view below; join it to tables whose own market ids are not ours to write.
-- `version` is the millisecond of the apply, and later that of its revert.
CREATE TABLE IF NOT EXISTS condition_market_id_rows {on_cluster}
(
    condition_id String,
    market_id    String,
    source       LowCardinality(String),
    verified_at  DateTime('UTC'),
    version      UInt64,
    is_deleted   UInt8 DEFAULT 0
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
ORDER BY condition_id
SETTINGS {synced}, index_granularity = 512;

CREATE VIEW IF NOT EXISTS condition_market_ids {on_cluster} AS
SELECT condition_id, market_id, source, verified_at FROM condition_market_id_rows FINAL;

-- What an apply filled in, written before it fills: enough to take it back. `trade_ids` names the
-- fills of a condition some of whose trades had an id already; where it is empty, all were filled.
CREATE TABLE IF NOT EXISTS market_id_fills {on_cluster}
(
    apply_id     UInt64,
    slice        UInt32,
    condition_id String,
    market_id    String,
    trades       UInt64,
    trade_ids    Array(UUID)
)
ENGINE = {engine:MergeTree}
ORDER BY (apply_id, slice, condition_id)
SETTINGS {synced};

CREATE TABLE IF NOT EXISTS market_id_applies {on_cluster}
(
    apply_id UInt64,
    action   LowCardinality(String),
    source   String,
    at       DateTime64(3, 'UTC')
)
ENGINE = {engine:MergeTree}
ORDER BY (apply_id, at)
SETTINGS {synced};
