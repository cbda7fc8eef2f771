-- Events with a market whose trades were read to their end.
SELECT DISTINCT toUInt32(event_id) AS event FROM
(
    SELECT event_id, arrayJoin(condition_ids) AS condition_id FROM api_event_rows
    UNION ALL
    SELECT event_id, condition_id FROM api_market_rows WHERE source = 'gamma'
)
WHERE match(event_id, '^[0-9]{1,10}$') AND toUInt64(event_id) BETWEEN 1 AND {most:UInt32}
    AND toUInt64(event_id) > {after:UInt32}
    AND condition_id IN (SELECT condition_id FROM condition_backfill_plan WHERE status = 'done')
ORDER BY event LIMIT {chunk:UInt32}
