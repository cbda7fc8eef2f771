-- Fills of the public API. A plain SELECT never shows one twice: rows arrive through
-- external_trades_landing, whose view lets in only ids the table does not hold.
-- No partitions: one batch holds the whole history of several wallets, so a partition by month
-- would turn each batch into up to 80 parts.
-- The projection answers "which fills of these wallets are here?": the fills of one wallet lie
-- anywhere in the order by market. It is merged as it is ('ignore'), never rebuilt: that costs twice
-- the insert, and a merge that did remove a duplicate would leave one id too many in it, which is
-- harmless.
CREATE TABLE IF NOT EXISTS external_trades_raw {on_cluster}
(
    source            LowCardinality(String) COMMENT 'who delivered the fill: polymarket_data_api',
    ingested_at       DateTime('UTC') DEFAULT now() CODEC(ZSTD(1)) COMMENT 'second in which the row was stored, UTC',
    external_trade_id UUID CODEC(NONE) COMMENT 'id of the fill: a hash of transaction, wallet, token, side, size and second, and of its number among equal ones',
    wallet_address    String CODEC(ZSTD(1)) COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id      String CODEC(LZ4) COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_question   String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'question of the market, as the API says it',
    side              LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    outcome_index     Int32 DEFAULT -1 CODEC(ZSTD(1)) COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    shares            Float64 CODEC(ZSTD(1)) COMMENT 'size in shares, up to 6 decimals',
    price             Float64 CODEC(ZSTD(1)) COMMENT 'USD per share, from 0 to 1',
    cash_value        Float64 DEFAULT 0 CODEC(ZSTD(1)) COMMENT 'USD: shares times price, without fees',
    fees              Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'fee in USD, 0 for a maker, NULL while no feed has told it',
    trade_timestamp   DateTime('UTC') CODEC(LZ4) COMMENT 'second of the fill, UTC',
    tx_hash           String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    token_id          String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'the token of the outcome: decimal text, empty when unknown',
    outcome           LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome, empty when unknown',
    market_id         String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    usdc_size         Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'USD that changed hands, NULL while the wallet feed has not told it',
    source_route      LowCardinality(String) DEFAULT '' COMMENT 'path of the API that delivered the row',
    fetched_at        DateTime('UTC') DEFAULT now() CODEC(ZSTD(1)) COMMENT 'second in which the API delivered the row, UTC',
    PROJECTION trades_of_wallets
    (
        SELECT wallet_address, trade_timestamp, external_trade_id
        ORDER BY wallet_address, trade_timestamp
    )
)
ENGINE = {engine:ReplacingMergeTree(ingested_at)}
ORDER BY (condition_id, trade_timestamp, external_trade_id)
SETTINGS {synced}, deduplicate_merge_projection_mode = 'ignore', lightweight_mutation_projection_mode = 'rebuild'
COMMENT 'Fills of the public API, one row each';

CREATE TABLE IF NOT EXISTS external_trades_landing {on_cluster}
(
    source            LowCardinality(String) COMMENT 'who delivered the fill: polymarket_data_api',
    external_trade_id UUID COMMENT 'id of the fill: a hash of transaction, wallet, token, side, size and second, and of its number among equal ones',
    wallet_address    String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_question   String DEFAULT '' COMMENT 'question of the market, as the API says it',
    side              LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    outcome_index     Int32 DEFAULT -1 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    shares            Float64 COMMENT 'size in shares, up to 6 decimals',
    price             Float64 COMMENT 'USD per share, from 0 to 1',
    cash_value        Float64 DEFAULT 0 COMMENT 'USD: shares times price, without fees',
    fees              Nullable(Float64) COMMENT 'fee in USD, 0 for a maker, NULL while no feed has told it',
    trade_timestamp   DateTime('UTC') COMMENT 'second of the fill, UTC',
    tx_hash           String DEFAULT '' COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    token_id          String DEFAULT '' COMMENT 'the token of the outcome: decimal text, empty when unknown',
    outcome           LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome, empty when unknown',
    market_id         String DEFAULT '' COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    usdc_size         Nullable(Float64) COMMENT 'USD that changed hands, NULL while the wallet feed has not told it',
    source_route      LowCardinality(String) DEFAULT '' COMMENT 'path of the API that delivered the row',
    fetched_at        DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC'
)
ENGINE = Null
COMMENT 'Stores nothing: new fills go on to external_trades_raw, costs of stored ones to fill_costs';

