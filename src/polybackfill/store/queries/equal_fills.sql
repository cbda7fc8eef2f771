-- Fills that are equal in all their identity is made of. First by what costs little to read, then,
-- of the few that are left, by the rest.
WITH cityHash64(wallet_address, trade_timestamp, shares) AS alike
SELECT tx_hash, wallet_address, token_id, toString(side) AS side,
    toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6)) AS micro_shares,
    toUnixTimestamp(trade_timestamp) AS second,
    groupArray(replaceAll(toString(external_trade_id), '-', '')) AS ids
FROM external_trades_raw
PREWHERE {part} AND alike IN (
    SELECT alike FROM external_trades_raw WHERE {part} GROUP BY alike HAVING count() > 1
)
WHERE source = '{source}'
GROUP BY tx_hash, wallet_address, token_id, side, micro_shares, second HAVING count() > 1
LIMIT {most}
