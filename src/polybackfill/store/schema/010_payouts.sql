-- What a share of each outcome paid. One place says it, `market_payouts`; profit, reports, positions
-- and checks read it there. docs/analytics.md has the rule in words.

-- The tokens of each market by outcome slot, the place that trades' `outcome_index` and payouts mean,
-- and what the newest row of each list says: (token_ids, outcomes, prices, is_resolved, is_closed,
-- closed_at) of Gamma, (token_ids, outcomes, number of the winner or 0, is_closed) of the order book.
-- Gamma lists outcomes by slot; the order book mostly does. Where Gamma does not confirm its order,
-- and it decides who won, the trades do, each with its token and its slot, else the names: Yes is 0,
-- and the others stand as Gamma has them.
CREATE OR REPLACE VIEW market_tokens {on_cluster}
(
    condition_id      String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    gamma             Tuple(Array(String), Array(String), Array(Float64), Bool, Bool, Nullable(DateTime64(0, 'UTC'))) COMMENT 'newest row of Gamma: tokens, outcomes, prices, whether resolved, whether closed, when',
    book              Tuple(Array(String), Array(String), UInt32, Bool) COMMENT 'newest row of the order book: tokens, outcomes, number of the winner from 1 (0: none), whether closed',
    in_gamma          UInt8 COMMENT '1: Gamma lists the market',
    in_book           UInt8 COMMENT '1: the order book lists the market',
    listed            Array(String) COMMENT 'tokens in the order of the list that has them',
    listed_names      Array(String) COMMENT 'outcomes of that list',
    known_slots       Array(Int32) COMMENT 'slot of each listed token by trades, -1 when none tells it',
    traded_slots      Array(Int32) COMMENT 'the same, the last token by what is left',
    is_told_by_trades UInt8 COMMENT '1: trades tell the slot of each token',
    listed_slots      Array(Int64) COMMENT 'slot of each listed token',
    token_ids         Array(String) COMMENT 'tokens by slot: decimal text',
    gamma_slots       Array(Int64) COMMENT 'slot of each price of Gamma'
) AS
WITH
    -- Each row is read once, in the order of the table: an argMax of such tuples takes eight times as
    -- long.
    lists AS
    (
        SELECT if(in_gamma, of_gamma.condition_id, of_book.condition_id) AS condition_id,
            gamma, book, in_gamma, in_book
        FROM
        (
            SELECT condition_id, toUInt8(1) AS in_gamma,
                (token_ids, outcomes, outcome_prices, resolved, closed, closed_at) AS gamma
            FROM api_market_rows
            WHERE condition_id != '' AND source = 'gamma'
            ORDER BY condition_id, source, version DESC, toUInt64OrZero(market_id) DESC
            LIMIT 1 BY condition_id
        ) AS of_gamma
        FULL OUTER JOIN
        (
            SELECT condition_id, toUInt8(1) AS in_book,
                (token_ids, outcomes, ifNull(toUInt16(winning_outcome) + 1, 0), closed) AS book
            FROM api_market_rows
            WHERE condition_id != '' AND source = 'clob'
            ORDER BY condition_id, source, version DESC
            LIMIT 1 BY condition_id
        ) AS of_book ON of_book.condition_id = of_gamma.condition_id
    ),
    traded AS
    (
        SELECT condition_id, groupArray(token_id) AS tokens, groupArray(slot) AS slots
        FROM
        (
            SELECT condition_id, token_id, any(outcome_index) AS slot
            FROM external_trades_raw
            WHERE token_id != '' AND outcome_index BETWEEN 0 AND 255 AND condition_id IN (
                SELECT condition_id FROM api_market_rows
                WHERE condition_id != ''
                GROUP BY condition_id
                HAVING countIf(source = 'clob' AND isNotNull(winning_outcome)) > 0
                    AND (countIf(source = 'gamma') = 0
                        OR min(cityHash64(token_ids)) != max(cityHash64(token_ids))))
            GROUP BY condition_id, token_id
            HAVING uniqExact(outcome_index) = 1
        )
        GROUP BY condition_id
    )
