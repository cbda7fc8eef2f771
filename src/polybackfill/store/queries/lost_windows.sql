-- Windows whose seconds hold fewer stored fills than their walk has brought.
SELECT unit FROM
(
    SELECT unit, any(rows) AS brought,
        toUInt32OrZero(splitByString('..', any(key))[1]) AS since,
        toUInt32OrZero(splitByString('..', any(key))[2]) AS until
    FROM {units} WHERE kind = 'recent-trades' AND state = 'done' GROUP BY unit
) AS windows
CROSS JOIN
(
    SELECT groupArray(second) AS seconds, groupArray(fills) AS fills FROM
    (
        SELECT toUnixTimestamp(trade_timestamp) AS second, count() AS fills
        FROM external_trades_raw
        WHERE toUnixTimestamp(trade_timestamp) >= (
            SELECT min(toUInt32OrZero(splitByString('..', key)[1])) FROM {units}
            WHERE kind = 'recent-trades' AND state = 'done')
        GROUP BY second
    )
) AS stored
WHERE brought > arraySum(arrayMap(
    (second, count) -> if(second BETWEEN since AND until, count, 0), seconds, fills))
