-- Views over what is stored. Each is replaced in one step: a reader finds the old one or the new one.
-- Columns are declared, so that a table of the user's with other columns than it is known for stops
-- only the reader of the view that needs them.

-- Sources of pm_trades whose shares, and the USD made of them, are 128 times too large
-- (BACKFILL_INFLATED_SOURCES; `store/inflation` makes this view anew when the setting differs).
CREATE OR REPLACE VIEW inflated_sources {on_cluster}
(source String COMMENT 'a value of data_source in pm_trades') AS
SELECT arrayJoin(CAST(['goldsky'], 'Array(String)')) AS source;

-- Fills of the user's own pipeline, in the columns it is known for, ids in the form of this schema,
-- and shares and USD as they are: what is inflated is divided here, before anything reads it.
CREATE OR REPLACE VIEW pm_fills {on_cluster}
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
    shares            Float64 COMMENT 'size in shares, up to 6 decimals',
    collateral_amount Float64 COMMENT 'USD: shares times price, without fees',
    fee_amount        Nullable(Float64) COMMENT 'fee in USD, NULL when unknown',
    data_source       LowCardinality(String) COMMENT 'who delivered the fill: polymarket_data_api, or a source of pm_trades'
) AS
WITH
    if(toString(pm_trades.data_source) IN (SELECT source FROM inflated_sources), 128, 1) AS divisor,
    replaceRegexpOne(lower(pm_trades.condition_id), '^0x', '') AS bare_condition
SELECT
    toString(fill_id) AS fill_id,
    toDateTime(block_time, 'UTC') AS block_time,
    toUInt64(block_number) AS block_number,
    replaceRegexpOne(lower(tx_hash), '^0x', '') AS tx_hash,
    toString(asset_id_decimal) AS asset_id_decimal,
    if(length(bare_condition) = 62 AND match(bare_condition, '^0[123]'), concat(bare_condition, '00'), bare_condition) AS condition_id,
    toInt32(outcome_index) AS outcome_index,
    toString(outcome_label) AS outcome_label,
    toString(question) AS question,
    replaceRegexpOne(lower(wallet_address), '^0x', '') AS wallet_address,
    replaceRegexpOne(lower(operator_address), '^0x', '') AS operator_address,
    toUInt8(is_proxy_trade) AS is_proxy_trade,
    upper(toString(side)) AS side,
    toFloat64(price) AS price,
    toFloat64(shares) / divisor AS shares,
    toFloat64(collateral_amount) / divisor AS collateral_amount,
    toFloat64(fee_amount) / divisor AS fee_amount,
    toString(data_source) AS data_source
FROM pm_trades;

-- Fills of the public API with what makes two fills the same: wallet, market, and `fill_key`, that is
-- transaction, token, side and size in millionths of a share. A hash, because joins and groups over
-- all fills would else hold 250 bytes for each; wallet and market stand beside it, so that a question
-- about one of them reads nothing else.
CREATE OR REPLACE VIEW external_fills {on_cluster}
(
    source            LowCardinality(String) COMMENT 'who delivered the fill',
    ingested_at       DateTime('UTC') COMMENT 'second in which the row was stored, UTC',
    external_trade_id UUID COMMENT 'id of the fill: a hash of transaction, wallet, token, side, size and second, and of its number among equal ones',
    wallet_address    String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_question   String COMMENT 'question of the market, as the API says it',
    side              LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    outcome_index     Int32 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    shares            Float64 COMMENT 'size in shares, up to 6 decimals',
    price             Float64 COMMENT 'USD per share, from 0 to 1',
    cash_value        Float64 COMMENT 'USD: shares times price, without fees',
    fees              Nullable(Float64) COMMENT 'fee in USD, 0 for a maker, NULL while no feed has told it',
    trade_timestamp   DateTime('UTC') COMMENT 'second of the fill, UTC',
    tx_hash           String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    token_id          String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    outcome           LowCardinality(String) COMMENT 'name of the outcome, empty when unknown',
    market_id         String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    usdc_size         Nullable(Float64) COMMENT 'USD that changed hands as the wallet feed says, NULL from other feeds',
    source_route      LowCardinality(String) COMMENT 'path of the API that delivered the row',
    fetched_at        DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC',
    fill_key          UInt64 COMMENT 'hash of transaction, token, side and size in millionths of a share'
) AS
SELECT *, cityHash64(tx_hash, token_id, side, toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))) AS fill_key
FROM external_trades_raw;

