-- Names in the words of the glossary: what landed is ingested, a comparison and a log are nouns.
-- A table keeps its rows, and its views are made anew. Nothing is inserted meanwhile.

DROP VIEW IF EXISTS landed_markets_mv {on_cluster} SYNC;
DROP VIEW IF EXISTS landed_events_mv {on_cluster} SYNC;
DROP VIEW IF EXISTS landed_resolutions_mv {on_cluster} SYNC;
DROP VIEW IF EXISTS landed_user_stats_mv {on_cluster} SYNC;
DROP VIEW IF EXISTS landed_positions_mv {on_cluster} SYNC;

RENAME TABLE IF EXISTS landed_keys TO ingested_keys {on_cluster};
RENAME TABLE IF EXISTS landed_positions TO ingested_positions {on_cluster};
RENAME TABLE IF EXISTS market_id_applies TO market_id_apply_log {on_cluster};

-- The keys of all rows of markets, events, resolutions and user-stats: the list's name, then the table's key.
CREATE TABLE IF NOT EXISTS ingested_keys {on_cluster}
(
    key String CODEC(ZSTD(1)) COMMENT 'market, event, resolution or user-stats, then the key of the row, with spaces between'
)
ENGINE = {engine:ReplacingMergeTree}
ORDER BY key
SETTINGS {synced}
COMMENT 'Keys of all markets, events, resolutions and user-stats stored so far';

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_markets_mv {on_cluster} TO ingested_keys AS
SELECT concat('market ', source, ' ', condition_id, ' ', market_id, ' ', market_slug) AS key
FROM api_market_rows;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_events_mv {on_cluster} TO ingested_keys AS
SELECT concat('event ', event_id) AS key FROM api_event_rows;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_resolutions_mv {on_cluster} TO ingested_keys AS
SELECT concat('resolution ', condition_id) AS key FROM api_resolution_rows;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_user_stats_mv {on_cluster} TO ingested_keys AS
SELECT concat('user-stats ', wallet_address) AS key FROM api_user_stat_rows;

-- How many positions a wallet had at the end of its newest complete reading.
CREATE TABLE IF NOT EXISTS ingested_positions {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    positions      UInt64 COMMENT 'number of positions at the end of the newest complete reading',
    version        UInt64 COMMENT 'number of that reading: the higher is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY wallet_address
SETTINGS {synced}
COMMENT 'How many positions each wallet had when it was last read';

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_positions_mv {on_cluster} TO ingested_positions AS
SELECT ended.wallet_address AS wallet_address, countIf(held.newest >= ended.version) AS positions,
    any(ended.version) AS version
FROM
(
    SELECT wallet_address, max(version) AS version
    FROM api_positions_landing WHERE is_end GROUP BY wallet_address
) AS ended
LEFT JOIN
(
    SELECT wallet_address, condition_id, outcome, asset_id, max(version) AS newest
    FROM
    (
        SELECT wallet_address, condition_id, outcome, asset_id, version
        FROM api_positions_landing WHERE NOT is_end
        UNION ALL
        SELECT wallet_address, condition_id, outcome, asset_id, version
        FROM api_position_rows
        WHERE wallet_address IN (SELECT wallet_address FROM api_positions_landing WHERE is_end)
    )
    GROUP BY wallet_address, condition_id, outcome, asset_id
) AS held ON held.wallet_address = ended.wallet_address
GROUP BY wallet_address;

CREATE TABLE IF NOT EXISTS market_id_apply_log {on_cluster}
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

-- Fills of two sources side by side, in transactions that both know: those of pm_trades with those of
-- the API, and those of the chain with all others. `trade_key` is a transaction's wallet, market and
-- side, `fill_key` an outcome and size in it.
CREATE OR REPLACE VIEW fill_comparison {on_cluster}
(
    wallet_address  String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id    String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    tx_hash         String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    side            String COMMENT 'BUY or SELL, as this wallet sees the fill',
    shares          Float64 COMMENT 'size in shares, up to 6 decimals',
    is_internal     Bool COMMENT 'the fill is of internal_source, else of those it is compared with',
    internal_source String COMMENT 'pm_trades, compared with the public API, or blockchain, compared with all others',
    trade_key       FixedString(16) COMMENT 'hash of wallet, condition, transaction and side',
    fill_key        UInt64 COMMENT 'hash of outcome and size in millionths of a share'
) AS
SELECT wallet_address, condition_id, tx_hash, toString(side) AS side, shares, true AS is_internal,
    'pm_trades' AS internal_source,
    sipHash128(wallet_address, condition_id, tx_hash, side) AS trade_key,
    cityHash64(asset_id_decimal, toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))) AS fill_key
