-- Markets, events, positions and resolutions as the API shows them. Each is a table of rows as they
-- were delivered, where a newer row of a key takes the place of the older one, and a view over it
-- that shows one row per key at every moment. Newer is what has the higher `version`, a number that
-- only grows, whatever the clock of a machine says; `fetched_at` is for people. A figure that could
-- not be read is NULL.
CREATE TABLE IF NOT EXISTS api_market_rows {on_cluster}
(
    source           LowCardinality(String),
    condition_id     String,
    market_id        String DEFAULT '',
    market_slug      String DEFAULT '',
    question         String DEFAULT '' CODEC(ZSTD(1)),
    description      String DEFAULT '' CODEC(ZSTD(3)),
    outcomes         Array(String) CODEC(ZSTD(1)),
    outcome_prices   Array(Float64) CODEC(ZSTD(1)),
    token_ids        Array(String) CODEC(ZSTD(1)),
    active           Bool,
    closed           Bool,
    archived         Bool,
    resolved         Bool,
    winning_outcome  Nullable(UInt8),
    start_date       Nullable(DateTime64(0, 'UTC')),
    end_date         Nullable(DateTime64(0, 'UTC')),
    closed_at        Nullable(DateTime64(0, 'UTC')),
    volume           Nullable(Float64),
    liquidity        Nullable(Float64),
    neg_risk         Bool,
    category         LowCardinality(String) DEFAULT '',
    tags             Array(LowCardinality(String)),
    event_id         String DEFAULT '',
    event_slug       String DEFAULT '',
    protocol_version LowCardinality(String) DEFAULT '',
    fetched_at       DateTime('UTC') DEFAULT now(),
    version          UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (condition_id, source, market_id, market_slug)
SETTINGS {synced};

-- Gamma knows texts, volumes and ids better, the order book the tokens; what one lacks the other
-- fills in. Of two markets with one condition the newest shows. Tags are those of all lists.
CREATE VIEW IF NOT EXISTS api_markets_staging {on_cluster} AS
SELECT
    condition_id,
    argMaxIf(market_slug, better, market_slug != '') AS market_slug,
    argMaxIf(question, better, question != '') AS question,
    argMaxIf(description, better, description != '') AS description,
    argMaxIf(outcomes, better, notEmpty(outcomes)) AS outcomes,
    argMax(active, better) AS active,
    max(closed) AS closed,
    max(resolved) AS resolved,
    argMaxIf(winning_outcome, better, isNotNull(winning_outcome)) AS winning_outcome,
    argMaxIf(end_date, better, isNotNull(end_date)) AS end_date,
    max(volume) AS volume,
    max(liquidity) AS liquidity,
    max(fetched_at) AS timestamp,
    argMaxIf(market_id, better, market_id != '') AS market_id,
    argMaxIf(token_ids, better, notEmpty(token_ids)) AS token_ids,
    argMaxIf(outcome_prices, better, notEmpty(outcome_prices)) AS outcome_prices,
    argMaxIf(event_id, better, event_id != '') AS event_id,
    argMaxIf(event_slug, better, event_slug != '') AS event_slug,
    max(neg_risk) AS neg_risk,
    argMaxIf(category, better, category != '') AS category,
    arraySort(groupUniqArrayArray(tags)) AS tags,
    argMaxIf(protocol_version, better, protocol_version != '') AS protocol_version,
    argMaxIf(start_date, better, isNotNull(start_date)) AS start_date,
    argMaxIf(closed_at, better, isNotNull(closed_at)) AS closed_at,
    groupUniqArray(source) AS sources
FROM
(
    SELECT *, (source = 'gamma', version, toUInt64OrZero(market_id)) AS better
    FROM api_market_rows FINAL
    WHERE condition_id != ''
)
GROUP BY condition_id;

-- Drafts and relics: kept apart, since nothing else can be joined to them. Both lists may show one;
-- its slug is the same in both.
CREATE VIEW IF NOT EXISTS api_markets_without_condition {on_cluster} AS
SELECT * EXCEPT (condition_id, version) FROM api_market_rows FINAL WHERE condition_id = ''
ORDER BY source = 'gamma' DESC, market_id DESC
LIMIT 1 BY if(market_slug = '', concat('id ', market_id), market_slug);

CREATE TABLE IF NOT EXISTS api_event_rows {on_cluster}
(
    event_id         String,
    event_slug       String DEFAULT '',
    title            String DEFAULT '' CODEC(ZSTD(1)),
    category         LowCardinality(String) DEFAULT '',
    tags             Array(LowCardinality(String)),
    active           Bool,
    closed           Bool,
    start_date       Nullable(DateTime64(0, 'UTC')),
    end_date         Nullable(DateTime64(0, 'UTC')),
    closed_at        Nullable(DateTime64(0, 'UTC')),
    volume           Nullable(Float64),
    liquidity        Nullable(Float64),
    neg_risk         Bool,
    market_ids       Array(String) CODEC(ZSTD(1)),
    condition_ids    Array(String) CODEC(ZSTD(1)),
    protocol_version LowCardinality(String) DEFAULT '',
    fetched_at       DateTime('UTC') DEFAULT now(),
    version          UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY event_id
SETTINGS {synced};

CREATE VIEW IF NOT EXISTS api_events_staging {on_cluster} AS
SELECT * EXCEPT (fetched_at, version), fetched_at AS timestamp FROM api_event_rows FINAL;

-- Positions are read wallet by wallet, and what a wallet no longer holds must go. `version` is twice
-- the tick (a number that only grows) of the request that brought the row, and one more. When a reading is complete,
-- its last row, with `is_end`, makes the view below delete what older readings left behind.
CREATE TABLE IF NOT EXISTS api_position_rows {on_cluster}
(
    wallet_address String,
    condition_id   String,
    outcome        Int16,
    asset_id       String,
    market         String DEFAULT '' CODEC(ZSTD(1)),
    status         LowCardinality(String) DEFAULT '',
    size           Float64,
    entry_price    Nullable(Float64),
    total_size     Nullable(Float64),
    current_price  Nullable(Float64),
    current_value  Nullable(Float64),
    realized_pnl   Nullable(Float64),
    unrealized_pnl Nullable(Float64),
    entry_fees     Nullable(Float64),
    outcome_label  LowCardinality(String) DEFAULT '',
    last_event_at  DateTime('UTC') DEFAULT 0,
    timestamp      DateTime('UTC'),
    source         LowCardinality(String) DEFAULT 'api_positions',
    created_at     DateTime('UTC') DEFAULT now(),
    version        UInt64,
    is_deleted     UInt8 DEFAULT 0
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
ORDER BY (wallet_address, condition_id, outcome, asset_id)
SETTINGS {synced};

CREATE TABLE IF NOT EXISTS api_positions_landing {on_cluster}
(
    wallet_address String,
    condition_id   String DEFAULT '',
    outcome        Int16 DEFAULT -1,
    asset_id       String DEFAULT '',
    market         String DEFAULT '',
    status         LowCardinality(String) DEFAULT '',
    size           Float64 DEFAULT 0,
    entry_price    Nullable(Float64),
    total_size     Nullable(Float64),
    current_price  Nullable(Float64),
    current_value  Nullable(Float64),
    realized_pnl   Nullable(Float64),
    unrealized_pnl Nullable(Float64),
    entry_fees     Nullable(Float64),
    outcome_label  LowCardinality(String) DEFAULT '',
    last_event_at  DateTime('UTC') DEFAULT 0,
    timestamp      DateTime('UTC'),
    version        UInt64,
    is_end         Bool DEFAULT false
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS api_positions_landing_mv {on_cluster}
TO api_position_rows AS
SELECT * EXCEPT is_end FROM api_positions_landing WHERE NOT is_end;

CREATE MATERIALIZED VIEW IF NOT EXISTS api_positions_ended_mv {on_cluster}
TO api_position_rows AS
SELECT
    held.wallet_address AS wallet_address, held.condition_id AS condition_id,
    held.outcome AS outcome, held.asset_id AS asset_id, held.size AS size,
    ended.timestamp AS timestamp, toUInt64(ended.version - 1) AS version, 1 AS is_deleted
FROM
(
    SELECT wallet_address, max(version) AS version, max(timestamp) AS timestamp
    FROM api_positions_landing WHERE is_end GROUP BY wallet_address
) AS ended
INNER JOIN
(
    SELECT wallet_address, condition_id, outcome, asset_id, argMax(size, version) AS size,
        argMax(is_deleted, version) AS gone, max(version) AS newest
    FROM api_position_rows
    WHERE wallet_address IN (SELECT wallet_address FROM api_positions_landing WHERE is_end)
    GROUP BY wallet_address, condition_id, outcome, asset_id
    HAVING NOT gone
) AS held ON held.wallet_address = ended.wallet_address
WHERE held.newest < ended.version;

CREATE VIEW IF NOT EXISTS api_positions_staging {on_cluster} AS
SELECT * EXCEPT (version, is_deleted) FROM api_position_rows FINAL;

CREATE TABLE IF NOT EXISTS api_resolution_rows {on_cluster}
(
    condition_id      String,
    question_id       String DEFAULT '',
    status            LowCardinality(String) DEFAULT '',
    payouts           Array(Float64),
    resolution_source LowCardinality(String) DEFAULT '',
    reporter          LowCardinality(String) DEFAULT '',
    market_type       LowCardinality(String) DEFAULT '',
    was_disputed      Bool,
    resolved_at       Nullable(DateTime64(0, 'UTC')),
    tx_hash           String DEFAULT '',
    fetched_at        DateTime('UTC') DEFAULT now(),
    version           UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY condition_id
SETTINGS {synced};

-- `payouts`: USD a share of each outcome pays, as delivered: 1 and 0, a tie 0.5 and 0.5, or between.
CREATE VIEW IF NOT EXISTS api_resolutions {on_cluster} AS
SELECT * EXCEPT (fetched_at, version), fetched_at AS timestamp FROM api_resolution_rows FINAL;

-- What a share of each outcome paid: by the resolution, else by Gamma's prices or the order book's
-- winner of a market that is resolved. One row per condition, resolved ones only. Prices that are
-- all zero, as some settled markets show them, say nothing: no condition can pay nothing to all.
CREATE VIEW IF NOT EXISTS market_payouts {on_cluster} AS
SELECT
    condition_id,
    multiIf(
        arraySum(r.payouts) > 0, r.payouts,
        NOT m.resolved, [],
        arraySum(m.outcome_prices) > 0, m.outcome_prices,
        isNull(m.winning_outcome), [],
        arrayMap(i -> toFloat64(i = assumeNotNull(m.winning_outcome)), range(greatest(length(m.outcomes), 2)))
    ) AS payouts,
    if(arraySum(r.payouts) > 0, 'resolutions', 'markets') AS payout_source,
    coalesce(r.resolved_at, m.closed_at) AS resolved_at
FROM
(
    SELECT condition_id, resolved, outcomes, outcome_prices, winning_outcome, closed_at
    FROM api_markets_staging
) AS m
FULL OUTER JOIN
(
    SELECT condition_id, payouts, resolved_at FROM api_resolutions WHERE status = 'resolved'
) AS r USING (condition_id)
WHERE notEmpty(payouts);

-- Markets of which the sources do not say the same, each with what differs:
--   payouts     the resolution pays otherwise than Gamma's prices or the order book's winner say
--   open        it is resolved, and both lists still showed the market open when they were read
--   unresolved  a list names a winner, and the resolution was still to come when it was read
-- The last two pass by themselves when the lists and resolutions are read again.
CREATE VIEW IF NOT EXISTS resolution_disagreements {on_cluster} AS
SELECT
    condition_id,
    multiIf(
        status != 'resolved', 'unresolved',
        NOT closed, 'open',
        'payouts'
    ) AS disagreement,
    by_resolutions, by_gamma, by_order_book
FROM
(
    SELECT condition_id, status, payouts AS by_resolutions FROM api_resolutions
) AS r
INNER JOIN
(
    SELECT condition_id, max(closed) AS closed,
        argMaxIf(outcome_prices, (version, toUInt64OrZero(market_id)),
            source = 'gamma' AND resolved AND notEmpty(outcome_prices)) AS by_gamma,
        argMaxIf(winning_outcome, version,
            source = 'clob' AND isNotNull(winning_outcome)) AS by_order_book
    FROM api_market_rows FINAL WHERE condition_id != ''
    GROUP BY condition_id
) AS m USING (condition_id)
WHERE multiIf(
    status != 'resolved', arrayMax(arrayPushBack(by_gamma, 0)) >= 0.999 OR isNotNull(by_order_book),
    NOT closed, true,
    empty(by_resolutions), false,
    (notEmpty(by_gamma) AND arraySum(x -> abs(x), arrayMap((a, b) -> a - b,
            arrayResize(by_resolutions, 2), arrayResize(by_gamma, 2))) > 0.001)
        OR (isNotNull(by_order_book)
            AND indexOf(by_resolutions, arrayMax(by_resolutions)) - 1 != by_order_book)
);
