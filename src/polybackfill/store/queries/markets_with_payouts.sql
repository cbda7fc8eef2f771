-- What a share of each outcome pays and costs, in 10^-12 USD; empty while a market is unresolved,
-- and where Gamma shows no price.
SELECT
    condition_id, toString(d.category) AS category, d.start_date AS start_date,
    coalesce(v.resolved_at, d.end_date) AS ended, v.is_disputed AS is_disputed,
    d.is_hidden AS is_hidden,
    v.token_keys AS token_keys,
    arrayMap(p -> toInt128(round(if(abs(p) < 1e3, p, 0) * 1e12)), v.payouts) AS payouts,
    arrayMap(p -> toInt128(round(if(abs(p) < 1e3, p, 0) * 1e12)), v.list_prices) AS list_rates
FROM
(
    SELECT condition_id, category, start_date, end_date,
        condition_id IN (
            SELECT condition_id FROM api_market_rows
            WHERE source = 'gamma' AND (NOT active OR archived)) AS is_hidden
    FROM markets_dim
) AS d
FULL OUTER JOIN
(
    SELECT condition_id, arrayMap(token -> cityHash64(token), token_ids) AS token_keys, payouts,
        notEmpty(payouts) ? resolved_at : NULL AS resolved_at,
        is_disputed OR empty(payouts) AND (notEmpty(by_resolutions) OR notEmpty(by_gamma)
            OR notEmpty(by_order_book) OR is_impossible OR winning_slot = -2) AS is_disputed,
        arraySum(gamma_prices) > 0 ? gamma_prices : [] AS list_prices
    FROM market_verdicts
) AS v USING (condition_id)
