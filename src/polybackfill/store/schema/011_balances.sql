-- What every activity but a trade does to a wallet's tokens and cash, and what it leaves behind. Each
-- view reads the one before it once: ClickHouse puts the text of a view wherever it is named.

-- Markets of which exactly one pays Yes, in one order: `family` is their negative-risk market, else
-- their event; members are (condition, Yes, No, when it joined: epoch second, 0 when unknown).
CREATE OR REPLACE VIEW market_families {on_cluster}
(
    family  String COMMENT 'negative-risk market, else the event with its name before it, empty when unknown',
    members Array(Tuple(String, String, String, Int64)) COMMENT 'markets of the family in order: condition, Yes, No, epoch second in which it joined (0: unknown)'
) AS
SELECT
    multiIf(neg_risk_market != '', neg_risk_market, event.neg_risk_market_id != '',
        event.neg_risk_market_id, event_id != '', concat('event ', event_id), '') AS family,
    arraySort(groupArray((condition_id, tokens[if(names = ['No', 'Yes'], 2, 1)],
        tokens[if(names = ['No', 'Yes'], 1, 2)], joined_at))) AS members
FROM
(
    SELECT condition_id,
        argMaxIf((token_ids, outcomes), (source = 'gamma', version), length(token_ids) > 1) AS listed,
        listed.1 AS tokens, listed.2 AS names,
        argMaxIf(neg_risk_market_id, version, neg_risk_market_id != '') AS neg_risk_market,
        argMaxIf(event_id, version, event_id != '') AS event_id,
        toInt64(ifNull(toUnixTimestamp(coalesce(argMaxIf(created_at, version, isNotNull(created_at)),
            argMaxIf(start_date, version, isNotNull(start_date)))), 0)) AS joined_at
    FROM api_market_rows
    WHERE condition_id != ''
    GROUP BY condition_id
) AS market
LEFT JOIN
(
    SELECT event_id, argMax(neg_risk_market_id, version) AS neg_risk_market_id
    FROM api_event_rows GROUP BY event_id
) AS event ON event.event_id = market.event_id
WHERE family != '' AND notEmpty(tokens)
GROUP BY family
SETTINGS join_use_nulls = 0;

-- Conversions as the chain makes them (NegRiskAdapter.convertPositions): `micro` millionths of a
-- share of No leave each market of a set, as many of Yes come of each other market of the family, and
-- for each No beyond the first its USD. The API keys its rows by the negative-risk market, or by one
-- or by each market of the set; rows of one transaction and size are one conversion. `named` are the
-- places of the markets that rows name, `size` how many the set has by the cash told, 0 when nothing
-- tells it.
CREATE OR REPLACE VIEW conversions_told {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    family         String COMMENT 'negative-risk market, else the event with its name before it, empty when unknown',
    transaction    String COMMENT 'the transaction, or id of the row where that is unknown',
    at             Int64 COMMENT 'epoch second',
    key            String COMMENT 'condition that the row names',
    members        Array(Tuple(String, String, String, Int64)) COMMENT 'markets of the family in order: condition, Yes, No, epoch second in which it joined (0: unknown)',
    named          Array(UInt64) COMMENT 'places in the family, from 1, of the markets that rows name',
    times          UInt64 COMMENT 'how often the transaction does it',
    micro          Int64 COMMENT 'shares of each No, in millionths',
    rate           Nullable(Float64) COMMENT 'most USD a share that a row tells, NULL when none does',
    whole_rate     Nullable(Float64) COMMENT 'USD a share of all its rows',
    size           UInt64 COMMENT 'number of No by the cash told, 0 when nothing tells it'
) AS
SELECT
    wallet_address, family, transaction, any(at) AS at, any(key) AS key, any(members) AS members,
    arraySort(groupUniqArrayIf(place, place > 0)) AS named,
    toUInt64(intDiv(count(), greatest(length(named), 1))) AS times,
    times * any(row_micro) AS micro,
    max(usd / shares) AS rate,
    sum(usd / shares) / times AS whole_rate,
    toUInt64(multiIf(
        notEmpty(named) AND (isNull(rate) OR rate < 0.001
            OR abs(rate - (length(named) - 1)) < 0.001 OR abs(whole_rate - (length(named) - 1)) < 0.001),
        length(named),
        isNull(rate) OR abs(rate - round(rate)) > 0.001, 0,
        round(rate) + 1)) AS size
