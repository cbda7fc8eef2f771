SELECT concat('0x', key) AS key, max(done) AS is_proven,
    max(in_error) AND NOT is_proven AS is_failed,
    max(begun) AND NOT is_proven AND NOT is_failed AS is_open, max(message) AS error, 0 AS weight,
    0 AS rank
FROM (
    SELECT DISTINCT key, false AS done, false AS in_error, false AS begun, '' AS message
    FROM ({keys})
    UNION ALL
    SELECT key, true AS done, false AS in_error, false AS begun, '' AS message FROM ({settled})
    UNION ALL
    SELECT key, state = 'done' AS done, state = 'error' AS in_error, state = 'open' AS begun,
        error AS message
    FROM {units} WHERE kind = '{kind}'
)
GROUP BY key
