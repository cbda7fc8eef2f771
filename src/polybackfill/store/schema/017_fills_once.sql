-- All fills in the columns of pm_trades, each once. Precedence: a fill that pm_trades holds is shown
-- as pm_trades has it; of the external fills those follow that it lacks, copy by copy. Most external
-- fills are of transactions that pm_trades does not know: they are shown as they are, and only the
-- others are compared.
CREATE OR REPLACE VIEW pm_trades_with_external {on_cluster}
(
    fill_id           String COMMENT 'id of the fill: that of pm_trades, or external_trade_id',
    block_time        DateTime('UTC') COMMENT 'second of the fill, UTC',
    block_number      UInt64 COMMENT 'block of the chain, 0 when unknown',
    tx_hash           String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    asset_id_decimal  String COMMENT 'the token of the outcome: decimal text',
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    outcome_index     Int32 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    outcome_label     String COMMENT 'name of the outcome, empty when unknown',
    question          String COMMENT 'question of the market',
    wallet_address    String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    operator_address  String COMMENT 'the operator: 40 hex digits, lower case, without 0x, empty when unknown',
    is_proxy_trade    UInt8 COMMENT '1: made through a proxy wallet',
    side              LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    price             Float64 COMMENT 'USD per share, from 0 to 1',
    shares            Float64 COMMENT 'size in shares',
    collateral_amount Float64 COMMENT 'USD: shares times price, without fees',
    fee_amount        Nullable(Float64) COMMENT 'fee in USD, NULL when unknown',
    data_source       LowCardinality(String) COMMENT 'who delivered the fill: polymarket_data_api, or a source of pm_trades'
) AS
SELECT * FROM pm_fills
UNION ALL
SELECT
    toString(external_trade_id) AS fill_id, trade_timestamp AS block_time,
    toUInt64(0) AS block_number, tx_hash, token_id AS asset_id_decimal, condition_id,
    outcome_index, toString(outcome) AS outcome_label, market_question AS question,
    wallet_address, '' AS operator_address, toUInt8(0) AS is_proxy_trade, toString(side) AS side,
    price, shares, cash_value AS collateral_amount, fees AS fee_amount,
    toString(source) AS data_source
FROM external_trades_raw
WHERE cityHash64(tx_hash) NOT IN (SELECT cityHash64(tx_hash) FROM pm_fills)
UNION ALL
SELECT
    toString(external_trade_id) AS fill_id, trade_timestamp AS block_time,
    toUInt64(0) AS block_number, tx_hash, token_id AS asset_id_decimal, condition_id,
    outcome_index, toString(outcome) AS outcome_label, market_question AS question,
    wallet_address, '' AS operator_address, toUInt8(0) AS is_proxy_trade, toString(side) AS side,
    price, shares, cash_value AS collateral_amount, fees AS fee_amount,
    toString(source) AS data_source
FROM
(
    SELECT *, row_number() OVER (
        PARTITION BY fill_key, wallet_address, condition_id ORDER BY external_trade_id) AS copy
    FROM external_fills
    WHERE cityHash64(tx_hash) IN (SELECT cityHash64(tx_hash) FROM pm_fills)
) AS fills
LEFT ANY JOIN internal_copies USING (wallet_address, condition_id, fill_key)
WHERE copy > internal_copies
SETTINGS join_use_nulls = 0;