FROM
(
    SELECT
        activity.wallet_address AS wallet_address, activity.condition_id AS key,
        if(tx_hash = '', toString(activity_id), tx_hash) AS transaction,
        toInt64(toUnixTimestamp(activity_timestamp)) AS at, shares, usdc_size AS usd,
        toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6)) AS row_micro,
        family, members,
        toUInt64(indexOf(arrayMap(member -> member.1, members), key)) AS place
    FROM wallet_activity_raw AS activity
    LEFT JOIN
    (
        SELECT family, members,
            arrayJoin(arrayPushBack(arrayMap(member -> member.1, members), family)) AS condition_id
        FROM market_families
        WHERE condition_id IN (
            SELECT condition_id FROM wallet_activity_raw
            WHERE activity_type = 'CONVERSION' AND NOT is_combo)
    ) AS keyed ON keyed.condition_id = activity.condition_id
    WHERE activity_type = 'CONVERSION' AND NOT is_combo AND shares > 0
)
GROUP BY wallet_address, family, transaction, row_micro
SETTINGS join_use_nulls = 0;

-- The same with the set: `burnt` are the places of its markets in the family. Where rows do not name
-- the whole set, it is what the wallet held enough No of at that moment, if that leaves no choice;
-- else it stays empty, an unmatched conversion. That is followed step by step for the wallets and
-- families that need it: (second, 0 before the conversions of the second, place, micro-shares,
-- transaction, size of the set, named).
CREATE OR REPLACE VIEW wallet_conversions {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    family         String COMMENT 'negative-risk market, else the event with its name before it, empty when unknown',
    members        Array(Tuple(String, String, String, Int64)) COMMENT 'markets of the family in order: condition, Yes, No, epoch second in which it joined (0: unknown)',
    transaction    String COMMENT 'the transaction, or id of the row where that is unknown',
    at             Int64 COMMENT 'epoch second',
    key            String COMMENT 'condition that the row names',
    micro          Int64 COMMENT 'shares of each No, in millionths',
    burnt          Array(UInt64) COMMENT 'places in the family, from 1, of the markets whose No left, empty when unmatched'
) AS
SELECT
    wallet_address, family, members, told.1 AS transaction, told.2 AS at, told.3 AS key, told.4 AS micro,
    if(is_open, arrayFirst(one -> one.1 = told.1 AND one.2 = told.4, sets).3, told.6) AS burnt
