-- `outcome`: -1 unknown, -2 for cash alone. What no fill can be (see `polymarket.fields`; other
-- hands may have stored it) counts as nothing; 64 bits hold the rest. A token of `redemptions` is its
-- hash, 0 when unknown: the text of 77 digits, joined to each wallet and market, took a tenth of all.
WITH ({tokens}) AS token
SELECT
    wallet_address, condition_id, toInt64(toUnixTimestamp(trade_timestamp)) AS at,
    if(outcome_index >= 0, toInt32(outcome_index), transform(token_id, token.1, token.2, -1))
        AS outcome,
    CAST(if(side = 'BUY', 'buy', 'sell'), '{kinds}') AS kind, true AS is_fill,
    if(side = 'BUY', 1, -1) * {micro} AS micro,
    toInt64(round(if(abs(usd) < 9e9, usd, 0) * 1e9)) AS usd_nano, false AS is_unknown,
    toInt64(round(if(abs(fees) < 9e9, fees, NULL) * 1e6)) AS fee,
    CAST(NULL, 'Nullable(Float64)') AS price,
    CAST([], 'Array(Tuple(Int64, Array(UInt64)))') AS redemptions
FROM trades_for_pnl
WHERE condition_id != ''
UNION ALL
SELECT
    wallet_address, condition_id, toInt64(toUnixTimestamp(at)) AS at,
    outcome, CAST(kind, '{kinds}') AS kind, false AS is_fill, {micro} AS micro,
    toInt64(round(if(abs(ifNull(usd, 0)) < 9e9, abs(ifNull(usd, 0)), 0) * 1e9)) AS usd_nano,
    isNull(usd) AS is_unknown,
    CAST(NULL, 'Nullable(Int64)') AS fee, CAST(NULL, 'Nullable(Float64)') AS price,
    [] AS redemptions
FROM wallet_activity_changes
UNION ALL
SELECT
    wallet_address, condition_id, toInt64(0) AS at, toInt32(-2) AS outcome,
    CAST('redemption', '{kinds}') AS kind, false AS is_fill, toInt64(0) AS micro,
    toInt64(0) AS usd_nano, false AS is_unknown, CAST(NULL, 'Nullable(Int64)') AS fee,
    CAST(NULL, 'Nullable(Float64)') AS price,
    arrayMap(one -> (one.1, arrayMap(token -> if(token = '', 0, cityHash64(token)), one.2)),
        told.redemptions) AS redemptions
FROM redemptions_told AS told
UNION ALL
SELECT
    wallet_address, condition_id, toInt64(0) AS at, toInt32(outcome) AS outcome,
    CAST('position', '{kinds}') AS kind, false AS is_fill, {listed} AS micro,
    toInt64(0) AS usd_nano, false AS is_unknown, CAST(NULL, 'Nullable(Int64)') AS fee,
    current_price AS price, [] AS redemptions
FROM api_positions_staging
WHERE size > 0
UNION ALL
SELECT
    wallet_address,
    if(activity_type = 'MIGRATION' AND NOT is_combo, condition_id, '') AS condition_id,
    toInt64(0) AS at, toInt32(-2) AS outcome,
    CAST(multiIf(is_combo, 'combos', activity_type = 'MIGRATION', 'migration', 'unknown activity'),
        '{kinds}') AS kind,
    false AS is_fill, toInt64(0) AS micro, toInt64(0) AS usd_nano, false AS is_unknown,
    CAST(NULL, 'Nullable(Int64)') AS fee, CAST(NULL, 'Nullable(Float64)') AS price,
    [] AS redemptions
FROM wallet_activity_raw
WHERE is_combo OR activity_type NOT IN ({known_types})
