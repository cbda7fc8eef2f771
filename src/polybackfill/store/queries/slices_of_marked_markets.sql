-- Marked markets in their order, cut where so many of their fills are full; without those whose
-- candles have each fill: of no candle there are ever fewer fills.
SELECT min(condition_id) AS first, max(condition_id) AS last, count() AS markets
FROM (
    SELECT condition_id,
        intDiv(sum(fills) OVER (ORDER BY condition_id) - 1, {fills:UInt64}) AS slice
    FROM (
        SELECT condition_id, count() AS fills FROM external_trades_raw
        WHERE condition_id IN (SELECT condition_id FROM candle_marks) GROUP BY condition_id
    )
    WHERE (condition_id, fills) NOT IN (
        SELECT condition_id, sum(fills) FROM trade_candle_rows FINAL
        WHERE interval_s = 60 AND condition_id IN (SELECT condition_id FROM candle_marks)
        GROUP BY condition_id
    )
)
GROUP BY slice ORDER BY first
