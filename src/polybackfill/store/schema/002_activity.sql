-- What is no plain trade of a token: SPLIT, MERGE, REDEEM, CONVERSION, REWARD, combos.
CREATE TABLE IF NOT EXISTS wallet_activity_raw {on_cluster}
(
    source             LowCardinality(String) COMMENT 'who delivered the row',
    ingested_at        DateTime('UTC') DEFAULT now() CODEC(ZSTD(1)) COMMENT 'second in which the row was stored, UTC',
    activity_id        UUID CODEC(NONE) COMMENT 'id of the row: a hash of what never changes in it, and of its number among equal ones',
    wallet_address     String CODEC(ZSTD(1)) COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id       String CODEC(ZSTD(1)) COMMENT 'the condition (market or combo): hex digits, lower case, without 0x, empty when there is none',
    token_id           String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'the token of the outcome: decimal text, empty when unknown',
    activity_type      LowCardinality(String) COMMENT 'SPLIT, MERGE, REDEEM, CONVERSION, REWARD or another type of the API, TRADE for combos alone',
    side               LowCardinality(String) DEFAULT '' COMMENT 'BUY or SELL, empty where there is none',
    outcome_index      Int32 DEFAULT -1 CODEC(ZSTD(1)) COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    outcome            LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome, empty when unknown',
    shares             Float64 CODEC(ZSTD(1)) COMMENT 'shares that moved, up to 6 decimals',
    price              Float64 CODEC(ZSTD(1)) COMMENT 'USD per share, 0 where there is none',
    usdc_size          Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'USD that moved, NULL when the API does not tell it',
    activity_timestamp DateTime('UTC') CODEC(Delta, LZ4) COMMENT 'second of the activity, UTC',
    tx_hash            String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    is_combo           Bool DEFAULT false COMMENT 'part of a combo, a bet on several markets at once',
    market_question    String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'question of the market, as the API says it',
    raw                String DEFAULT '' CODEC(ZSTD(3)) COMMENT 'the row as the API delivered it: JSON',
    fetched_at         DateTime('UTC') DEFAULT now() CODEC(ZSTD(1)) COMMENT 'second in which the API delivered the row, UTC'
)
ENGINE = {engine:ReplacingMergeTree(ingested_at)}
ORDER BY (wallet_address, activity_timestamp, activity_id)
SETTINGS {synced}
COMMENT 'What is no plain trade of a token: splits, merges, redemptions, conversions, rewards, combos';

CREATE TABLE IF NOT EXISTS wallet_activity_landing {on_cluster}
(
    source             LowCardinality(String) COMMENT 'who delivered the row',
    activity_id        UUID COMMENT 'id of the row: a hash of what never changes in it, and of its number among equal ones',
    wallet_address     String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id       String COMMENT 'the condition (market or combo): hex digits, lower case, without 0x, empty when there is none',
    token_id           String DEFAULT '' COMMENT 'the token of the outcome: decimal text, empty when unknown',
    activity_type      LowCardinality(String) COMMENT 'SPLIT, MERGE, REDEEM, CONVERSION, REWARD or another type of the API, TRADE for combos alone',
    side               LowCardinality(String) DEFAULT '' COMMENT 'BUY or SELL, empty where there is none',
    outcome_index      Int32 DEFAULT -1 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    outcome            LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome, empty when unknown',
    shares             Float64 COMMENT 'shares that moved, up to 6 decimals',
    price              Float64 COMMENT 'USD per share, 0 where there is none',
    usdc_size          Nullable(Float64) COMMENT 'USD that moved, NULL when the API does not tell it',
    activity_timestamp DateTime('UTC') COMMENT 'second of the activity, UTC',
    tx_hash            String DEFAULT '' COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    is_combo           Bool DEFAULT false COMMENT 'part of a combo, a bet on several markets at once',
    market_question    String DEFAULT '' COMMENT 'question of the market, as the API says it',
    raw                String DEFAULT '' COMMENT 'the row as the API delivered it: JSON',
    fetched_at         DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC'
)
ENGINE = Null
COMMENT 'Stores nothing: new rows go on to wallet_activity_raw';

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
    quarantine_id String COMMENT 'id of the row: a hash of its content, and of its number among equal ones',
    reason        LowCardinality(String) COMMENT 'why the row could not be used',
    request       String CODEC(ZSTD(1)) COMMENT 'path and query of the request that delivered it',
    raw           String CODEC(ZSTD(3)) COMMENT 'the row as the API delivered it: JSON',
    unit          String CODEC(ZSTD(1)) COMMENT 'unit of work that asked for it',
    rejected_at   DateTime('UTC') CODEC(Delta, ZSTD(1)) COMMENT 'second in which it was set aside, UTC',
    ingested_at   DateTime('UTC') DEFAULT now() CODEC(ZSTD(1)) COMMENT 'second in which the row was stored, UTC'
)
ENGINE = {engine:ReplacingMergeTree(ingested_at)}
ORDER BY quarantine_id
SETTINGS {synced}
COMMENT 'Rows that could not be used, with the reason';

CREATE TABLE IF NOT EXISTS quarantine_landing {on_cluster}
(
    quarantine_id String COMMENT 'id of the row: a hash of its content, and of its number among equal ones',
    reason        LowCardinality(String) COMMENT 'why the row could not be used',
    request       String COMMENT 'path and query of the request that delivered it',
    raw           String COMMENT 'the row as the API delivered it: JSON',
    unit          String COMMENT 'unit of work that asked for it',
    rejected_at   DateTime('UTC') COMMENT 'second in which it was set aside, UTC'
)
ENGINE = Null
COMMENT 'Stores nothing: new rows go on to quarantine';

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
