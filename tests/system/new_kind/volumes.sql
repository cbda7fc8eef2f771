-- What each wallet traded in all, as Polymarket counts it.
CREATE TABLE IF NOT EXISTS api_volume_rows {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    trade_count    UInt64 COMMENT 'number of fills',
    volume         Float64 COMMENT 'shares traded',
    volume_usdc    Float64 COMMENT 'USD traded',
    fetched_at     DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC',
    version        UInt64 COMMENT 'of two rows of a key the one with the higher number is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY wallet_address
SETTINGS {synced}
COMMENT 'What wallets traded: query api_volumes';

CREATE VIEW IF NOT EXISTS api_volumes {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    trade_count    UInt64 COMMENT 'number of fills',
    volume         Float64 COMMENT 'shares traded',
    volume_usdc    Float64 COMMENT 'USD traded'
) AS
SELECT * EXCEPT (fetched_at, version) FROM api_volume_rows FINAL;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_volumes_mv {on_cluster} TO ingested_keys AS
SELECT concat('volumes ', wallet_address) AS key FROM api_volume_rows;
