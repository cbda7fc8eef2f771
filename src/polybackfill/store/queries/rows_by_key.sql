-- Rows of each key, as the receipts of both kinds count them.
SELECT 'conditions' AS kind, condition_id AS key, count() AS rows,
    toInt64(toUnixTimestamp(max(trade_timestamp))) AS newest
FROM external_trades_raw GROUP BY key
UNION ALL
SELECT 'wallets' AS kind, key, sum(rows) AS rows, max(newest) AS newest FROM (
    SELECT wallet_address AS key, count() AS rows,
        toInt64(toUnixTimestamp(max(trade_timestamp))) AS newest
    FROM external_trades_raw GROUP BY key
    UNION ALL
    SELECT wallet_address AS key, count() AS rows,
        toInt64(toUnixTimestamp(max(activity_timestamp))) AS newest
    FROM wallet_activity_raw GROUP BY key
) GROUP BY key