-- How often pm_trades holds a fill.
CREATE OR REPLACE VIEW internal_copies {on_cluster}
(
    wallet_address  String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id    String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    fill_key        UInt64 COMMENT 'hash of transaction, token, side and size in millionths of a share',
    internal_copies UInt64 COMMENT 'how often pm_trades holds the fill'
) AS
SELECT wallet_address, condition_id,
    cityHash64(tx_hash, asset_id_decimal, side, toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))) AS fill_key,
    count() AS internal_copies
FROM pm_fills
GROUP BY wallet_address, condition_id, fill_key;

-- External fills that pm_trades holds too. `copy` numbers equal ones from 1: the copies up to the
-- number `internal_copies` are the overlap.
CREATE OR REPLACE VIEW external_trades_shared {on_cluster}
(
    wallet_address    String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    fill_key          UInt64 COMMENT 'hash of transaction, token, side and size in millionths of a share',
    source            LowCardinality(String) COMMENT 'who delivered the fill',
    ingested_at       DateTime('UTC') COMMENT 'second in which the row was stored, UTC',
    external_trade_id UUID COMMENT 'id of the fill: a hash of transaction, wallet, token, side, size and second, and of its number among equal ones',
    market_question   String COMMENT 'question of the market, as the API says it',
    side              LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    outcome_index     Int32 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    shares            Float64 COMMENT 'size in shares, up to 6 decimals',
    price             Float64 COMMENT 'USD per share, from 0 to 1',
    cash_value        Float64 COMMENT 'USD: shares times price, without fees',
    fees              Nullable(Float64) COMMENT 'fee in USD, 0 for a maker, NULL while no feed has told it',
    trade_timestamp   DateTime('UTC') COMMENT 'second of the fill, UTC',
    tx_hash           String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    token_id          String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    outcome           LowCardinality(String) COMMENT 'name of the outcome, empty when unknown',
    market_id         String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    usdc_size         Nullable(Float64) COMMENT 'USD that changed hands as the wallet feed says, NULL from other feeds',
    source_route      LowCardinality(String) COMMENT 'path of the API that delivered the row',
    fetched_at        DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC',
    internal_copies   UInt64 COMMENT 'how often pm_trades holds the fill',
    copy              UInt64 COMMENT 'number among equal fills, from 1'
) AS
SELECT
    *,
    row_number() OVER (
        PARTITION BY fill_key, wallet_address, condition_id ORDER BY external_trade_id) AS copy
FROM external_fills
INNER JOIN internal_copies USING (wallet_address, condition_id, fill_key);

-- All fills in the columns of pm_trades, each once. Precedence: a fill that pm_trades holds is shown
-- as pm_trades has it; of the external fills those follow that it lacks, copy by copy.
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
FROM external_fills
LEFT ANTI JOIN internal_copies USING (wallet_address, condition_id, fill_key)
UNION ALL
SELECT
    toString(external_trade_id) AS fill_id, trade_timestamp AS block_time,
    toUInt64(0) AS block_number, tx_hash, token_id AS asset_id_decimal, condition_id,
    outcome_index, toString(outcome) AS outcome_label, market_question AS question,
    wallet_address, '' AS operator_address, toUInt8(0) AS is_proxy_trade, toString(side) AS side,
    price, shares, cash_value AS collateral_amount, fees AS fee_amount,
    toString(source) AS data_source
FROM external_trades_shared
WHERE copy > internal_copies;

-- Trades read from the chain by the user's own pipeline.
CREATE OR REPLACE VIEW chain_trades {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    tx_hash        String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    outcome_index  Int32 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    outcome        String COMMENT 'name of the outcome, empty when unknown',
    side           LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the fill',
    shares         Float64 COMMENT 'size in shares, up to 6 decimals',
    usd_value      Float64 COMMENT 'USD: shares times price, without fees',
    timestamp      DateTime('UTC') COMMENT 'second of the fill, UTC',
    question       String COMMENT 'question of the market'
) AS
WITH
    if(toInt32(c.outcome_index) BETWEEN 0 AND 255, toInt32(c.outcome_index), -1) AS place,
    replaceRegexpOne(lower(c.condition_id_norm), '^0x', '') AS bare_condition
