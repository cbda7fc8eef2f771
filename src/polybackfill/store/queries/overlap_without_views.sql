-- The overlap counted without the views: fills of transactions both sides hold, key by key.
SELECT sum(least(internal, external)) AS overlap
FROM (
    SELECT countIf(is_internal) AS internal, countIf(NOT is_internal) AS external
    FROM (
        SELECT wallet_address, condition_id, tx_hash, asset_id_decimal AS token,
            toString(side) AS side, shares, true AS is_internal
        FROM pm_fills
        UNION ALL
        SELECT wallet_address, condition_id, tx_hash, token_id AS token,
            toString(side) AS side, shares, false AS is_internal
        FROM external_trades_raw
        WHERE sipHash64(tx_hash) IN (SELECT sipHash64(tx_hash) FROM pm_fills)
    )
    GROUP BY sipHash128(wallet_address, condition_id, tx_hash, token, side,
        toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6)))
)
