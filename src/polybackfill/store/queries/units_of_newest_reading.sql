-- Of a list, the units of its newest reading; those that were never begun are in no checkpoint.
SELECT concat(kind, ' ', key) AS key, best = 3 AS is_proven, best = 1 AS is_failed,
    best = 2 AS is_open,
    error, 0 AS weight, 0 AS rank
FROM (
    SELECT kind, key, max(multiIf(state = 'done', 3, state = 'open', 2, 1)) AS best,
        max(error) AS error
    FROM {units}
    WHERE kind IN ({kinds})
        AND (kind, reading) IN (SELECT kind, max(reading) FROM {units} GROUP BY kind)
    GROUP BY kind, key
)