SELECT
    replaceRegexpOne(lower(c.wallet_address), '^0x', '') AS wallet_address,
    if(length(bare_condition) = 62 AND match(bare_condition, '^0[123]'), concat(bare_condition, '00'), bare_condition) AS condition_id,
    replaceRegexpOne(lower(c.transaction_hash), '^0x', '') AS tx_hash,
    place AS outcome_index,
    if(place < 0, '', arrayElement(c.outcomes, place + 1)) AS outcome,
    upper(toString(c.side)) AS side,
    toFloat64(c.shares) AS shares,
    toFloat64(c.usd_value) AS usd_value,
    toDateTime(c.timestamp, 'UTC') AS timestamp,
    toString(c.question) AS question
FROM vw_trades_canonical AS c;

-- Transactions that the chain's table holds and another source too. Most people have no such table:
-- asked first, that costs nothing, where a look at every transaction took a third of a report.
CREATE OR REPLACE VIEW chain_shared_transactions {on_cluster}
(
    tx_key UInt64 COMMENT 'hash of the transaction'
) AS
SELECT DISTINCT cityHash64(tx_hash) AS tx_key
FROM (SELECT tx_hash FROM pm_fills UNION ALL SELECT tx_hash FROM external_trades_raw)
WHERE (SELECT count() FROM (SELECT 1 FROM vw_trades_canonical LIMIT 1)) > 0
    AND tx_key IN (SELECT cityHash64(tx_hash) FROM chain_trades);

-- All fills of these transactions, those of the chain's table and those of the other sources. The
-- chain names no token, so fills are the same when wallet, market, transaction, side and size
-- (`fill_key`) are, and the outcome. Where a source does not know that (`known_outcome` -1), it is
-- told by the token's place in the market.
CREATE OR REPLACE VIEW fills_beside_chain {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    tx_hash        String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    side           String COMMENT 'BUY or SELL, as this wallet sees the fill',
    shares         Float64 COMMENT 'size in shares, up to 6 decimals',
    price          Float64 COMMENT 'USD per share, from 0 to 1',
    usd_value      Float64 COMMENT 'USD: shares times price, without fees',
    timestamp      DateTime('UTC') COMMENT 'second of the fill, UTC',
    outcome        String COMMENT 'name of the outcome, empty when unknown',
    question       String COMMENT 'question of the market',
    source         String COMMENT 'who delivered the fill: blockchain, polymarket_data_api, or a source of pm_trades',
    token_id       String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    trade_id       String COMMENT 'id of the fill, empty for fills of the chain',
    fee_amount     Nullable(Float64) COMMENT 'fee in USD, NULL when unknown',
    known_outcome  Int32 COMMENT 'place of the outcome as the source or the token tells it, -1 when unknown',
    is_chain       Bool COMMENT 'the fill is of the chain, else of another source',
    fill_key       UInt64 COMMENT 'hash of transaction, side and size in millionths of a share'
) AS
SELECT
    wallet_address, condition_id, tx_hash, side, shares, price, usd_value, timestamp, outcome,
    question, source, token_id, trade_id, fee_amount, known_outcome, is_chain,
    cityHash64(tx_hash, side, toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))) AS fill_key
FROM
(
    SELECT
        wallet_address, condition_id, tx_hash, toString(side) AS side, shares,
        if(shares > 0, usd_value / shares, 0) AS price, usd_value, timestamp, outcome, question,
        'blockchain' AS source, '' AS token_id, '' AS trade_id,
        CAST(NULL, 'Nullable(Float64)') AS fee_amount, outcome_index AS known_outcome,
        true AS is_chain
    FROM chain_trades
    WHERE (SELECT count() FROM (SELECT 1 FROM vw_trades_canonical LIMIT 1)) > 0
        AND cityHash64(tx_hash) IN (SELECT tx_key FROM chain_shared_transactions)
    UNION ALL
    SELECT
        fills.wallet_address AS wallet_address, fills.condition_id AS condition_id, tx_hash,
        toString(side) AS side, shares, price, collateral_amount AS usd_value,
        block_time AS timestamp, outcome_label AS outcome, question,
        toString(data_source) AS source, asset_id_decimal AS token_id, fill_id AS trade_id,
        fee_amount,
        multiIf(outcome_index BETWEEN 0 AND 255, outcome_index,
            tokens.listed_token != '', tokens.listed_outcome, -1) AS known_outcome,
        false AS is_chain
    FROM
    (
        SELECT * FROM pm_trades_with_external
        WHERE (SELECT count() FROM (SELECT 1 FROM vw_trades_canonical LIMIT 1)) > 0
            AND cityHash64(tx_hash) IN (SELECT tx_key FROM chain_shared_transactions)
    ) AS fills
    LEFT ANY JOIN
    (
        SELECT condition_id, token AS listed_token, toInt32(number - 1) AS listed_outcome
        FROM api_markets_staging ARRAY JOIN token_ids AS token, arrayEnumerate(token_ids) AS number
        WHERE condition_id IN (
            SELECT condition_id FROM external_trades_raw WHERE outcome_index < 0
            UNION DISTINCT
            SELECT condition_id FROM pm_fills WHERE outcome_index NOT BETWEEN 0 AND 255)
    ) AS tokens
        ON tokens.condition_id = fills.condition_id AND tokens.listed_token = fills.asset_id_decimal
)
SETTINGS join_use_nulls = 0;

