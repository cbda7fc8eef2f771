-- What was applied stands before what is listed, Gamma's list before others, then the newest market.
SELECT condition_id, argMax(market_id, better) AS market
FROM
(
    SELECT condition_id, market_id, (2, version, toUInt64(0)) AS better
    FROM condition_market_id_rows FINAL WHERE {applied}
    UNION ALL
    SELECT condition_id, market_id, (toUInt8(source = 'gamma'),
        version, toUInt64OrZero(market_id)) AS better
    FROM api_market_rows WHERE market_id != '' AND length(condition_id) = 64 AND {listed}
)
GROUP BY condition_id