FROM
(
    SELECT
        wallet_address, family, any(members) AS members, any(is_open) AS is_open,
        any(conversions) AS conversions,
        arrayFold(
            (state, step) -> step.5 = ''
                ? (arrayMap((held, place) -> place = step.3 ? held + step.4 : held, state.1,
                    arrayEnumerate(state.1)), state.2)
                : arrayMap(enough -> arrayMap(burnt -> (
                        arrayMap((held, place) -> has(burnt, place) ? held - step.4 : held, state.1,
                            arrayEnumerate(state.1)),
                        arrayPushBack(state.2, (step.5, step.4, burnt))),
                    [multiIf(
                        length(step.7) = step.6, step.7,
                        length(enough) = step.6 AND step.6 > 0, enough,
                        length(enough) = greatest(length(step.7), 1) AND (step.6 = 0 OR notEmpty(step.7)),
                        enough,
                        CAST([] AS Array(UInt64)))])[1],
                -- A hundredth of a share less is enough: the API lists no smaller fill.
                [arrayFilter(place -> state.1[place] >= step.4 - 10000 OR has(step.7, place),
                    arrayMap(place -> toUInt64(place), arrayEnumerate(state.1)))])[1],
            arraySort(arrayConcat(
                groupArrayIf((at, toUInt8(0), place, change, '', toUInt64(0), CAST([] AS Array(UInt64))),
                    change != 0),
                arrayMap(told -> (told.2, toUInt8(1), toUInt64(0), told.4, told.1, told.5, told.6),
                    is_open ? conversions : CAST([] AS Array(Tuple(String, Int64, String, Int64, UInt64, Array(UInt64))))))),
            (arrayMap(member -> toInt64(0), members),
                CAST([] AS Array(Tuple(String, Int64, Array(UInt64)))))).2 AS sets
    FROM
    (
        SELECT wallet_address, family, members, conversions, is_open, place,
            member.1 AS condition_id, member.3 AS token_id
        FROM
        (
            SELECT wallet_address, family, any(members) AS members,
                groupArray((transaction, at, key, toInt64(micro), size, named)) AS conversions,
                countIf(length(named) != size OR size = 0) > 0 AND family != '' AS is_open
            FROM conversions_told
            GROUP BY wallet_address, family
        )
        ARRAY JOIN is_open ? members : [('', '', '', toInt64(0))] AS member,
            is_open ? arrayMap(place -> toUInt64(place), arrayEnumerate(members)) : [toUInt64(0)] AS place
    ) AS converting
    LEFT JOIN
    (
        SELECT wallet_address, condition_id, token_id, toInt64(toUnixTimestamp(trade_timestamp)) AS at,
            if(side = 'SELL', -1, 1) * toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6)) AS change
        FROM external_trades_raw
        WHERE wallet_address IN (
            SELECT wallet_address FROM wallet_activity_raw WHERE activity_type = 'CONVERSION')
        UNION ALL
        SELECT wallet_address, condition_id, arrayJoin(if(activity_type = 'REDEEM', [token_id],
                arrayMap(row -> row.2, no_tokens))) AS token_id,
            toInt64(toUnixTimestamp(activity_timestamp)) AS at,
            if(activity_type = 'SPLIT', 1, -1)
            * toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6)) AS change
        FROM wallet_activity_raw
        LEFT JOIN
        (
            SELECT condition_id,
                [('', argMaxIf(token_ids[if(outcomes = ['No', 'Yes'], 1, 2)], (source = 'gamma', version),
                    length(token_ids) > 1))] AS no_tokens
            FROM api_market_rows
            WHERE condition_id IN (
                SELECT condition_id FROM wallet_activity_raw WHERE activity_type IN ('SPLIT', 'MERGE'))
            GROUP BY condition_id
        ) AS pairs USING (condition_id)
        WHERE activity_type IN ('SPLIT', 'MERGE', 'REDEEM') AND NOT is_combo AND wallet_address IN (
            SELECT wallet_address FROM wallet_activity_raw WHERE activity_type = 'CONVERSION')
    ) AS changes USING (wallet_address, condition_id, token_id)
    GROUP BY wallet_address, family
)
ARRAY JOIN conversions AS told
SETTINGS join_use_nulls = 0;

-- Changes of tokens and cash by everything that is no trade, one row per token and per payment
-- (`token_id` empty, `outcome` -2): the one place that says so. `shares` and `usd` are signed as the
-- wallet sees them. A split costs 1 USD for one of each outcome, a merge gives it back; a redemption
-- without a token takes what was paid of the winner. Deposits and withdrawals are the wallet's own
-- money, and not listed; an unmatched conversion changes nothing, and stands at each market it may
-- have touched.
CREATE OR REPLACE VIEW wallet_activity_changes {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x, empty for income of no market',
    token_id       String COMMENT 'the token that moved: decimal text, empty for cash',
    outcome        Int32 COMMENT 'place of the token in the market, from 0, -1 when unknown, and -2 for cash',
    kind           String COMMENT 'split, merge, redemption, conversion, unmatched conversion, reward, rebate or yield',
    shares         Float64 COMMENT 'shares that came, negative when they left, 6 decimals',
    usd            Nullable(Float64) COMMENT 'USD that came, negative when they left, NULL when unknown',
    at             DateTime('UTC') COMMENT 'second of the activity, UTC',
    tx_hash        String COMMENT 'the transaction: 64 hex digits, lower case, without 0x, empty when unknown'
) AS
WITH
    multiIf(activity_type = 'SPLIT', activity.shares, activity_type = 'MERGE', -activity.shares,
        activity.token_id != '', -activity.shares, -ifNull(usdc_size, activity.shares)) AS moved_shares
SELECT wallet_address, condition_id, change.1 AS token_id, change.2 AS outcome,
    multiIf(activity_type = 'REDEEM', 'redemption', endsWith(activity_type, 'REBATE'), 'rebate',
        endsWith(activity_type, 'REWARD'), 'reward', lower(activity_type)) AS kind,
    change.3 AS shares, change.4 AS usd, activity_timestamp AS at, tx_hash