-- Where a fill's outcome is still unknown, an equal fill that only the other side holds shows it:
-- `outcomes_of_others` are the outcomes that the other side alone has, in the order in which they
-- are given to fills without one.
CREATE OR REPLACE VIEW fills_with_place {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    tx_hash        String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    side           String COMMENT 'BUY or SELL, as this wallet sees the fill',
    shares         Float64 COMMENT 'size in shares, up to 6 decimals',
    price          Float64 COMMENT 'USD per share, from 0 to 1',
    usd_value      Float64 COMMENT 'USD: shares times price, without fees',
    timestamp      DateTime('UTC') COMMENT 'second of the fill, UTC',
    outcome        String COMMENT 'name of the outcome, empty when unknown',
    question       String COMMENT 'question of the market',
    source         String COMMENT 'who delivered the fill: blockchain, polymarket_data_api, or a source of pm_trades',
    token_id       String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    trade_id       String COMMENT 'id of the fill, empty for fills of the chain',
    fee_amount     Nullable(Float64) COMMENT 'fee in USD, NULL when unknown',
    known_outcome  Int32 COMMENT 'place of the outcome as the source or the token tells it, -1 when unknown',
    is_chain       Bool COMMENT 'the fill is of the chain, else of another source',
    fill_key       UInt64 COMMENT 'hash of transaction, side and size in millionths of a share',
    place          Int32 COMMENT 'place of the outcome as either side knows it, -1 when unknown'
) AS
WITH
    arraySort(groupArrayIf(known_outcome, is_chain AND known_outcome >= 0) OVER equal) AS in_chain,
    arraySort(groupArrayIf(known_outcome, NOT is_chain AND known_outcome >= 0) OVER equal) AS beside,
    if(is_chain, beside, in_chain) AS theirs,
    if(is_chain, in_chain, beside) AS ours,
    arrayFilter((x, i) -> i - indexOf(theirs, x) >= countEqual(ours, x),
        theirs, arrayEnumerate(theirs)) AS outcomes_of_others,
    row_number() OVER (
        PARTITION BY wallet_address, condition_id, fill_key, is_chain, known_outcome
        ORDER BY token_id, trade_id, timestamp, usd_value) AS nth
SELECT *,
    if(known_outcome >= 0 OR nth > length(outcomes_of_others), known_outcome,
        outcomes_of_others[nth]) AS place
FROM fills_beside_chain
WINDOW equal AS (PARTITION BY wallet_address, condition_id, fill_key);

-- Numbered from 1 among equal ones, a fill of the chain and one of another source with the same
-- number are one. `told_…`: what the other source knows of it; `is_shown`: not in the chain's table.
CREATE OR REPLACE VIEW fills_paired {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    tx_hash        String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    side           String COMMENT 'BUY or SELL, as this wallet sees the fill',
    shares         Float64 COMMENT 'size in shares, up to 6 decimals',
    price          Float64 COMMENT 'USD per share, from 0 to 1',
    usd_value      Float64 COMMENT 'USD: shares times price, without fees',
    timestamp      DateTime('UTC') COMMENT 'second of the fill, UTC',
    outcome        String COMMENT 'name of the outcome, empty when unknown',
    question       String COMMENT 'question of the market',
    source         String COMMENT 'who delivered the fill: blockchain, polymarket_data_api, or a source of pm_trades',
    token_id       String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    trade_id       String COMMENT 'id of the fill, empty for fills of the chain',
    fee_amount     Nullable(Float64) COMMENT 'fee in USD, NULL when unknown',
    known_outcome  Int32 COMMENT 'place of the outcome as the source or the token tells it, -1 when unknown',
    is_chain       Bool COMMENT 'the fill is of the chain, else of another source',
    fill_key       UInt64 COMMENT 'hash of transaction, side and size in millionths of a share',
    place          Int32 COMMENT 'place of the outcome as either side knows it, -1 when unknown',
    copy           UInt64 COMMENT 'number among equal fills of its side, from 1',
    is_shown       Bool COMMENT 'no other fill stands for it',
    told_token     String COMMENT 'the token as the fill or its counterpart tells it, empty when unknown',
    told_outcome   String COMMENT 'name of the outcome as the fill or its counterpart tells it',
    told_fee       Nullable(Float64) COMMENT 'fee in USD as the fill or its counterpart tells it, NULL when unknown'
) AS
SELECT *,
    is_chain OR NOT max(is_chain) OVER pair AS is_shown,
    max(token_id) OVER pair AS told_token,
    max(outcome) OVER pair AS told_outcome,
    max(fee_amount) OVER pair AS told_fee