FROM pm_fills
UNION ALL
SELECT wallet_address, condition_id, tx_hash, toString(side) AS side, shares, false AS is_internal,
    'pm_trades' AS internal_source,
    sipHash128(wallet_address, condition_id, tx_hash, side) AS trade_key,
    cityHash64(token_id, toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))) AS fill_key
FROM external_trades_raw
WHERE cityHash64(tx_hash) IN (SELECT cityHash64(tx_hash) FROM pm_fills)
UNION ALL
SELECT wallet_address, condition_id, tx_hash, side, shares, is_chain AS is_internal,
    'blockchain' AS internal_source,
    sipHash128(wallet_address, condition_id, tx_hash, side, 'blockchain') AS trade_key,
    cityHash64(place, fill_key) AS fill_key
FROM fills_with_place;

-- How many fills of a wallet, market and side each source holds in one transaction, and how many of
-- these are the same. `condition_key` is a hash of the market.
CREATE OR REPLACE VIEW trade_overlap {on_cluster}
(
    trade_key      FixedString(16) COMMENT 'hash of wallet, condition, transaction and side',
    condition_key  UInt64 COMMENT 'hash of the condition',
    internal_fills UInt64 COMMENT 'number of fills of pm_trades',
    external_fills UInt64 COMMENT 'number of fills of the public API',
    matched_fills  UInt64 COMMENT 'number of fills that both have',
    is_suspect     UInt8 COMMENT '1: both sources hold fills that the other lacks'
) AS
SELECT
    trade_key, any(condition_key) AS condition_key, sum(internal) AS internal_fills,
    sum(external) AS external_fills, sum(least(internal, external)) AS matched_fills,
    internal_fills > matched_fills AND external_fills > matched_fills AS is_suspect
FROM
(
    SELECT trade_key, any(cityHash64(condition_id)) AS condition_key, countIf(is_internal) AS internal,
        countIf(NOT is_internal) AS external
    FROM fill_comparison
    GROUP BY trade_key, fill_key
)
GROUP BY trade_key;

-- Where a fill may be counted twice all the same: in one transaction both sides hold fills of a
-- wallet, market and side that the other does not know, as when one of them rounds sizes. Fills that
-- only one side holds are no suspects: the other may lack them.
CREATE OR REPLACE VIEW trade_overlap_suspects {on_cluster}
(
    wallet_address  String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id    String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    tx_hash         String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    side            LowCardinality(String) COMMENT 'BUY or SELL',
    internal_source LowCardinality(String) COMMENT 'pm_trades, compared with the public API, or blockchain, compared with all others',
    internal_fills  UInt64 COMMENT 'number of fills of internal_source',
    external_fills  UInt64 COMMENT 'number of fills of the others',
    matched_fills   UInt64 COMMENT 'number of fills that both have',
    internal_shares Float64 COMMENT 'shares of the fills of internal_source',
    external_shares Float64 COMMENT 'shares of the fills of the others'
) AS
SELECT
    wallet_address, condition_id, tx_hash, side, internal_source, sum(internal) AS internal_fills,
    sum(external) AS external_fills, sum(least(internal, external)) AS matched_fills,
    sum(of_internal) AS internal_shares, sum(of_external) AS external_shares
FROM
(
    SELECT wallet_address, condition_id, tx_hash, side, internal_source,
        countIf(is_internal) AS internal,
        countIf(NOT is_internal) AS external, sumIf(shares, is_internal) AS of_internal,
        sumIf(shares, NOT is_internal) AS of_external
    FROM fill_comparison
    WHERE trade_key IN (SELECT trade_key FROM trade_overlap WHERE is_suspect)
    GROUP BY wallet_address, condition_id, tx_hash, side, internal_source, fill_key
)
GROUP BY wallet_address, condition_id, tx_hash, side, internal_source;

DROP VIEW IF EXISTS fills_compared {on_cluster} SYNC;
