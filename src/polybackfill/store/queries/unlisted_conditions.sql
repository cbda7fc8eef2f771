-- Conditions that the order book, an event or a trade shows, and Gamma's lists do not.
SELECT condition_id FROM
(
    SELECT condition_id FROM api_market_rows WHERE source != 'gamma'
    UNION DISTINCT SELECT arrayJoin(condition_ids) FROM api_event_rows
    UNION DISTINCT SELECT condition_id FROM external_trades_raw
)
WHERE condition_id > {after:String} AND condition_id != ''
    AND condition_id NOT IN (SELECT condition_id FROM api_market_rows WHERE source = 'gamma')
ORDER BY condition_id LIMIT {chunk:UInt32}