FROM
(
    SELECT *, row_number() OVER (
        PARTITION BY wallet_address, condition_id, fill_key, place, is_chain
        ORDER BY token_id, trade_id, timestamp, usd_value) AS copy
    FROM fills_with_place
)
WINDOW pair AS (PARTITION BY wallet_address, condition_id, fill_key, place, copy);

-- Trades and nothing but trades: positions are what trades leave behind, see
-- vw_positions_reconciled. Precedence: the chain, then pm_trades, then the API. A trade of the chain
-- takes what the chain does not tell, its token and fee, from the same fill of another source.
CREATE OR REPLACE VIEW vw_trades_unified {on_cluster}
(
    wallet        String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    market        String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    outcome       String COMMENT 'name of the outcome, empty when unknown',
    shares        Float64 COMMENT 'size in shares',
    price         Float64 COMMENT 'USD per share, from 0 to 1',
    source        String COMMENT 'who delivered the trade: blockchain, polymarket_data_api, or a source of pm_trades',
    side          LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the trade',
    outcome_index Int32 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    token_id      String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    usd_value     Float64 COMMENT 'USD: shares times price, without fees',
    timestamp     DateTime('UTC') COMMENT 'second of the trade, UTC',
    tx_hash       String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    trade_id      String COMMENT 'id of the fill, empty for trades of the chain',
    question      String COMMENT 'question of the market',
    fee_amount    Nullable(Float64) COMMENT 'fee in USD, NULL when unknown'
) AS
SELECT
    wallet_address AS wallet, condition_id AS market, outcome, shares,
    if(shares > 0, usd_value / shares, 0) AS price, 'blockchain' AS source, side, outcome_index,
    '' AS token_id, usd_value, timestamp, tx_hash, '' AS trade_id, question,
    CAST(NULL, 'Nullable(Float64)') AS fee_amount
FROM chain_trades
WHERE cityHash64(tx_hash) NOT IN (SELECT tx_key FROM chain_shared_transactions)
UNION ALL
SELECT
    wallet_address AS wallet, condition_id AS market, outcome_label AS outcome, shares, price,
    data_source AS source, side, outcome_index, asset_id_decimal AS token_id,
    collateral_amount AS usd_value, block_time AS timestamp, tx_hash, fill_id AS trade_id, question,
    fee_amount
FROM pm_trades_with_external
WHERE (SELECT count() FROM (SELECT 1 FROM vw_trades_canonical LIMIT 1)) = 0
    OR cityHash64(tx_hash) NOT IN (SELECT tx_key FROM chain_shared_transactions)
UNION ALL
SELECT
    wallet_address AS wallet, condition_id AS market,
    if(outcome = '', told_outcome, outcome) AS outcome, shares, price, source, side,
    place AS outcome_index, told_token AS token_id, usd_value, timestamp, tx_hash, trade_id,
    question, told_fee AS fee_amount
FROM fills_paired
WHERE is_shown;

-- Fills of two sources side by side, in transactions that both know: those of pm_trades with those of
-- the API, and those of the chain with all others. `trade_key` is a transaction's wallet, market and
-- side, `fill_key` an outcome and size in it.
CREATE OR REPLACE VIEW fills_compared {on_cluster}
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
    FROM fills_compared
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
    FROM fills_compared
    WHERE trade_key IN (SELECT trade_key FROM trade_overlap WHERE is_suspect)
    GROUP BY wallet_address, condition_id, tx_hash, side, internal_source, fill_key
)
GROUP BY wallet_address, condition_id, tx_hash, side, internal_source;
