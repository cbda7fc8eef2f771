-- Tables of the user's own pipeline, read by plans, views and reports. Where they exist already, as
-- tables or as views, they are used as they are and never altered.
CREATE TABLE IF NOT EXISTS pm_trades {on_cluster}
(
    fill_id           String,
    block_time        DateTime('UTC'),
    block_number      UInt64,
    tx_hash           String,
    asset_id_decimal  String,
    condition_id      String,
    outcome_index     UInt8,
    outcome_label     String,
    question          String,
    wallet_address    String,
    operator_address  String,
    is_proxy_trade    UInt8,
    side              LowCardinality(String),
    price             Float64,
    shares            Float64,
    collateral_amount Float64,
    fee_amount        Float64,
    data_source       LowCardinality(String)
)
ENGINE = {engine:MergeTree}
ORDER BY (condition_id, block_time, fill_id);

CREATE TABLE IF NOT EXISTS trades_raw {on_cluster}
(
    trade_id            String,
    wallet_address      String,
    condition_id        String,
    market_id           String,
    timestamp           DateTime('UTC'),
    side                LowCardinality(String),
    outcome_index       Int16,
    shares              Float64,
    entry_price         Float64,
    usd_value           Float64,
    transaction_hash    String,
    tx_timestamp        DateTime('UTC'),
    realized_pnl_usd    Float64,
    is_resolved         UInt8
)
ENGINE = {engine:MergeTree}
ORDER BY (wallet_address, timestamp, trade_id);

CREATE TABLE IF NOT EXISTS vw_trades_canonical {on_cluster}
(
    wallet_address      String,
    condition_id_norm   String,
    market_id           String,
    timestamp           DateTime('UTC'),
    side                LowCardinality(String),
    outcome_index       Int16,
    shares              Float64,
    usd_value           Float64,
    transaction_hash    String,
    block_number        UInt64,
    canonical_category  LowCardinality(String),
    question            String,
    outcomes            Array(String),
    realized_pnl_usd    Float64,
    unrealized_pnl_usd  Float64,
    is_resolved         UInt8
)
ENGINE = {engine:MergeTree}
ORDER BY (condition_id_norm, timestamp);
