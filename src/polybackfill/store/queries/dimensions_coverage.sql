-- The fields of the seed's report; `traded` are the conditions of all wallets with trades.
SELECT
    (SELECT uniqExact(condition_id) FROM trades_for_pnl)
        AS total_conditions_across_qualified_wallets,
    countIf(traded AND market_id != '') AS conditions_with_valid_market_id,
    countIf(traded) AS conditions_in_markets_dim,
    countIf(traded AND event_id != '') AS markets_with_event_id,
    (SELECT count() FROM events_dim) AS unique_events_in_events_dim,
    (SELECT countIf(category != {none:String}) FROM events_dim) AS events_with_category,
    count() AS markets_in_markets_dim,
    countIf(category != {none:String}) AS markets_with_category,
    countIf(notEmpty(payouts)) AS markets_with_payouts
FROM
(
    SELECT *, condition_id IN (SELECT condition_id FROM trades_for_pnl) AS traded
    FROM markets_dim
)
