SELECT wallet AS key, count() AS trade_count,
    sum(toInt128(round(if(isFinite(value), least(abs(value), 1e18), 0) * 1e6))) / 1e6 AS notional
FROM (
    SELECT replaceRegexpOne(lower({wallet}), '^0x', '') AS wallet,
        ifNull(toFloat64({value}), 0) AS value
    FROM {table}
)
WHERE match(wallet, '^[0-9a-f]{{40}}$') AND wallet NOT IN ({contracts})
GROUP BY wallet ORDER BY notional DESC, wallet {limit}
