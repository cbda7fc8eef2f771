-- Fills, USD and wallets of each source by key; what both hold is the internal source's.
-- Added up in millionths, since a sum of floats depends on the order of its parts.
SELECT {key} AS key, toInt64(count()) AS internal, toInt64(0) AS external,
    sum(toInt128(round(if(abs(collateral_amount) < 1e15, abs(collateral_amount), 0) * 1e6)))
        AS internal_micro,
    toInt128(0) AS external_micro, {wallets} AS internal_wallets,
    toUInt64(0) AS external_wallets,
    max(question) AS question
FROM pm_fills GROUP BY key
UNION ALL
SELECT {key} AS key, toInt64(0) AS internal, toInt64(count()) AS external,
    toInt128(0) AS internal_micro,
    sum(toInt128(round(if(abs(cash_value) < 1e15, cash_value, 0) * 1e6))) AS external_micro,
    toUInt64(0) AS internal_wallets,
    {wallets} AS external_wallets, max(market_question) AS question
FROM external_trades_raw GROUP BY key
UNION ALL
SELECT {key} AS key, toInt64(0) AS internal, -toInt64(count()) AS external,
    toInt128(0) AS internal_micro,
    -sum(toInt128(round(if(abs(cash_value) < 1e15, cash_value, 0) * 1e6))) AS external_micro,
    toUInt64(0) AS internal_wallets,
    toUInt64(0) AS external_wallets, '' AS question
FROM {shared} GROUP BY key