FROM wallet_activity_raw AS activity
LEFT JOIN
(
    SELECT condition_id, token_ids, arrayMap((token, place) -> (token, toInt32(place - 1)), token_ids,
            arrayEnumerate(token_ids)) AS tokens,
        countEqual(payouts, 1) = 1 ? [tokens[indexOf(payouts, 1)]]
            : CAST([] AS Array(Tuple(String, Int32))) AS winner
    FROM market_verdicts
    WHERE condition_id IN (
        SELECT condition_id FROM wallet_activity_raw WHERE activity_type IN ('SPLIT', 'MERGE', 'REDEEM'))
) AS market ON market.condition_id = activity.condition_id
ARRAY JOIN arrayPushBack(
    arrayMap(token -> (token.1, token.2, moved_shares, toNullable(0.)),
        multiIf(
            activity_type IN ('SPLIT', 'MERGE'), tokens,
            activity_type != 'REDEEM', [],
            activity.token_id != '', [(activity.token_id, toInt32(indexOf(token_ids, activity.token_id)) - 1)],
            winner)),
    ('', toInt32(-2), 0., multiIf(
        activity_type = 'SPLIT', toNullable(-activity.shares),
        activity_type = 'MERGE', toNullable(activity.shares),
        activity_type = 'REDEEM', usdc_size,
        toNullable(ifNull(usdc_size, activity.shares))))) AS change
WHERE NOT is_combo AND activity_type IN ('SPLIT', 'MERGE', 'REDEEM', 'REWARD', 'REFERRAL_REWARD',
    'MAKER_REBATE', 'TAKER_REBATE', 'YIELD')
UNION ALL
SELECT wallet_address, moved.condition_id AS condition_id, moved.token_id AS token_id,
    moved.token_id = '' ? toInt32(-2) : toInt32(indexOf(token_ids, moved.token_id)) - 1 AS outcome,
    kind, shares, usd, at, tx_hash
FROM
(
    SELECT wallet_address, change.1 AS condition_id, change.2 AS token_id,
        empty(burnt) ? 'unmatched conversion' : 'conversion' AS kind, change.3 AS shares,
        toNullable(change.4) AS usd, toDateTime(at, 'UTC') AS at, transaction AS tx_hash
    FROM wallet_conversions
    ARRAY JOIN if(empty(burnt),
        arrayMap(condition -> (condition, '', 0., 0.),
            arrayDistinct(arrayPushBack(arrayMap(member -> member.1, members), key))),
        arrayConcat(
            arrayMap(place -> (members[place].1, members[place].3, -micro / 1e6, 0.), burnt),
            arrayMap(member -> (member.1, member.2, micro / 1e6, 0.), arrayFilter((member, place) ->
                NOT has(burnt, place) AND member.4 <= at, members, arrayEnumerate(members))),
            [(members[burnt[1]].1, '', 0., (length(burnt) - 1) * micro / 1e6)])) AS change
) AS moved
LEFT JOIN
(
    SELECT condition_id, token_ids FROM market_tokens
    WHERE condition_id IN (
        SELECT arrayJoin(arrayMap(member -> member.1, members)) FROM conversions_told)
) AS market ON market.condition_id = moved.condition_id
SETTINGS join_use_nulls = 0;

-- When a wallet redeemed in a market, and which of its tokens each redemption names.
CREATE OR REPLACE VIEW redemptions_told {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    redemptions    Array(Tuple(Int64, Array(String))) COMMENT 'second of each redemption, UTC, and its tokens, decimal text, empty when unknown'
) AS
SELECT wallet_address, condition_id, groupArray((at, tokens)) AS redemptions
FROM
(
    SELECT wallet_address, condition_id, groupUniqArray(token_id) AS tokens,
        toInt64(toUnixTimestamp(activity_timestamp)) AS at
    FROM wallet_activity_raw
    WHERE activity_type = 'REDEEM' AND NOT is_combo
    GROUP BY wallet_address, condition_id, tx_hash, activity_timestamp
)
GROUP BY wallet_address, condition_id;