SELECT
    lists.condition_id AS condition_id, gamma, book, in_gamma, in_book,
    notEmpty(gamma.1) ? gamma.1 : book.1 AS listed,
    notEmpty(gamma.1) ? gamma.2 : book.2 AS listed_names,
    arrayMap(token -> has(tokens, token) ? slots[indexOf(tokens, token)] : -1, listed) AS known_slots,
    -- The slot of one token that was never traded is the one that is left.
    arrayMap(slot -> slot >= 0 ? slot : toInt32(intDiv(length(listed) * (length(listed) - 1), 2)
        - arraySum(arrayFilter(known -> known >= 0, known_slots))), known_slots) AS traded_slots,
    countEqual(known_slots, -1) <= 1 AND length(listed) > 1
        AND arraySort(traded_slots) = range(toInt32(length(listed))) AS is_told_by_trades,
    multiIf(
        is_told_by_trades, traded_slots,
        listed_names = ['No', 'Yes'] AND length(listed) = 2, [1, 0],
        length(listed) = length(listed_names) AND empty(gamma.1) AND arraySort(gamma.2) = arraySort(book.2)
            AND length(arrayDistinct(book.2)) = length(book.2),
            arrayMap(name -> toInt32(indexOf(gamma.2, name)) - 1, book.2),
        range(toInt32(length(listed)))) AS listed_slots,
    arraySort((token, slot) -> slot, listed, listed_slots) AS token_ids,
    multiIf(
        notEmpty(gamma.1), listed_slots,
        gamma.2 = ['No', 'Yes'], [1, 0],
        range(toInt32(length(gamma.2)))) AS gamma_slots
FROM lists
LEFT JOIN traded ON traded.condition_id = lists.condition_id
SETTINGS join_use_nulls = 0;

-- What each source says that a share pays, by slot: empty where it does not say that the market is
-- resolved, or pays what is impossible (payouts are shares of one dollar). A price of 0.999 and more
-- is that of the winner, who is paid exactly 1. The order book's winner is found by its token, or by
-- its name where no list knows the token: `winning_slot` is -1 without a winner, -2 when not found.
CREATE OR REPLACE VIEW market_verdicts {on_cluster}
(
    condition_id    String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    token_ids       Array(String) COMMENT 'tokens by slot: decimal text',
    status          LowCardinality(String) COMMENT 'status of the resolution, empty when it is unknown',
    is_disputed     UInt8 COMMENT '1: the resolution is under dispute',
    resolution_told Array(Float64) COMMENT 'payouts of a resolution that is final, as delivered',
    gamma_prices    Array(Float64) COMMENT 'prices of Gamma by slot',
    gamma_told      Array(Float64) COMMENT 'the same of a market that Gamma calls resolved',
    names           Array(String) COMMENT 'outcomes as the list shows them',
    names_by_slot   Array(String) COMMENT 'outcomes by slot',
    winning_slot    Int64 COMMENT 'slot of the winner of the order book, -1 without one, -2 when its token is unknown',
    sort_names      Array(String) COMMENT 'outcomes in order of the alphabet',
    possible        Array(Array(Float64)) COMMENT 'payouts of the resolution and of Gamma, empty where they are not one dollar in all',
    by_resolutions  Array(Float64) COMMENT 'USD a share of each outcome pays by the resolution, empty when it does not say',
    by_gamma        Array(Float64) COMMENT 'the same by the prices of Gamma',
    by_order_book   Array(Float64) COMMENT 'the same by the winner of the order book',
    is_impossible   UInt8 COMMENT '1: a source pays what is not one dollar in all',
    is_open         Bool COMMENT 'the list still showed the market open',
    is_pending      Bool COMMENT 'Gamma shows it closed, and its result to come',
    resolved_at     Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was resolved, UTC, NULL when unknown',
    payouts         Array(Float64) COMMENT 'what counts: USD that a share of each outcome pays, empty while unresolved'
) AS
SELECT
    listed.condition_id != '' ? listed.condition_id : resolution.condition_id AS condition_id,
    token_ids,
    resolution.status AS status,
    resolution.status IN ('challenged', 'disputed', 'reproposed', 'arbitration') AS is_disputed,
    resolution.status = 'resolved' ? resolution.payouts : CAST([] AS Array(Float64)) AS resolution_told,
    length(gamma.3) = length(gamma_slots)
        ? arraySort((price, slot) -> slot, gamma.3, arrayResize(gamma_slots, length(gamma.3))) : gamma.3
        AS gamma_prices,
    gamma.4 ? gamma_prices : CAST([] AS Array(Float64)) AS gamma_told,
    (in_gamma ? gamma.2 : book.2) AS names,
    names = ['No', 'Yes'] ? ['Yes', 'No'] : names AS names_by_slot,
    multiIf(
        book.3 = 0, -1,
        has(token_ids, book.1[book.3] AS winning_token) AND winning_token != '',
            toInt32(indexOf(token_ids, winning_token)) - 1,
        (in_gamma OR sort_names = ['No', 'Yes']) AND countEqual(names_by_slot, book.2[book.3]) = 1,
            toInt32(indexOf(names_by_slot, book.2[book.3])) - 1,
        -2) AS winning_slot,
    arraySort(names) AS sort_names,
    arrayMap(told -> multiIf(
            length(told) < 2 OR arrayMin(told) < 0 OR abs(arraySum(told) - 1) > 0.01, [],
            arrayMax(told) >= 0.999, arrayMap(payout -> round(payout), told),
            told),
        [resolution_told, gamma_told]) AS possible,
    possible[1] AS by_resolutions,
    possible[2] AS by_gamma,
    winning_slot < 0 ? [] : arrayMap(slot -> toFloat64(slot = winning_slot),
        range(greatest(toInt32(length(gamma.2)), toInt32(length(book.2)), winning_slot + 1, 2)))
        AS by_order_book,
    arraySum(resolution_told) > 0 AND empty(by_resolutions)
        OR arraySum(gamma_told) > 0 AND empty(by_gamma) AS is_impossible,
    in_gamma AND NOT gamma.5 OR NOT in_gamma AND in_book AND NOT book.4 AS is_open,
    in_gamma AND gamma.5 AND NOT gamma.4 AND arraySum(gamma.3) > 0 AS is_pending,
    coalesce(resolution.resolved_at, gamma.6) AS resolved_at,
    -- The precedence: see market_payouts.
    multiIf(
        notEmpty(by_resolutions), by_resolutions,
        is_disputed, [],
        notEmpty(by_order_book) AND notEmpty(by_gamma),
            by_gamma[winning_slot + 1] > 0.5 ? by_order_book : CAST([] AS Array(Float64)),
        notEmpty(by_order_book), by_order_book,
        by_gamma
    ) AS payouts