CREATE TABLE IF NOT EXISTS external_trades_checked {on_cluster}
(
    source            LowCardinality(String) COMMENT 'who delivered the fill: polymarket_data_api',
    external_trade_id UUID COMMENT 'id of the fill: a hash of transaction, wallet, token, side, size and second, and of its number among equal ones',
    wallet_address    String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_question   String DEFAULT '' COMMENT 'question of the market, as the API says it',
    side              LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    outcome_index     Int32 DEFAULT -1 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    shares            Float64 COMMENT 'size in shares, up to 6 decimals',
    price             Float64 COMMENT 'USD per share, from 0 to 1',
    cash_value        Float64 DEFAULT 0 COMMENT 'USD: shares times price, without fees',
    fees              Nullable(Float64) COMMENT 'fee in USD, 0 for a maker, NULL while no feed has told it',
    trade_timestamp   DateTime('UTC') COMMENT 'second of the fill, UTC',
    tx_hash           String DEFAULT '' COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    token_id          String DEFAULT '' COMMENT 'the token of the outcome: decimal text, empty when unknown',
    outcome           LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome, empty when unknown',
    market_id         String DEFAULT '' COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    usdc_size         Nullable(Float64) COMMENT 'USD that changed hands, NULL while the wallet feed has not told it',
    source_route      LowCardinality(String) DEFAULT '' COMMENT 'path of the API that delivered the row',
    fetched_at        DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC',
    is_stored         Bool COMMENT 'external_trades_raw holds the fill already'
)
ENGINE = Null
COMMENT 'Stores nothing: what external_trades_landing takes, compared with external_trades_raw';

-- What a wallet's activity tells of fills that came before from a market's feed: `store/fill_costs`
-- writes it into external_trades_raw, where usdc_size and fees are still NULL, and removes it here.
-- It is read once and whole, so it is kept in no order; a fill told twice is there twice.
CREATE TABLE IF NOT EXISTS fill_costs {on_cluster}
(
    external_trade_id UUID CODEC(NONE) COMMENT 'id of the fill in external_trades_raw',
    usdc_size         Float64 CODEC(ZSTD(1)) COMMENT 'USD that changed hands',
    fees              Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'fee in USD, NULL when it cannot be told from usdc_size'
)
ENGINE = {engine:MergeTree}
ORDER BY tuple()
SETTINGS {synced}
COMMENT 'USD and fees of fills that were stored without them, until they are written into external_trades_raw';

-- Inside the view external_trades_landing is the inserted batch. The tuples only choose granules,
-- of the primary key for rows of a walk over markets and of the projection for all others
-- (indexHint reads no column for them); within the granules the time, four bytes a row, is compared
-- first, and the id read where a time matches. That is why the time is packed by LZ4 alone: with
-- Delta it takes 0.6 bytes a row less, and the comparison a fifth longer.
CREATE MATERIALIZED VIEW IF NOT EXISTS external_trades_landing_mv {on_cluster}
TO external_trades_checked AS
SELECT
    source, external_trade_id, wallet_address, condition_id, market_question, side, outcome_index,
    shares, price, cash_value, fees, trade_timestamp, tx_hash, token_id, outcome, market_id,
    usdc_size, source_route, fetched_at,
    external_trade_id IN (
        SELECT external_trade_id
        FROM external_trades_raw
        PREWHERE trade_timestamp IN (
            SELECT trade_timestamp FROM external_trades_landing WHERE source_route = '/v2/trades')
        WHERE indexHint((condition_id, trade_timestamp) IN (
            SELECT condition_id, trade_timestamp
            FROM external_trades_landing WHERE source_route = '/v2/trades'))
        UNION ALL
        SELECT external_trade_id
        FROM external_trades_raw
        PREWHERE trade_timestamp IN (
            SELECT trade_timestamp FROM external_trades_landing WHERE source_route != '/v2/trades')
        WHERE indexHint((wallet_address, trade_timestamp) IN (
            SELECT wallet_address, trade_timestamp
            FROM external_trades_landing WHERE source_route != '/v2/trades'))
    ) AS is_stored
FROM external_trades_landing;

-- Of a fill that both feeds brought in one batch the row that tells the costs is taken.
CREATE MATERIALIZED VIEW IF NOT EXISTS external_trades_new_mv {on_cluster}
TO external_trades_raw AS
SELECT * EXCEPT is_stored
FROM external_trades_checked
WHERE NOT is_stored
ORDER BY isNull(usdc_size)
LIMIT 1 BY external_trade_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS fill_costs_mv {on_cluster}
TO fill_costs AS
SELECT external_trade_id, assumeNotNull(told.usdc_size) AS usdc_size, fees
FROM external_trades_checked AS told
WHERE is_stored AND isNotNull(told.usdc_size);
