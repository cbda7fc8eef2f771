-- Of a plan, its keys and those that were fetched without standing in it.
SELECT concat('0x', key) AS key, max(done) AS is_proven,
    max(in_error) AND NOT is_proven AS is_failed,
    max(begun) AND NOT is_proven AND NOT is_failed AS is_open, max(message) AS error,
    max(trade_count) AS weight, min(priority_rank) AS rank
FROM (
    SELECT {key} AS key, false AS done, false AS in_error, false AS begun, '' AS message,
        trade_count, priority_rank
    FROM {table} WHERE status != 'skip'
    UNION ALL
    SELECT key, state = 'done' AS done, state = 'error' AS in_error, state = 'open' AS begun,
        error AS message, 0 AS trade_count, 4294967295 AS priority_rank
    FROM {units} WHERE kind = '{kind}' AND whole
)
GROUP BY key