FROM market_tokens AS listed
FULL OUTER JOIN
(
    SELECT condition_id, status, payouts, resolved_at FROM api_resolutions
) AS resolution ON resolution.condition_id = listed.condition_id
SETTINGS join_use_nulls = 0;

-- One row per condition, resolved ones only. Precedence: the resolution; else, unless that is under
-- dispute, the order book's winner and Gamma's prices. Of these two the winner counts, where the
-- prices do not favour another outcome: then nobody knows, and the market counts as unresolved.
CREATE OR REPLACE VIEW market_payouts {on_cluster}
(
    condition_id  String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    payouts       Array(Float64) COMMENT 'USD that a share of each outcome pays, by outcome index',
    payout_source LowCardinality(String) COMMENT 'who says so: resolutions, order book or gamma',
    resolved_at   Nullable(DateTime64(0, 'UTC')) COMMENT 'when it was resolved, UTC, NULL when unknown'
) AS
SELECT
    condition_id, payouts,
    multiIf(notEmpty(by_resolutions), 'resolutions', notEmpty(by_order_book), 'order book', 'gamma')
        AS payout_source,
    resolved_at
FROM market_verdicts
WHERE notEmpty(payouts);

-- Markets of which the sources do not say the same, each with the first of these that holds:
--   impossible  a source pays what is not one dollar in all
--   token       the order book's winner is a token of which no list says what it stands for
--   payouts     two sources pay differently
--   open        one says resolved, and the list still showed the market open when it was read
--   unresolved  one says resolved, and another that the result is still to come or under dispute
-- The last two pass by themselves when the lists and resolutions are read again.
CREATE OR REPLACE VIEW resolution_disagreements {on_cluster}
(
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    disagreement   String COMMENT 'what differs: impossible, token, payouts, open or unresolved',
    by_resolutions Array(Float64) COMMENT 'USD a share of each outcome pays by /v2/resolutions, empty when it does not say',
    by_gamma       Array(Float64) COMMENT 'the same by the prices of Gamma',
    by_order_book  Array(Float64) COMMENT 'the same by the winner of the order book'
) AS
SELECT
    condition_id,
    multiIf(
        is_impossible, 'impossible',
        winning_slot = -2, 'token',
        differ, 'payouts',
        is_open, 'open',
        'unresolved') AS disagreement,
    notEmpty(by_resolutions) ? by_resolutions : resolution_told AS by_resolutions,
    notEmpty(by_gamma) ? by_gamma : gamma_told AS by_gamma,
    by_order_book
FROM
(
    SELECT *,
        arrayFilter(told -> notEmpty(told), [by_resolutions, by_gamma, by_order_book]) AS voices,
        arrayExists(one -> arrayExists(other -> arrayMax(arrayMap((a, b) -> abs(a - b),
            arrayResize(one, 8), arrayResize(other, 8))) > 0.001, voices), voices) AS differ
    FROM market_verdicts
)
WHERE is_impossible OR winning_slot = -2 OR differ
    OR notEmpty(voices) AND (is_open OR is_pending OR status NOT IN ('', 'resolved'));
