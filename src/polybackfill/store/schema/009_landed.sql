-- What landed, noted beside it, so that a row that is lost later is missed (`validate`, check lists).
-- Receipts cannot tell: lists show a row more than once while they are read, and of a position only
-- the newest sight is kept.

-- The keys of all rows of markets, events, resolutions and user-stats: the list's name, then the table's key.
CREATE TABLE IF NOT EXISTS landed_keys {on_cluster}
(
    key String CODEC(ZSTD(1)) COMMENT 'market, event, resolution or user-stats, then the key of the row, with spaces between'
)
ENGINE = {engine:ReplacingMergeTree}
ORDER BY key
SETTINGS {synced}
COMMENT 'Keys of all markets, events, resolutions and user-stats stored so far';

CREATE MATERIALIZED VIEW IF NOT EXISTS landed_markets_mv {on_cluster} TO landed_keys AS
SELECT concat('market ', source, ' ', condition_id, ' ', market_id, ' ', market_slug) AS key
FROM api_market_rows;

CREATE MATERIALIZED VIEW IF NOT EXISTS landed_events_mv {on_cluster} TO landed_keys AS
SELECT concat('event ', event_id) AS key FROM api_event_rows;

CREATE MATERIALIZED VIEW IF NOT EXISTS landed_resolutions_mv {on_cluster} TO landed_keys AS
SELECT concat('resolution ', condition_id) AS key FROM api_resolution_rows;

CREATE MATERIALIZED VIEW IF NOT EXISTS landed_user_stats_mv {on_cluster} TO landed_keys AS
SELECT concat('user-stats ', wallet_address) AS key FROM api_user_stat_rows;

-- How many positions a wallet had at the end of its newest complete reading.
CREATE TABLE IF NOT EXISTS landed_positions {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    positions      UInt64 COMMENT 'number of positions at the end of the newest complete reading',
    version        UInt64 COMMENT 'number of that reading: the higher is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY wallet_address
SETTINGS {synced}
COMMENT 'How many positions each wallet had when it was last read';

CREATE MATERIALIZED VIEW IF NOT EXISTS landed_positions_mv {on_cluster} TO landed_positions AS
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
