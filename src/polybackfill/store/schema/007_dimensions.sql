-- What a market, an event and a condition is: built whole by `dims build` and put in place of what
-- was there before in one exchange, so a plain SELECT shows one row per key at every moment.
CREATE TABLE IF NOT EXISTS markets_dim {on_cluster}
(
    condition_id     String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_id        String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    event_id         String COMMENT 'id of the event in Gamma: decimal text, empty when unknown',
    event_slug       String COMMENT 'name of the event in its URL',
    market_slug      String COMMENT 'name of the market in its URL',
    question         String CODEC(ZSTD(1)) COMMENT 'question of the market',
    outcomes         Array(String) CODEC(ZSTD(1)) COMMENT 'names of the outcomes, in the order of the market',
    category         LowCardinality(String) COMMENT 'category by the tags of market and event',
    tags             Array(String) CODEC(ZSTD(1)) COMMENT 'tags of the market and its event, sorted',
    resolved_outcome Nullable(String) COMMENT 'YES or NO, whichever paid more, NULL for a tie, while open, and unless there are two outcomes',
    payout_yes       Nullable(Float64) COMMENT 'USD that a share of outcome 0 paid, NULL unless there are two outcomes and a result',
    payout_no        Nullable(Float64) COMMENT 'USD that a share of outcome 1 paid, NULL unless there are two outcomes and a result',
    payouts          Array(Float64) COMMENT 'USD that a share of each outcome paid, empty while unknown',
    resolved_at      Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was resolved, UTC, NULL when unknown',
    start_date       Nullable(DateTime64(0, 'UTC')) COMMENT 'begin, as the API says it, UTC',
    end_date         Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    ingested_at      DateTime('UTC') DEFAULT now() COMMENT 'second in which the row was stored, UTC'
)
ENGINE = {engine:MergeTree}
ORDER BY condition_id
SETTINGS {synced}
COMMENT 'One row per condition, made by dims build';

CREATE TABLE IF NOT EXISTS events_dim {on_cluster}
(
    event_id           String COMMENT 'id of the event in Gamma: decimal text',
    event_slug         String COMMENT 'name of the event in its URL',
    title              String CODEC(ZSTD(1)) COMMENT 'title of the event',
    category           LowCardinality(String) COMMENT 'category by the tags',
    tags               Array(String) CODEC(ZSTD(1)) COMMENT 'tags of the event',
    status             Nullable(String) COMMENT 'active, closed or inactive',
    ends_at            Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    ingested_at        DateTime('UTC') DEFAULT now() COMMENT 'second in which the row was stored, UTC',
    canonical_category LowCardinality(String) ALIAS category COMMENT 'the same as category',
    raw_tags           Array(String) ALIAS tags COMMENT 'the same as tags'
)
ENGINE = {engine:MergeTree}
ORDER BY event_id
SETTINGS {synced}
COMMENT 'One row per event, made by dims build';

CREATE TABLE IF NOT EXISTS condition_market_map {on_cluster}
(
    condition_id       String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_id          String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    event_id           String COMMENT 'id of the event in Gamma: decimal text, empty when unknown',
    canonical_category LowCardinality(String) COMMENT 'category by the tags of market and event',
    raw_tags           Array(String) CODEC(ZSTD(1)) COMMENT 'tags of the market and its event, sorted',
    ingested_at        DateTime('UTC') DEFAULT now() COMMENT 'second in which the row was stored, UTC',
    INDEX by_market market_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_event event_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:MergeTree}
ORDER BY condition_id
SETTINGS {synced}
COMMENT 'Market and event of each condition, made by dims build';

-- The trades that profit and loss is made of: this view alone says which. `usd` is shares times
-- price, without fees.
CREATE VIEW IF NOT EXISTS trades_for_pnl {on_cluster}
(
    source          String COMMENT 'who delivered the trade: blockchain, polymarket_data_api, or a source of pm_trades',
    wallet_address  String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id    String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    outcome_index   Int32 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    token_id        String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    side            LowCardinality(String) COMMENT 'BUY or SELL, as this wallet sees the trade',
    shares          Float64 COMMENT 'size in shares, up to 6 decimals',
    usd             Float64 COMMENT 'USD: shares times price, without fees',
    fees            Nullable(Float64) COMMENT 'fee in USD, NULL when unknown',
    trade_timestamp DateTime('UTC') COMMENT 'second of the trade, UTC'
) AS
SELECT
    source, wallet AS wallet_address, market AS condition_id, outcome_index, token_id, side, shares,
    usd_value AS usd, fee_amount AS fees, timestamp AS trade_timestamp
