-- The same of the dimensions, which fill what trades lack.
SELECT concat('0x', condition_id) AS condition, market_id, dimension, known
FROM (
    SELECT condition_id, market_id, 'markets_dim' AS dimension FROM markets_dim
    UNION ALL
    SELECT condition_id, market_id, 'condition_market_map' AS dimension FROM condition_market_map
) AS stored
INNER JOIN (
    SELECT condition_id, groupUniqArray(market_id) AS known
    FROM api_market_rows WHERE market_id != '' GROUP BY condition_id
) AS listed USING (condition_id)
WHERE market_id != '' AND NOT has(known, market_id)
