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

-- What each wallet did in each market, what it holds, and both profits. One row more, without a
-- condition, has what belongs to no market: rewards, rebates, yield, combos. A figure that is not
-- known is NULL, and `inexact_reasons` says why:
--   unknown fees          no feed told the fee of a fill
--   unread history        the plan does not say that the whole history of the wallet was read
--   transfer              more shares left than came
--   position differs      the API lists other shares than the history leaves
--   unmatched conversion  it may have touched this market
--   unknown outcome       no list says which outcome a token is
--   unknown amount        the API does not tell the USD of a redemption
--   unknown price         no list and no position tells what a held share is worth
--   disputed result       sources contradict each other over the result of what is held
--   migration, combos, unknown activity  rows that no figure counts
-- Replaced whole by `report categories`, as all tables of profit.
CREATE TABLE IF NOT EXISTS wallet_market_pnl {on_cluster}
(
    wallet_address   String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id     String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x, empty for what belongs to no market',
    category         LowCardinality(String) COMMENT 'category of the market',
    is_resolved      Bool COMMENT 'the market has paid out',
    num_fills        UInt64 COMMENT 'number of fills',
    num_fills_with_fee UInt64 COMMENT 'number of fills whose fee is known',
    bought_shares    Float64 COMMENT 'shares bought',
    bought_usd       Decimal(38, 6) COMMENT 'USD paid for them: shares times price, before fees',
    sold_shares      Float64 COMMENT 'shares sold',
    sold_usd         Decimal(38, 6) COMMENT 'USD received for them: shares times price, before fees',
    fees_usd         Nullable(Decimal(38, 6)) COMMENT 'fees in USD as far as they are known, NULL when none is',
    split_usd        Decimal(38, 6) COMMENT 'USD paid for shares of every outcome',
    merged_usd       Decimal(38, 6) COMMENT 'USD received for shares of every outcome',
    redeemed_usd     Decimal(38, 6) COMMENT 'USD received for shares of the resolved market',
    converted_shares Float64 COMMENT 'shares of No given up for Yes of the other markets',
    converted_usd    Decimal(38, 6) COMMENT 'USD that conversions of several No paid, at the first of their markets',
    reward_usd       Decimal(38, 6) COMMENT 'rewards in USD, also for referrals',
    rebate_usd       Decimal(38, 6) COMMENT 'rebates in USD',
    yield_usd        Decimal(38, 6) COMMENT 'yield in USD',
    shares_held      Array(Float64) COMMENT 'shares held of each outcome, by outcome index',
    prices           Array(Nullable(Float64)) COMMENT 'USD a share of each outcome: its payout, else its current price, NULL when unknown',
    value_usd        Nullable(Decimal(38, 6)) COMMENT 'USD that the shares held are worth, NULL when a price or the number is unknown',
    economic_pnl_usd Nullable(Decimal(38, 6)) COMMENT 'economic profit in USD: all cash in and out, after fees, and what is held, NULL when inexact',
    held_to_resolution_pnl_usd Nullable(Decimal(38, 6)) COMMENT 'profit in USD held to resolution, before fees, NULL unless resolved and traded',
    is_exact         Bool COMMENT 'everything is known that the economic profit is made of',
    inexact_reasons  Array(LowCardinality(String)) COMMENT 'why the economic profit is not known, empty when it is',
    side             LowCardinality(String) COMMENT 'YES or NO, the outcome of which trades leave or bought more, empty for neither',
    entry_share      Nullable(Float64) COMMENT 'when it was first traded as a share of the time from start to end, NULL when unknown',
    computed_at      DateTime('UTC') DEFAULT now() COMMENT 'when the row was computed, UTC'
)
ENGINE = {engine:MergeTree}
ORDER BY (wallet_address, condition_id)
SETTINGS {synced}
COMMENT 'What each wallet did and earned in each market, made by report categories';

