-- Fills by day before the day of the walk, trades of combos apart.
SELECT intDiv(toUnixTimestamp(at), 86400) AS day, is_combo, count() AS trade_count,
    sum(size) AS volume
FROM (
    SELECT trade_timestamp AS at, shares AS size, false AS is_combo FROM external_trades_raw
    WHERE wallet_address = {wallet:String}
    UNION ALL
    SELECT activity_timestamp AS at, shares AS size, true AS is_combo FROM wallet_activity_raw
    WHERE wallet_address = {wallet:String} AND activity_type = 'TRADE'
)
WHERE day < {end:UInt32}
GROUP BY day, is_combo
