-- One row per wallet with its current status, for a plain SELECT. `read_until`: the newest second up
-- to which the feed was read without a gap. A person may set any status; only a person sets `skip`,
-- which leaves a key out of every run. The settings let a plain UPDATE change the rows.
CREATE TABLE IF NOT EXISTS wallet_backfill_plan {on_cluster}
(
    wallet_address String,
    trade_count    UInt64 DEFAULT 0,
    notional       Float64 DEFAULT 0,
    priority_rank  UInt32,
    status         Enum8('pending' = 1, 'in_progress' = 2, 'done' = 3, 'error' = 4, 'skip' = 5) DEFAULT 'pending',
    error_message  String DEFAULT '',
    last_run_at    Nullable(DateTime('UTC')),
    read_until     Nullable(DateTime('UTC')),
    ingested_at    DateTime('UTC') DEFAULT now(),
    updated_at     DateTime('UTC') DEFAULT now(),
    attempts       UInt32 DEFAULT 0,
    source         LowCardinality(String) DEFAULT ''
)
ENGINE = {engine:MergeTree}
ORDER BY (priority_rank, wallet_address)
SETTINGS {synced}, enable_block_number_column = 1, enable_block_offset_column = 1;

CREATE TABLE IF NOT EXISTS condition_backfill_plan {on_cluster}
(
    condition_id  String,
    trade_count   UInt64 DEFAULT 0,
    notional      Float64 DEFAULT 0,
    priority_rank UInt32,
    status        Enum8('pending' = 1, 'in_progress' = 2, 'done' = 3, 'error' = 4, 'skip' = 5) DEFAULT 'pending',
    error_message String DEFAULT '',
    last_run_at   Nullable(DateTime('UTC')),
    read_until    Nullable(DateTime('UTC')),
    ingested_at   DateTime('UTC') DEFAULT now(),
    updated_at    DateTime('UTC') DEFAULT now(),
    attempts      UInt32 DEFAULT 0,
    source        LowCardinality(String) DEFAULT ''
)
ENGINE = {engine:MergeTree}
ORDER BY (priority_rank, condition_id)
SETTINGS {synced}, enable_block_number_column = 1, enable_block_offset_column = 1;

-- Each run that ends cleanly leaves a token here and in its checkpoint: where the store lacks it, the
-- store is older than the checkpoint.
CREATE TABLE IF NOT EXISTS clean_stops {on_cluster}
(
    run_name   String,
    token      UUID,
    stopped_at DateTime('UTC') DEFAULT now()
)
ENGINE = {engine:MergeTree}
ORDER BY (run_name, stopped_at)
SETTINGS {synced};

-- The store's name, by which a checkpoint knows it: ClickHouse gives it to the table above when that
-- is made, once, however many programs begin at the same time.
CREATE VIEW IF NOT EXISTS backfill_meta {on_cluster} AS
SELECT uuid AS store_id FROM system.tables
WHERE database = currentDatabase() AND name = 'clean_stops';
