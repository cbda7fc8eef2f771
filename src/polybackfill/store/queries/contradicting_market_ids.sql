SELECT concat('0x', condition_id) AS condition, market_id, trades, known
FROM (
    SELECT condition_id, market_id, count() AS trades
    FROM external_trades_raw WHERE market_id != ''
    GROUP BY condition_id, market_id
) AS stored
LEFT JOIN (
    SELECT condition_id, groupUniqArray(market_id) AS known
    FROM api_market_rows WHERE market_id != '' GROUP BY condition_id
) AS listed USING (condition_id)
WHERE NOT match(market_id, '^[0-9]+$') OR (notEmpty(known) AND NOT has(known, market_id))
