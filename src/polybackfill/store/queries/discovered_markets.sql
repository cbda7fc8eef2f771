-- What an earlier version or a person has stored beyond `coerce.AMOUNT_LIMIT` is no figure.
INSERT INTO condition_backfill_plan
    (condition_id, trade_count, notional, priority_rank, source)
SELECT condition_id, toUInt64(usd * 2 / {shares}), usd,
    (SELECT max(priority_rank) FROM condition_backfill_plan)
        + row_number() OVER (ORDER BY usd DESC, condition_id),
    'found in api_markets_staging'
FROM
(
    SELECT condition_id, if(volume BETWEEN 0 AND {limit}, assumeNotNull(volume), 0) AS usd
    FROM api_markets_staging
)
WHERE condition_id NOT IN (SELECT condition_id FROM condition_backfill_plan) AND {fence}
