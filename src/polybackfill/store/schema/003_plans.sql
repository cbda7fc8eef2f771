-- One row per wallet with its current status, for a plain SELECT. `read_until`: the newest second up
-- to which the feed was read without a gap. A person may set any status; only a person sets `skip`,
-- which leaves a key out of every run. The settings let a plain UPDATE change the rows.
CREATE TABLE IF NOT EXISTS wallet_backfill_plan {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    trade_count    UInt64 DEFAULT 0 COMMENT 'expected number of trades, 0 when unknown',
    notional       Float64 DEFAULT 0 COMMENT 'expected volume in USD, 0 when unknown',
    priority_rank  UInt32 COMMENT 'order of work, from 1',
    status         Enum8('pending' = 1, 'in_progress' = 2, 'done' = 3, 'error' = 4, 'skip' = 5) DEFAULT 'pending' COMMENT 'pending, in_progress, done or error, and skip, which only a person sets',
    error_message  String DEFAULT '' COMMENT 'what failed last, empty when nothing did',
    last_run_at    Nullable(DateTime('UTC')) COMMENT 'when work on it last ended, UTC, NULL before the first time',
    read_until     Nullable(DateTime('UTC')) COMMENT 'newest second up to which its trades are read without a gap, UTC',
    ingested_at    DateTime('UTC') DEFAULT now() COMMENT 'second in which the row was stored, UTC',
    updated_at     DateTime('UTC') DEFAULT now() COMMENT 'when the program last changed the row, UTC',
    attempts       UInt32 DEFAULT 0 COMMENT 'how often the present work was begun',
    source         LowCardinality(String) DEFAULT '' COMMENT 'where the key came from: a list, or found in and a table name'
)
ENGINE = {engine:MergeTree}
ORDER BY (priority_rank, wallet_address)
SETTINGS {synced}, enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'One row per wallet with its current status';

CREATE TABLE IF NOT EXISTS condition_backfill_plan {on_cluster}
(
    condition_id  String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    trade_count   UInt64 DEFAULT 0 COMMENT 'expected number of trades, 0 when unknown',
    notional      Float64 DEFAULT 0 COMMENT 'expected volume in USD, 0 when unknown',
    priority_rank UInt32 COMMENT 'order of work, from 1',
    status        Enum8('pending' = 1, 'in_progress' = 2, 'done' = 3, 'error' = 4, 'skip' = 5) DEFAULT 'pending' COMMENT 'pending, in_progress, done or error, and skip, which only a person sets',
    error_message String DEFAULT '' COMMENT 'what failed last, empty when nothing did',
    last_run_at   Nullable(DateTime('UTC')) COMMENT 'when work on it last ended, UTC, NULL before the first time',
    read_until    Nullable(DateTime('UTC')) COMMENT 'newest second up to which its trades are read without a gap, UTC',
    ingested_at   DateTime('UTC') DEFAULT now() COMMENT 'second in which the row was stored, UTC',
    updated_at    DateTime('UTC') DEFAULT now() COMMENT 'when the program last changed the row, UTC',
    attempts      UInt32 DEFAULT 0 COMMENT 'how often the present work was begun',
    source        LowCardinality(String) DEFAULT '' COMMENT 'where the key came from: a list, or found in and a table name'
)
ENGINE = {engine:MergeTree}
ORDER BY (priority_rank, condition_id)
SETTINGS {synced}, enable_block_number_column = 1, enable_block_offset_column = 1
COMMENT 'One row per condition with its current status';

-- Each run that ends cleanly leaves a token here and in its checkpoint: where the store lacks it, the
-- store is older than the checkpoint.
CREATE TABLE IF NOT EXISTS clean_stops {on_cluster}
(
    run_name   String COMMENT 'name of the run',
    token      UUID COMMENT 'random token that the checkpoint of the run holds too',
    stopped_at DateTime('UTC') DEFAULT now() COMMENT 'when the run ended, UTC'
)
ENGINE = {engine:MergeTree}
ORDER BY (run_name, stopped_at)
SETTINGS {synced}
COMMENT 'Runs that ended cleanly';

-- The store's name, by which a checkpoint knows it: ClickHouse gives it to the table above when that
-- is made, once, however many programs begin at the same time.
CREATE VIEW IF NOT EXISTS backfill_meta {on_cluster}
(
    store_id UUID COMMENT 'the store''s name, by which a checkpoint knows it'
) AS
SELECT uuid AS store_id FROM system.tables
WHERE database = currentDatabase() AND name = 'clean_stops';
