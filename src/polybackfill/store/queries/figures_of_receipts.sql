SELECT count() AS units, sum(any_rows) AS rows, sum(any_pages) AS pages,
    sum(any_rejected) AS rejected, min(first) AS first_second, max(last) AS last_second,
    countIf(ended IS NOT NULL) AS ends_seen, min(ended) AS first_end, max(ended) AS last_end,
    max(behind_s) AS lag_s, countIf(behind_s IS NULL) AS lags_unknown,
    toString(max(recorded)) AS newest
FROM (
    SELECT any(rows) AS any_rows, any(pages) AS any_pages, any(rejected) AS any_rejected,
        min(first_second) AS first, max(last_second) AS last, max(end_second) AS ended,
        max(lag_s) AS behind_s, max(at) AS recorded
    FROM {units} WHERE kind IN ({kinds}) AND state = 'done' GROUP BY unit
)