-- Shares a wallet should hold by its trades, splits, merges, conversions and redemptions, beside what
-- the API says it holds. A redemption takes what it says of the winner, or of the tokens it names;
-- what lost is burnt with it. One that names no token burns everything while no single winner is
-- known; one that names a token leaves others that pay.
-- status  equal: within 0.001 share or a millionth (the API rounds to four digits)
--         lost: it differs, and the market has paid nothing for the token
--         unmatched conversion: the wallet converted in this family of markets, and not known what
--         unlisted: the API shows no position under 0.1 share, and none of an inactive market
--         short: more left the wallet than came in, as by a transfer that is no trade
--         differs
CREATE OR REPLACE VIEW vw_positions_reconciled {on_cluster}
(
    wallet_address String COMMENT 'the wallet: 40 hex digits, lower case, without 0x',
    condition_id   String COMMENT 'the condition (market): 64 hex digits, lower case, without 0x',
    token_id       String COMMENT 'the token of the outcome: decimal text, empty when unknown',
    net_shares     Float64 COMMENT 'shares the wallet should hold by its trades and activities, 6 decimals',
    api_shares     Float64 COMMENT 'shares the API lists, 6 decimals',
    difference     Float64 COMMENT 'api_shares minus net_shares',
    status         String COMMENT 'equal, lost, unmatched conversion, unlisted, short or differs',
    trades         UInt64 COMMENT 'number of trades',
    activities     UInt64 COMMENT 'number of activities',
    is_listed      UInt8 COMMENT '1: the API lists the position'
) AS
SELECT
    wallet_address, condition_id, token_id,
    round(multiIf(empty(redemptions), changed, arraySum(arrayMap(one -> one.1 > ended ? one.2 : 0., dated))), 6)
        AS net_shares,
    round(listed, 6) AS api_shares,
    round(api_shares - net_shares, 6) AS difference,
    multiIf(
        is_unmatched AND token_id = '', 'unmatched conversion',
        abs(difference) <= greatest(0.001, 1e-6 * abs(api_shares)), 'equal',
        is_lost AND net_shares >= 0, 'lost',
        is_unmatched, 'unmatched conversion',
        api_shares = 0 AND net_shares > 0 AND (net_shares < 0.1 OR condition_id IN (
            SELECT condition_id FROM api_market_rows
            WHERE source = 'gamma' AND (NOT active OR archived))), 'unlisted',
        api_shares = 0 AND net_shares < 0, 'short',
        'differs') AS status,
    trades, activities, is_listed
FROM
(
    SELECT held.*,
        indexOf(token_ids, token_id) AS place,
        place > 0 AND notEmpty(payouts) AND payouts[place] = 0 AS is_lost,
        place > 0 AND countEqual(payouts, 1) = 1 AND payouts[place] = 1 AS is_winner,
        place > 0 AND notEmpty(payouts) AND payouts[place] > 0 AS is_paid,
        -- The last redemption that ended the holding of this token, epoch second.
        arrayMax(arrayPushBack(arrayMap(one -> one.1, arrayFilter(one -> NOT has(one.2, token_id)
            AND NOT is_winner AND (has(one.2, '') OR NOT is_paid), redemptions)), 0)) AS ended
    FROM
    (
        SELECT *, max(unmatched) OVER (PARTITION BY wallet_address, condition_id) > 0 AS is_unmatched,
            count() OVER (PARTITION BY wallet_address, condition_id) AS lines
        FROM
        (
            SELECT wallet_address, condition_id, token_id, any(redeemed.redemptions) AS redemptions,
                sum(change) AS changed, groupArrayIf((at, change), notEmpty(redeemed.redemptions)) AS dated,
                sum(size) AS listed, countIf(origin = 'trade') AS trades,
                countIf(origin = 'activity') AS activities, countIf(origin = 'position') > 0 AS is_listed,
                countIf(origin = 'unmatched') AS unmatched
            FROM
            (
                SELECT wallet_address, condition_id, token_id, if(side = 'SELL', -shares, shares) AS change,
                    toInt64(toUnixTimestamp(trade_timestamp)) AS at, 0.0 AS size, 'trade' AS origin
                FROM external_trades_raw
                UNION ALL
                SELECT wallet_address, condition_id, token_id, shares AS change,
                    toInt64(toUnixTimestamp(at)) AS at, 0.0 AS size,
                    if(kind = 'unmatched conversion', 'unmatched', 'activity') AS origin
                FROM wallet_activity_changes WHERE token_id != '' OR kind = 'unmatched conversion'
                UNION ALL
                SELECT wallet_address, condition_id, asset_id AS token_id, 0.0 AS change, toInt64(0) AS at,
                    size, 'position' AS origin
                FROM api_positions_staging
            ) AS changes
            LEFT JOIN redemptions_told AS redeemed USING (wallet_address, condition_id)
            GROUP BY wallet_address, condition_id, token_id
        )
    ) AS held
    LEFT JOIN
    (
        SELECT condition_id, token_ids, payouts FROM market_verdicts
    ) AS market ON market.condition_id = held.condition_id
    WHERE token_id != '' OR unmatched = 0 OR lines = 1
)
SETTINGS join_use_nulls = 0;
