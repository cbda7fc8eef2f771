-- Markets, events, positions and resolutions as the API shows them. Each is a table of rows as they
-- were delivered, where a newer row of a key takes the place of the older one, and a view over it
-- that shows one row per key at every moment. Newer is what has the higher `version`, a number that
-- only grows, whatever the clock of a machine says; `fetched_at` is for people. A figure that could
-- not be read is NULL.
CREATE TABLE IF NOT EXISTS api_market_rows {on_cluster}
(
    source           LowCardinality(String) COMMENT 'list that delivered the row: gamma or clob (the order book)',
    condition_id     String COMMENT 'the condition: 64 hex digits, lower case, without 0x, empty for drafts and relics',
    market_id        String DEFAULT '' COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    market_slug      String DEFAULT '' COMMENT 'name of the market in its URL',
    question         String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'question of the market',
    description      String DEFAULT '' CODEC(ZSTD(3)) COMMENT 'rules of the market',
    outcomes         Array(String) CODEC(ZSTD(1)) COMMENT 'names of the outcomes, in the order of the market',
    outcome_prices   Array(Float64) CODEC(ZSTD(1)) COMMENT 'USD per share of each outcome, in the order of the market',
    token_ids        Array(String) CODEC(ZSTD(1)) COMMENT 'tokens of the outcomes: decimal text, in the order of the market',
    active           Bool COMMENT 'the API calls it active',
    closed           Bool COMMENT 'trading has ended',
    archived         Bool COMMENT 'the API hides it',
    resolved         Bool COMMENT 'the list says that the result is final',
    winning_outcome  Nullable(UInt8) COMMENT 'place of the outcome that won, from 0, NULL while unknown and for a tie',
    start_date       Nullable(DateTime64(0, 'UTC')) COMMENT 'begin, as the API says it, UTC',
    end_date         Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    closed_at        Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was closed, UTC',
    volume           Nullable(Float64) COMMENT 'USD traded so far',
    liquidity        Nullable(Float64) COMMENT 'USD in the order book',
    neg_risk         Bool COMMENT 'one of several markets of which exactly one pays Yes',
    category         LowCardinality(String) DEFAULT '' COMMENT 'category, as the API names it',
    tags             Array(LowCardinality(String)) COMMENT 'tags, as slugs or labels of the API',
    event_id         String DEFAULT '' COMMENT 'id of the event in Gamma: decimal text, empty when unknown',
    event_slug       String DEFAULT '' COMMENT 'name of the event in its URL',
    protocol_version LowCardinality(String) DEFAULT '' COMMENT 'version of the exchange, as the API writes it',
    neg_risk_market_id String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'negative-risk market that it is part of: 64 hex digits, lower case, without 0x, empty when it is of none',
    created_at       Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was created, UTC, NULL when unknown',
    fetched_at       DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC',
    version          UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000 COMMENT 'of two rows of a key the one with the higher number is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY (condition_id, source, market_id, market_slug)
SETTINGS {synced}
COMMENT 'Markets as the lists deliver them: query api_markets_staging';

-- Gamma knows texts, volumes and ids better, the order book the tokens; what one lacks the other
-- fills in. Of two markets with one condition the newest shows. Tags are those of all lists. The
-- winner is found by its token, since the order book may list outcomes in another order.
CREATE VIEW IF NOT EXISTS api_markets_staging {on_cluster}
(
    condition_id     String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    market_slug      String COMMENT 'name of the market in its URL',
    question         String COMMENT 'question of the market',
    description      String COMMENT 'rules of the market',
    outcomes         Array(String) COMMENT 'names of the outcomes, in the order of the market',
    active           Bool COMMENT 'the API calls it active',
    closed           Bool COMMENT 'trading has ended',
    resolved         Bool COMMENT 'the list says that the result is final',
    winning_outcome  Nullable(UInt8) COMMENT 'place of the outcome that won, from 0, NULL while unknown and for a tie',
    end_date         Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    volume           Nullable(Float64) COMMENT 'USD traded so far',
    liquidity        Nullable(Float64) COMMENT 'USD in the order book',
    timestamp        DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC',
    market_id        String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    token_ids        Array(String) COMMENT 'tokens of the outcomes: decimal text, in the order of the market',
    outcome_prices   Array(Float64) COMMENT 'USD per share of each outcome, in the order of the market',
    event_id         String COMMENT 'id of the event in Gamma: decimal text, empty when unknown',
    event_slug       String COMMENT 'name of the event in its URL',
    neg_risk         Bool COMMENT 'one of several markets of which exactly one pays Yes',
    category         String COMMENT 'category, as the API names it',
    tags             Array(String) COMMENT 'tags, as slugs or labels of the API',
    protocol_version String COMMENT 'version of the exchange, as the API writes it',
    start_date       Nullable(DateTime64(0, 'UTC')) COMMENT 'begin, as the API says it, UTC',
    closed_at        Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was closed, UTC',
    sources          Array(String) COMMENT 'lists that showed the market: gamma, clob (the order book)'
) AS
SELECT
    * EXCEPT winner,
    if(has(token_ids, winner.2) AND winner.2 != '', toUInt8(indexOf(token_ids, winner.2) - 1), winner.1)
        AS winning_outcome
FROM
(
    SELECT
        condition_id,
        argMaxIf(market_slug, better, market_slug != '') AS market_slug,
        argMaxIf(question, better, question != '') AS question,
        argMaxIf(description, better, description != '') AS description,
        argMaxIf(outcomes, better, notEmpty(outcomes)) AS outcomes,
        argMax(active, better) AS active,
        max(closed) AS closed,
        max(resolved) AS resolved,
        argMaxIf((winning_outcome, winning_token), better, isNotNull(winning_outcome)) AS winner,
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
        SELECT *, (source = 'gamma', version, toUInt64OrZero(market_id)) AS better,
            token_ids[ifNull(winning_outcome, 0) + 1] AS winning_token
        FROM api_market_rows FINAL
        WHERE condition_id != ''
    )
    GROUP BY condition_id
);