FROM vw_trades_unified;

-- Hold to resolution, resolved markets only; `num_markets` counts the others too, so that the share
-- that is covered can stand beside every figure. Replaced whole by `report categories`.
CREATE TABLE IF NOT EXISTS wallet_category_pnl {on_cluster}
(
    wallet_address          String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    category                LowCardinality(String) COMMENT 'category of the markets',
    realized_pnl_usd        Decimal(38, 6) COMMENT 'profit in USD over resolved markets, held to resolution, without fees',
    fees_usd                Nullable(Decimal(38, 6)) COMMENT 'fees in USD on resolved markets as far as they are known, NULL when none is',
    num_fills               UInt64 COMMENT 'fills in resolved markets',
    num_fills_with_fee      UInt64 COMMENT 'fills in resolved markets whose fee is known',
    total_position_size_usd Decimal(38, 6) COMMENT 'USD paid for shares of resolved markets',
    num_markets             UInt64 COMMENT 'markets traded, resolved or not',
    num_resolved_markets    UInt64 COMMENT 'resolved markets traded',
    num_winning_markets     UInt64 COMMENT 'resolved markets with a profit',
    num_losing_markets      UInt64 COMMENT 'resolved markets with a loss',
    yes_count               UInt64 COMMENT 'resolved markets in which the wallet leant to outcome 0',
    no_count                UInt64 COMMENT 'resolved markets in which the wallet leant to outcome 1',
    dated_markets           UInt64 COMMENT 'resolved markets whose begin and end are known',
    early_entries           UInt64 COMMENT 'dated markets entered in the first quarter of their life',
    late_entries            UInt64 COMMENT 'dated markets entered in the last quarter of their life',
    computed_at             DateTime('UTC') DEFAULT now() COMMENT 'when the row was computed, UTC'
)
ENGINE = {engine:MergeTree}
ORDER BY (wallet_address, category)
SETTINGS {synced}
COMMENT 'Profit and loss per wallet and category, made by report categories';

-- One row per wallet: the sum of its categories. `rank` by profit, from 1, among the wallets whose
-- figure may be shown (band not 'none'); 0 for the others.
CREATE VIEW IF NOT EXISTS wallet_pnl {on_cluster}
(
    wallet_address       String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    realized_pnl_usd     Decimal(38, 6) COMMENT 'profit in USD over resolved markets, held to resolution, without fees',
    coverage_pct         Float64 COMMENT 'percent of the markets traded that are resolved',
    band                 String COMMENT 'how far the figure may be trusted: high, medium, low or none, by the coverage',
    fees_usd             Nullable(Decimal(38, 6)) COMMENT 'fees in USD on resolved markets as far as they are known, NULL when none is',
    fees_known_pct       Nullable(Float64) COMMENT 'percent of the fills in resolved markets whose fee is known, NULL without fills',
    num_fills            UInt64 COMMENT 'fills in resolved markets',
    num_fills_with_fee   UInt64 COMMENT 'fills in resolved markets whose fee is known',
    num_markets          UInt64 COMMENT 'markets traded, resolved or not',
    num_resolved_markets UInt64 COMMENT 'resolved markets traded',
    rank                 UInt64 COMMENT 'place by profit, from 1, among wallets whose band is not none, 0 for the others'
) AS
SELECT
    *,
    if(band = 'none', 0, row_number() OVER (
        PARTITION BY band = 'none' ORDER BY realized_pnl_usd DESC, wallet_address)) AS rank
FROM
(
    SELECT
        wallet_address,
        sum(c.realized_pnl_usd) AS realized_pnl_usd,
        100 * sum(c.num_resolved_markets) / sum(c.num_markets) AS coverage_pct,
        multiIf(coverage_pct >= 10, 'high', coverage_pct >= 5, 'medium', coverage_pct >= 2, 'low',
            'none') AS band,
        if(num_fills > 0 AND num_fills_with_fee = 0, NULL, ifNull(sum(c.fees_usd), 0)) AS fees_usd,
        if(num_fills > 0, 100 * num_fills_with_fee / num_fills, NULL) AS fees_known_pct,
        sum(c.num_fills) AS num_fills,
        sum(c.num_fills_with_fee) AS num_fills_with_fee,
        sum(c.num_markets) AS num_markets,
        sum(c.num_resolved_markets) AS num_resolved_markets
    FROM wallet_category_pnl AS c
    GROUP BY wallet_address
);
