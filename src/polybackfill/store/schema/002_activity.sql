-- What is no plain trade of a token: SPLIT, MERGE, REDEEM, CONVERSION, REWARD, combos.
CREATE TABLE IF NOT EXISTS wallet_activity_raw {on_cluster}
(
    source             LowCardinality(String),
    ingested_at        DateTime('UTC') DEFAULT now() CODEC(ZSTD(1)),
    activity_id        UUID CODEC(NONE),
    wallet_address     String CODEC(ZSTD(1)),
    condition_id       String CODEC(ZSTD(1)),
    token_id           String DEFAULT '' CODEC(ZSTD(1)),
    activity_type      LowCardinality(String),
    side               LowCardinality(String) DEFAULT '',
    outcome_index      Int32 DEFAULT -1 CODEC(ZSTD(1)),
    outcome            LowCardinality(String) DEFAULT '',
    shares             Float64 CODEC(ZSTD(1)),
    price              Float64 CODEC(ZSTD(1)),
    usdc_size          Nullable(Float64) CODEC(ZSTD(1)),
    activity_timestamp DateTime('UTC') CODEC(Delta, LZ4),
    tx_hash            String DEFAULT '' CODEC(ZSTD(1)),
    is_combo           Bool DEFAULT false,
    market_question    String DEFAULT '' CODEC(ZSTD(1)),
    raw                String DEFAULT '' CODEC(ZSTD(3)),
    fetched_at         DateTime('UTC') DEFAULT now() CODEC(ZSTD(1))
)
ENGINE = {engine:ReplacingMergeTree(ingested_at)}
ORDER BY (wallet_address, activity_timestamp, activity_id)
SETTINGS {synced};

CREATE TABLE IF NOT EXISTS wallet_activity_landing {on_cluster}
(
    source             LowCardinality(String),
    activity_id        UUID,
    wallet_address     String,
    condition_id       String,
    token_id           String DEFAULT '',
    activity_type      LowCardinality(String),
    side               LowCardinality(String) DEFAULT '',
    outcome_index      Int32 DEFAULT -1,
    outcome            LowCardinality(String) DEFAULT '',
    shares             Float64,
    price              Float64,
    usdc_size          Nullable(Float64),
    activity_timestamp DateTime('UTC'),
    tx_hash            String DEFAULT '',
    is_combo           Bool DEFAULT false,
    market_question    String DEFAULT '',
    raw                String DEFAULT '',
    fetched_at         DateTime('UTC') DEFAULT now()
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS wallet_activity_landing_mv {on_cluster}
TO wallet_activity_raw AS
SELECT
    source, activity_id, wallet_address, condition_id, token_id, activity_type, side, outcome_index,
    outcome, shares, price, usdc_size, activity_timestamp, tx_hash, is_combo, market_question, raw,
    fetched_at
FROM wallet_activity_landing
WHERE activity_id NOT IN (
    SELECT activity_id
    FROM wallet_activity_raw
    PREWHERE activity_timestamp IN (SELECT activity_timestamp FROM wallet_activity_landing)
    WHERE indexHint((wallet_address, activity_timestamp) IN (
        SELECT wallet_address, activity_timestamp FROM wallet_activity_landing))
)
LIMIT 1 BY activity_id;

-- Rows that could not be used, with the reason and the request that delivered them.
CREATE TABLE IF NOT EXISTS quarantine {on_cluster}
(
    quarantine_id String,
    reason        LowCardinality(String),
    request       String CODEC(ZSTD(1)),
    raw           String CODEC(ZSTD(3)),
    unit          String CODEC(ZSTD(1)),
    rejected_at   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    ingested_at   DateTime('UTC') DEFAULT now() CODEC(ZSTD(1))
)
ENGINE = {engine:ReplacingMergeTree(ingested_at)}
ORDER BY quarantine_id
SETTINGS {synced};

CREATE TABLE IF NOT EXISTS quarantine_landing {on_cluster}
(
    quarantine_id String,
    reason        LowCardinality(String),
    request       String,
    raw           String,
    unit          String,
    rejected_at   DateTime('UTC')
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS quarantine_landing_mv {on_cluster}
TO quarantine AS
SELECT quarantine_id, reason, request, raw, unit, rejected_at
FROM quarantine_landing
WHERE quarantine_id NOT IN (
    SELECT quarantine_id
    FROM quarantine
    WHERE quarantine_id IN (SELECT quarantine_id FROM quarantine_landing)
)
LIMIT 1 BY quarantine_id;