-- Drafts and relics: kept apart, since nothing else can be joined to them. Both lists may show one;
-- its slug is the same in both.
CREATE VIEW IF NOT EXISTS api_markets_without_condition {on_cluster}
(
    source           LowCardinality(String) COMMENT 'list that delivered the row: gamma or clob (the order book)',
    market_id        String COMMENT 'id of the market in Gamma: decimal text, empty when unknown',
    market_slug      String COMMENT 'name of the market in its URL',
    question         String COMMENT 'question of the market',
    description      String COMMENT 'rules of the market',
    outcomes         Array(String) COMMENT 'names of the outcomes, in the order of the market',
    outcome_prices   Array(Float64) COMMENT 'USD per share of each outcome, in the order of the market',
    token_ids        Array(String) COMMENT 'tokens of the outcomes: decimal text, in the order of the market',
    active           Bool COMMENT 'the API calls it active',
    closed           Bool COMMENT 'trading has ended',
    archived         Bool COMMENT 'the API hides it',
    resolved         Bool COMMENT 'the list says that the result is final',
    winning_outcome  Nullable(UInt8) COMMENT 'place of the outcome that won, from 0, NULL while unknown and for a tie',
    start_date       Nullable(DateTime64(0, 'UTC')) COMMENT 'begin, as the API says it, UTC',
    end_date         Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    closed_at        Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was closed, UTC',
    volume           Nullable(Float64) COMMENT 'USD traded so far',
    liquidity        Nullable(Float64) COMMENT 'USD in the order book',
    neg_risk         Bool COMMENT 'one of several markets of which exactly one pays Yes',
    category         LowCardinality(String) COMMENT 'category, as the API names it',
    tags             Array(LowCardinality(String)) COMMENT 'tags, as slugs or labels of the API',
    event_id         String COMMENT 'id of the event in Gamma: decimal text, empty when unknown',
    event_slug       String COMMENT 'name of the event in its URL',
    protocol_version LowCardinality(String) COMMENT 'version of the exchange, as the API writes it',
    fetched_at       DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC'
) AS
SELECT * EXCEPT (condition_id, neg_risk_market_id, created_at, version)
FROM api_market_rows FINAL WHERE condition_id = ''
ORDER BY source = 'gamma' DESC, market_id DESC
LIMIT 1 BY if(market_slug = '', concat('id ', market_id), market_slug);

