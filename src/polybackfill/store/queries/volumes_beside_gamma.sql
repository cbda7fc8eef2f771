-- A market is comparable when its walk is proven and covers all its life, and when nothing was added
-- to the volume after the walk: the market is closed, or its row is older than the walk. FINAL keeps
-- a repeated row, which is another check's finding, out of the sum.
SELECT
    condition_id,
    volume,
    stored,
    proven,
    proven AND gamma AND start_date >= walked_at - {window}
        AND (closed OR walked_at >= read_at) AS comparable,
    abs(stored - volume) > greatest({near_shares}, {near_share} * volume) AS differs
FROM (
    SELECT condition_id, volume, closed, has(sources, 'gamma') AS gamma, timestamp AS read_at,
        ifNull(start_date, toDateTime64(0, 0, 'UTC')) AS start_date
    FROM api_markets_staging
) AS markets
INNER JOIN (
    SELECT condition_id, status = 'done' AS proven,
        ifNull(last_run_at, toDateTime(0)) AS walked_at
    FROM condition_backfill_plan
) AS plan USING (condition_id)
LEFT JOIN (
    SELECT condition_id, sum(shares) / 2 AS stored
    FROM external_trades_raw FINAL GROUP BY condition_id
) AS trades USING (condition_id)
