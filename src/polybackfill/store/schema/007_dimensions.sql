-- What a market, an event and a condition is: built whole by `dims build` and put in place of what
-- was there before in one exchange, so a plain SELECT shows one row per key at every moment.
CREATE TABLE IF NOT EXISTS markets_dim {on_cluster}
(
    condition_id     String,
    market_id        String,
    event_id         String,
    event_slug       String,
    market_slug      String,
    question         String CODEC(ZSTD(1)),
    outcomes         Array(String) CODEC(ZSTD(1)),
    category         LowCardinality(String),
    tags             Array(String) CODEC(ZSTD(1)),
    resolved_outcome Nullable(String),
    payout_yes       Nullable(Float64),
    payout_no        Nullable(Float64),
    payouts          Array(Float64),
    resolved_at      Nullable(DateTime64(0, 'UTC')),
    start_date       Nullable(DateTime64(0, 'UTC')),
    end_date         Nullable(DateTime64(0, 'UTC')),
    ingested_at      DateTime('UTC') DEFAULT now()
)
ENGINE = {engine:MergeTree}
ORDER BY condition_id
SETTINGS {synced};

CREATE TABLE IF NOT EXISTS events_dim {on_cluster}
(
    event_id           String,
    event_slug         String,
    title              String CODEC(ZSTD(1)),
    category           LowCardinality(String),
    tags               Array(String) CODEC(ZSTD(1)),
    status             Nullable(String),
    ends_at            Nullable(DateTime64(0, 'UTC')),
    ingested_at        DateTime('UTC') DEFAULT now(),
    canonical_category LowCardinality(String) ALIAS category,
    raw_tags           Array(String) ALIAS tags
)
ENGINE = {engine:MergeTree}
ORDER BY event_id
SETTINGS {synced};

CREATE TABLE IF NOT EXISTS condition_market_map {on_cluster}
(
    condition_id       String,
    market_id          String,
    event_id           String,
    canonical_category LowCardinality(String),
    raw_tags           Array(String) CODEC(ZSTD(1)),
    ingested_at        DateTime('UTC') DEFAULT now(),
    INDEX by_market market_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_event event_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine:MergeTree}
ORDER BY condition_id
SETTINGS {synced};

-- The trades that profit and loss is made of: this view alone says which. `usd` is shares times
-- price, without fees.
CREATE VIEW IF NOT EXISTS trades_for_pnl {on_cluster} AS
SELECT
    source, wallet AS wallet_address, market AS condition_id, outcome_index, token_id, side, shares,
    usd_value AS usd, fee_amount AS fees, timestamp AS trade_timestamp
FROM vw_trades_unified;

-- Hold to resolution, resolved markets only; `num_markets` counts the others too, so that the share
-- that is covered can stand beside every figure. Replaced whole by `report categories`.
CREATE TABLE IF NOT EXISTS wallet_category_pnl {on_cluster}
(
    wallet_address          String,
    category                LowCardinality(String),
    realized_pnl_usd        Decimal(38, 6),
    fees_usd                Decimal(38, 6),
    total_position_size_usd Decimal(38, 6),
    num_markets             UInt64,
    num_resolved_markets    UInt64,
    num_winning_markets     UInt64,
    num_losing_markets      UInt64,
    yes_count               UInt64,
    no_count                UInt64,
    dated_markets           UInt64,
    early_entries           UInt64,
    late_entries            UInt64,
    computed_at             DateTime('UTC') DEFAULT now()
)
ENGINE = {engine:MergeTree}
ORDER BY (wallet_address, category)
SETTINGS {synced};

-- One row per wallet: the sum of its categories. `rank` by profit, from 1, among the wallets whose
-- figure may be shown (band not 'none'); 0 for the others.
CREATE VIEW IF NOT EXISTS wallet_pnl {on_cluster} AS
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
        sum(c.fees_usd) AS fees_usd,
        sum(c.num_markets) AS num_markets,
        sum(c.num_resolved_markets) AS num_resolved_markets
    FROM wallet_category_pnl AS c
    GROUP BY wallet_address
);