-- The sums of wallet_market_pnl. What is held to resolution counts resolved markets only;
-- `num_markets` and `bought_usd` count the others too, so that the share that is covered can stand
-- beside every figure.
CREATE TABLE IF NOT EXISTS wallet_category_pnl {on_cluster}
(
    wallet_address          String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    category                LowCardinality(String) COMMENT 'category of the markets',
    realized_pnl_usd        Decimal(38, 6) COMMENT 'profit in USD over resolved markets, held to resolution, before fees',
    held_to_resolution_pnl_usd Nullable(Decimal(38, 6)) COMMENT 'the same, NULL without a resolved market',
    economic_pnl_usd        Nullable(Decimal(38, 6)) COMMENT 'economic profit in USD: all cash in and out, after fees, and what is held, NULL when inexact',
    is_exact                Bool COMMENT 'everything is known that the economic profit is made of',
    inexact_reasons         Array(LowCardinality(String)) COMMENT 'why the economic profit is not known, empty when it is',
    fees_usd                Nullable(Decimal(38, 6)) COMMENT 'fees in USD on resolved markets as far as they are known, NULL when none is',
    num_fills               UInt64 COMMENT 'fills in resolved markets',
    num_fills_with_fee      UInt64 COMMENT 'fills in resolved markets whose fee is known',
    all_fees_usd            Nullable(Decimal(38, 6)) COMMENT 'fees in USD on all markets as far as they are known, NULL when none is',
    num_all_fills           UInt64 COMMENT 'fills in all markets',
    num_all_fills_with_fee  UInt64 COMMENT 'fills in all markets whose fee is known',
    total_position_size_usd Decimal(38, 6) COMMENT 'USD paid for shares of resolved markets',
    bought_usd              Decimal(38, 6) COMMENT 'USD paid for shares of all markets',
    value_usd               Nullable(Decimal(38, 6)) COMMENT 'USD that the shares held are worth, NULL when a price or the number is unknown',
    num_markets             UInt64 COMMENT 'markets traded, resolved or not',
    num_resolved_markets    UInt64 COMMENT 'resolved markets traded',
    coverage_money_pct      Nullable(Float64) COMMENT 'percent of bought_usd paid in resolved markets, NULL when nothing was bought',
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

-- One row per wallet: the sum of its categories. `rank` by profit held to resolution, from 1, among
-- the wallets whose figure may be shown (band not 'none'); `economic_rank` by economic profit, among
-- those where it is known; 0 for the others.
CREATE VIEW IF NOT EXISTS wallet_pnl {on_cluster}
(
    wallet_address       String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    realized_pnl_usd     Decimal(38, 6) COMMENT 'profit in USD over resolved markets, held to resolution, before fees',
    held_to_resolution_pnl_usd Nullable(Decimal(38, 6)) COMMENT 'the same, NULL without a resolved market',
    economic_pnl_usd     Nullable(Decimal(38, 6)) COMMENT 'economic profit in USD: all cash in and out, after fees, and what is held, NULL when inexact',
    is_exact             Bool COMMENT 'everything is known that the economic profit is made of',
    inexact_reasons      Array(LowCardinality(String)) COMMENT 'why the economic profit is not known, empty when it is',
    coverage_pct         Nullable(Float64) COMMENT 'percent of the markets traded that are resolved, NULL without one',
    coverage_money_pct   Nullable(Float64) COMMENT 'percent of bought_usd paid in resolved markets, NULL when nothing was bought',
    band                 String COMMENT 'how far realized_pnl_usd may be trusted: high, medium, low or none, by coverage_pct',
    fees_usd             Nullable(Decimal(38, 6)) COMMENT 'fees in USD on resolved markets as far as they are known, NULL when none is',
    fees_known_pct       Nullable(Float64) COMMENT 'percent of the fills in resolved markets whose fee is known, NULL without fills',
    all_fees_usd         Nullable(Decimal(38, 6)) COMMENT 'fees in USD on all markets as far as they are known, NULL when none is',
    bought_usd           Decimal(38, 6) COMMENT 'USD paid for shares of all markets',
    value_usd            Nullable(Decimal(38, 6)) COMMENT 'USD that the shares held are worth, NULL when a price or the number is unknown',
    num_fills            UInt64 COMMENT 'fills in resolved markets',
    num_fills_with_fee   UInt64 COMMENT 'fills in resolved markets whose fee is known',
    num_markets          UInt64 COMMENT 'markets traded, resolved or not',
    num_resolved_markets UInt64 COMMENT 'resolved markets traded',
    rank                 UInt64 COMMENT 'place by realized_pnl_usd, from 1, among wallets whose band is not none, 0 for the others',
    economic_rank        UInt64 COMMENT 'place by economic_pnl_usd, from 1, among wallets whose history is closed, 0 for the others'
) AS
SELECT
    *,
    if(band = 'none', 0, row_number() OVER (
        PARTITION BY band = 'none' ORDER BY realized_pnl_usd DESC, wallet_address)) AS rank,
    if(is_exact, row_number() OVER (
        PARTITION BY is_exact ORDER BY economic_pnl_usd DESC, wallet_address), 0) AS economic_rank
FROM
(
    SELECT
        wallet_address,
        sum(c.realized_pnl_usd) AS realized_pnl_usd,
        sum(c.held_to_resolution_pnl_usd) AS held_to_resolution_pnl_usd,
        min(c.is_exact) AS is_exact,
        if(is_exact, sum(c.economic_pnl_usd), NULL) AS economic_pnl_usd,
        arraySort(groupUniqArrayArray(c.inexact_reasons)) AS inexact_reasons,
        if(num_markets > 0, 100 * num_resolved_markets / num_markets, NULL) AS coverage_pct,
        if(bought_usd > 0, 100 * toFloat64(sum(c.total_position_size_usd)) / toFloat64(bought_usd), NULL)
            AS coverage_money_pct,
        multiIf(coverage_pct >= 10, 'high', coverage_pct >= 5, 'medium', coverage_pct >= 2, 'low',
            'none') AS band,
        if(num_fills > 0 AND num_fills_with_fee = 0, NULL, ifNull(sum(c.fees_usd), 0)) AS fees_usd,
        if(num_fills > 0, 100 * num_fills_with_fee / num_fills, NULL) AS fees_known_pct,
        if(sum(c.num_all_fills) > 0 AND sum(c.num_all_fills_with_fee) = 0, NULL,
            ifNull(sum(c.all_fees_usd), 0)) AS all_fees_usd,
        sum(c.bought_usd) AS bought_usd,
        if(countIf(isNull(c.value_usd)) > 0, NULL, sum(c.value_usd)) AS value_usd,
        sum(c.num_fills) AS num_fills,
        sum(c.num_fills_with_fee) AS num_fills_with_fee,
        sum(c.num_markets) AS num_markets,
        sum(c.num_resolved_markets) AS num_resolved_markets
    FROM wallet_category_pnl AS c
    GROUP BY wallet_address
);