CREATE TABLE IF NOT EXISTS api_event_rows {on_cluster}
(
    event_id         String COMMENT 'id of the event in Gamma: decimal text',
    event_slug       String DEFAULT '' COMMENT 'name of the event in its URL',
    title            String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'title of the event',
    category         LowCardinality(String) DEFAULT '' COMMENT 'category, as the API names it',
    tags             Array(LowCardinality(String)) COMMENT 'tags, as slugs or labels of the API',
    active           Bool COMMENT 'the API calls it active',
    closed           Bool COMMENT 'trading has ended',
    start_date       Nullable(DateTime64(0, 'UTC')) COMMENT 'begin, as the API says it, UTC',
    end_date         Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    closed_at        Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was closed, UTC',
    volume           Nullable(Float64) COMMENT 'USD traded so far in its markets',
    liquidity        Nullable(Float64) COMMENT 'USD in the order books of its markets',
    neg_risk         Bool COMMENT 'exactly one of its markets pays Yes',
    market_ids       Array(String) CODEC(ZSTD(1)) COMMENT 'ids of its markets in Gamma: decimal text',
    condition_ids    Array(String) CODEC(ZSTD(1)) COMMENT 'its conditions: 64 hex digits each, lower case, without 0x',
    protocol_version LowCardinality(String) DEFAULT '' COMMENT 'version of the exchange, as the API writes it',
    neg_risk_market_id String DEFAULT '' COMMENT 'negative-risk market of the event: 64 hex digits, lower case, without 0x, empty when it has none',
    fetched_at       DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC',
    version          UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000 COMMENT 'of two rows of a key the one with the higher number is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY event_id
SETTINGS {synced}
COMMENT 'Events as Gamma delivers them: query api_events_staging';

CREATE VIEW IF NOT EXISTS api_events_staging {on_cluster}
(
    event_id         String COMMENT 'id of the event in Gamma: decimal text',
    event_slug       String COMMENT 'name of the event in its URL',
    title            String COMMENT 'title of the event',
    category         LowCardinality(String) COMMENT 'category, as the API names it',
    tags             Array(LowCardinality(String)) COMMENT 'tags, as slugs or labels of the API',
    active           Bool COMMENT 'the API calls it active',
    closed           Bool COMMENT 'trading has ended',
    start_date       Nullable(DateTime64(0, 'UTC')) COMMENT 'begin, as the API says it, UTC',
    end_date         Nullable(DateTime64(0, 'UTC')) COMMENT 'planned end, UTC',
    closed_at        Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was closed, UTC',
    volume           Nullable(Float64) COMMENT 'USD traded so far in its markets',
    liquidity        Nullable(Float64) COMMENT 'USD in the order books of its markets',
    neg_risk         Bool COMMENT 'exactly one of its markets pays Yes',
    market_ids       Array(String) COMMENT 'ids of its markets in Gamma: decimal text',
    condition_ids    Array(String) COMMENT 'its conditions: 64 hex digits each, lower case, without 0x',
    protocol_version LowCardinality(String) COMMENT 'version of the exchange, as the API writes it',
    timestamp        DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC'
) AS
SELECT * EXCEPT (neg_risk_market_id, fetched_at, version), fetched_at AS timestamp FROM api_event_rows FINAL;

-- Positions are read wallet by wallet, and what a wallet no longer holds must go. `version` is twice
-- the tick (a number that only grows) of the request that brought the row, and one more. When a reading is complete,
-- its last row, with `is_end`, makes the view below delete what older readings left behind.
CREATE TABLE IF NOT EXISTS api_position_rows {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    outcome        Int16 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    asset_id       String COMMENT 'the token: decimal text',
    market         String DEFAULT '' CODEC(ZSTD(1)) COMMENT 'name of the market in its URL',
    status         LowCardinality(String) DEFAULT '' COMMENT 'OPEN, REDEEMABLE or CLOSED',
    size           Float64 COMMENT 'shares held, 4 decimals',
    entry_price    Nullable(Float64) COMMENT 'average USD paid per share, without fees, above 1 at times, NULL when unknown',
    total_size     Nullable(Float64) COMMENT 'shares bought in all',
    current_price  Nullable(Float64) COMMENT 'USD per share when read',
    current_value  Nullable(Float64) COMMENT 'USD: shares held at the current price',
    realized_pnl   Nullable(Float64) COMMENT 'profit taken, in USD',
    unrealized_pnl Nullable(Float64) COMMENT 'profit not yet taken, in USD',
    entry_fees     Nullable(Float64) COMMENT 'fees paid on buying, in USD',
    outcome_label  LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome',
    last_event_at  DateTime('UTC') DEFAULT 0 COMMENT 'when the position last changed, UTC, 1970 when unknown',
    timestamp      DateTime('UTC') COMMENT 'second in which the reading of the wallet began, UTC',
    source         LowCardinality(String) DEFAULT 'api_positions' COMMENT 'always api_positions',
    created_at     DateTime('UTC') DEFAULT now() COMMENT 'second in which the row was stored, UTC',
    version        UInt64 COMMENT 'of two rows of a position the one with the higher number is newer: twice the tick of the request, and one more',
    is_deleted     UInt8 DEFAULT 0 COMMENT '1: the wallet holds it no more'
)
ENGINE = {engine:ReplacingMergeTree(version, is_deleted)}
ORDER BY (wallet_address, condition_id, outcome, asset_id)
SETTINGS {synced}
COMMENT 'Positions as the API delivers them: query api_positions_staging';

CREATE TABLE IF NOT EXISTS api_positions_landing {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String DEFAULT '' COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    outcome        Int16 DEFAULT -1 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    asset_id       String DEFAULT '' COMMENT 'the token: decimal text',
    market         String DEFAULT '' COMMENT 'name of the market in its URL',
    status         LowCardinality(String) DEFAULT '' COMMENT 'OPEN, REDEEMABLE or CLOSED',
    size           Float64 DEFAULT 0 COMMENT 'shares held, 4 decimals',
    entry_price    Nullable(Float64) COMMENT 'average USD paid per share, without fees, above 1 at times, NULL when unknown',
    total_size     Nullable(Float64) COMMENT 'shares bought in all',
    current_price  Nullable(Float64) COMMENT 'USD per share when read',
    current_value  Nullable(Float64) COMMENT 'USD: shares held at the current price',
    realized_pnl   Nullable(Float64) COMMENT 'profit taken, in USD',
    unrealized_pnl Nullable(Float64) COMMENT 'profit not yet taken, in USD',
    entry_fees     Nullable(Float64) COMMENT 'fees paid on buying, in USD',
    outcome_label  LowCardinality(String) DEFAULT '' COMMENT 'name of the outcome',
    last_event_at  DateTime('UTC') DEFAULT 0 COMMENT 'when the position last changed, UTC, 1970 when unknown',
    timestamp      DateTime('UTC') COMMENT 'second in which the reading of the wallet began, UTC',
    version        UInt64 COMMENT 'of two rows of a position the one with the higher number is newer: twice the tick of the request, and one more',
    is_end         Bool DEFAULT false COMMENT 'last row of a complete reading, no position'
)
ENGINE = Null
COMMENT 'Stores nothing: rows go on to api_position_rows';

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

CREATE VIEW IF NOT EXISTS api_positions_staging {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    outcome        Int16 COMMENT 'place of the outcome in the market, from 0, and -1 when unknown',
    asset_id       String COMMENT 'the token: decimal text',
    market         String COMMENT 'name of the market in its URL',
    status         LowCardinality(String) COMMENT 'OPEN, REDEEMABLE or CLOSED',
    size           Float64 COMMENT 'shares held, 4 decimals',
    entry_price    Nullable(Float64) COMMENT 'average USD paid per share, without fees, above 1 at times, NULL when unknown',
    total_size     Nullable(Float64) COMMENT 'shares bought in all',
    current_price  Nullable(Float64) COMMENT 'USD per share when read',
    current_value  Nullable(Float64) COMMENT 'USD: shares held at the current price',
    realized_pnl   Nullable(Float64) COMMENT 'profit taken, in USD',
    unrealized_pnl Nullable(Float64) COMMENT 'profit not yet taken, in USD',
    entry_fees     Nullable(Float64) COMMENT 'fees paid on buying, in USD',
    outcome_label  LowCardinality(String) COMMENT 'name of the outcome',
    last_event_at  DateTime('UTC') COMMENT 'when the position last changed, UTC, 1970 when unknown',
    timestamp      DateTime('UTC') COMMENT 'second in which the reading of the wallet began, UTC',
    source         LowCardinality(String) COMMENT 'always api_positions',
    created_at     DateTime('UTC') COMMENT 'second in which the row was stored, UTC'
) AS
SELECT * EXCEPT (version, is_deleted) FROM api_position_rows FINAL;

CREATE TABLE IF NOT EXISTS api_resolution_rows {on_cluster}
(
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    question_id       String DEFAULT '' COMMENT 'id of the question at the oracle: hex digits, empty when unknown',
    status            LowCardinality(String) DEFAULT '' COMMENT 'how far the resolution is, as the API says it: resolved is final',
    payouts           Array(Float64) COMMENT 'USD that a share of each outcome pays, in the order of the market, empty while unknown',
    resolution_source LowCardinality(String) DEFAULT '' COMMENT 'what decided, as the API names it',
    reporter          LowCardinality(String) DEFAULT '' COMMENT 'who reported the result, as the API names it',
    market_type       LowCardinality(String) DEFAULT '' COMMENT 'kind of the market, as the API names it',
    was_disputed      Bool COMMENT 'somebody disputed a proposed result',
    resolved_at       Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was resolved, UTC, NULL when unknown',
    tx_hash           String DEFAULT '' COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    fetched_at        DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC',
    version           UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000 COMMENT 'of two rows of a key the one with the higher number is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY condition_id
SETTINGS {synced}
COMMENT 'Resolutions as the API delivers them: query api_resolutions';

-- `payouts`: USD a share of each outcome pays, as delivered: 1 and 0, a tie 0.5 and 0.5, or between.
CREATE VIEW IF NOT EXISTS api_resolutions {on_cluster}
(
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    question_id       String COMMENT 'id of the question at the oracle: hex digits, empty when unknown',
    status            LowCardinality(String) COMMENT 'how far the resolution is, as the API says it: resolved is final',
    payouts           Array(Float64) COMMENT 'USD that a share of each outcome pays, in the order of the market, empty while unknown',
    resolution_source LowCardinality(String) COMMENT 'what decided, as the API names it',
    reporter          LowCardinality(String) COMMENT 'who reported the result, as the API names it',
    market_type       LowCardinality(String) COMMENT 'kind of the market, as the API names it',
    was_disputed      Bool COMMENT 'somebody disputed a proposed result',
    resolved_at       Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was resolved, UTC, NULL when unknown',
    tx_hash           String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown',
    timestamp         DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC'
) AS
SELECT * EXCEPT (fetched_at, version), fetched_at AS timestamp FROM api_resolution_rows FINAL;

-- What Polymarket itself says a wallet earned. A figure it does not tell is NULL, and `answer` says why.
CREATE TABLE IF NOT EXISTS api_user_stat_rows {on_cluster}
(
    wallet_address      String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    answer              LowCardinality(String) COMMENT 'what the API answered: figures, no figures, unknown wallet, or not served',
    markets             Nullable(UInt64) COMMENT 'number of markets the wallet traded in, as Polymarket counts',
    trade_count         Nullable(UInt64) COMMENT 'number of fills, as Polymarket counts, some minutes behind',
    biggest_win         Nullable(Float64) COMMENT 'largest profit in one market, in USD',
    joined_at           Nullable(DateTime64(0, 'UTC')) COMMENT 'when the wallet came to Polymarket, UTC, NULL when unknown',
    counted_at          Nullable(DateTime64(0, 'UTC')) COMMENT 'second up to which the figures count, UTC',
    economic_pnl        Nullable(Float64) COMMENT 'the profit of all time in USD, after fees and with rewards, NULL when not told',
    trade_pnl           Nullable(Float64) COMMENT 'of it: profit of trading in USD, before fees and rewards',
    position_pnl        Nullable(Float64) COMMENT 'profit of all positions in USD',
    settled_pnl         Nullable(Float64) COMMENT 'profit of settled positions in USD',
    realized_pnl        Nullable(Float64) COMMENT 'profit taken so far in USD',
    realized_market_pnl Nullable(Float64) COMMENT 'of the profit taken: of markets, in USD',
    realized_lp_pnl     Nullable(Float64) COMMENT 'of the profit taken: of providing liquidity, in USD',
    realized_combo_pnl  Nullable(Float64) COMMENT 'of the profit taken: of combos, in USD',
    unrealized_pnl      Nullable(Float64) COMMENT 'profit not yet taken, of what is held now, in USD',
    fees                Nullable(Float64) COMMENT 'fees in USD, what was given back taken off',
    fees_paid           Nullable(Float64) COMMENT 'fees paid in USD',
    fees_refunded       Nullable(Float64) COMMENT 'fees given back in USD',
    wallet_income       Nullable(Float64) COMMENT 'rewards, rebates, yield and referrals together, in USD',
    maker_rebate        Nullable(Float64) COMMENT 'rebates of makers in USD',
    taker_rebate        Nullable(Float64) COMMENT 'rebates of takers in USD',
    reward_income       Nullable(Float64) COMMENT 'rewards in USD',
    yield_income        Nullable(Float64) COMMENT 'yield in USD',
    referral_income     Nullable(Float64) COMMENT 'rewards of referrals in USD',
    sponsored_income    Nullable(Float64) COMMENT 'sponsored rewards in USD',
    deposits            Nullable(Float64) COMMENT 'USD paid in',
    withdrawals         Nullable(Float64) COMMENT 'USD paid out',
    cashflow_net        Nullable(Float64) COMMENT 'USD that came in less what went out, deposits and withdrawals apart',
    volume              Nullable(Float64) COMMENT 'shares traded',
    volume_usdc         Nullable(Float64) COMMENT 'USD traded',
    fetched_at          DateTime('UTC') DEFAULT now() COMMENT 'second in which the API delivered the row, UTC',
    version             UInt64 DEFAULT toUnixTimestamp(fetched_at) * 1000 COMMENT 'of two rows of a key the one with the higher number is newer'
)
ENGINE = {engine:ReplacingMergeTree(version)}
ORDER BY wallet_address
SETTINGS {synced}
COMMENT 'Profits of wallets as the API delivers them: query api_user_stats';

CREATE VIEW IF NOT EXISTS api_user_stats {on_cluster}
(
    wallet_address      String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    answer              LowCardinality(String) COMMENT 'what the API answered: figures, no figures, unknown wallet, or not served',
    markets             Nullable(UInt64) COMMENT 'number of markets the wallet traded in, as Polymarket counts',
    trade_count         Nullable(UInt64) COMMENT 'number of fills, as Polymarket counts, some minutes behind',
    biggest_win         Nullable(Float64) COMMENT 'largest profit in one market, in USD',
    joined_at           Nullable(DateTime64(0, 'UTC')) COMMENT 'when the wallet came to Polymarket, UTC, NULL when unknown',
    counted_at          Nullable(DateTime64(0, 'UTC')) COMMENT 'second up to which the figures count, UTC',
    economic_pnl        Nullable(Float64) COMMENT 'the profit of all time in USD, after fees and with rewards, NULL when not told',
    trade_pnl           Nullable(Float64) COMMENT 'of it: profit of trading in USD, before fees and rewards',
    position_pnl        Nullable(Float64) COMMENT 'profit of all positions in USD',
    settled_pnl         Nullable(Float64) COMMENT 'profit of settled positions in USD',
    realized_pnl        Nullable(Float64) COMMENT 'profit taken so far in USD',
    realized_market_pnl Nullable(Float64) COMMENT 'of the profit taken: of markets, in USD',
    realized_lp_pnl     Nullable(Float64) COMMENT 'of the profit taken: of providing liquidity, in USD',
    realized_combo_pnl  Nullable(Float64) COMMENT 'of the profit taken: of combos, in USD',
    unrealized_pnl      Nullable(Float64) COMMENT 'profit not yet taken, of what is held now, in USD',
    fees                Nullable(Float64) COMMENT 'fees in USD, what was given back taken off',
    fees_paid           Nullable(Float64) COMMENT 'fees paid in USD',
    fees_refunded       Nullable(Float64) COMMENT 'fees given back in USD',
    wallet_income       Nullable(Float64) COMMENT 'rewards, rebates, yield and referrals together, in USD',
    maker_rebate        Nullable(Float64) COMMENT 'rebates of makers in USD',
    taker_rebate        Nullable(Float64) COMMENT 'rebates of takers in USD',
    reward_income       Nullable(Float64) COMMENT 'rewards in USD',
    yield_income        Nullable(Float64) COMMENT 'yield in USD',
    referral_income     Nullable(Float64) COMMENT 'rewards of referrals in USD',
    sponsored_income    Nullable(Float64) COMMENT 'sponsored rewards in USD',
    deposits            Nullable(Float64) COMMENT 'USD paid in',
    withdrawals         Nullable(Float64) COMMENT 'USD paid out',
    cashflow_net        Nullable(Float64) COMMENT 'USD that came in less what went out, deposits and withdrawals apart',
    volume              Nullable(Float64) COMMENT 'shares traded',
    volume_usdc         Nullable(Float64) COMMENT 'USD traded',
    timestamp           DateTime('UTC') COMMENT 'second in which the API delivered the row, UTC'
) AS
SELECT * EXCEPT (fetched_at, version), fetched_at AS timestamp FROM api_user_stat_rows FINAL;
