-- Gamma's figure is the second witness: where it agrees with what is stored, the fault is not ours.
SELECT condition_id, volume, stored, gamma, closed,
    toUnixTimestamp(walked_at) AS walked_second,
    abs(stored - volume) > greatest({near_shares}, {near_share} * volume) AS differs,
    ifNull(abs(stored - gamma) <= {gamma_shares}, false) AS gamma_agrees
FROM
(
    SELECT condition_id, max(volume) AS volume FROM {told} GROUP BY condition_id
) AS told
INNER JOIN
(
    SELECT condition_id, ifNull(last_run_at, toDateTime(0)) AS walked_at
    FROM condition_backfill_plan WHERE status = 'done'
) AS plan USING (condition_id)
INNER JOIN
(
    SELECT condition_id, volume AS gamma, closed,
        ifNull(start_date, toDateTime64(0, 0, 'UTC')) AS start_date
    FROM api_markets_staging
) AS market USING (condition_id)
LEFT JOIN
(
    SELECT condition_id, sum(shares) / 2 AS stored
    FROM external_trades_raw FINAL GROUP BY condition_id
) AS trades USING (condition_id)
WHERE start_date >= walked_at - {window}
SETTINGS join_use_nulls = 0
