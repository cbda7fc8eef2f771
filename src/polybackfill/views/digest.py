"""One number for a whole table, whatever the order of its rows, that counts repeats.

The sum, modulo 2^64, over all rows of the first eight bytes (big endian) of the MD5 of
`tx|wallet|token|side|micro-shares|epoch second`. Anyone can compute it from the API's rows.
"""

from __future__ import annotations

_DIGEST = "toString(sum(reinterpretAsUInt64(reverse(substring(MD5({text}), 1, 8)))))"

_TRADE = (
    "concat(tx_hash, '|', wallet_address, '|', token_id, '|', side, '|', "
    "toString(toInt64(round(shares * 1e6))), '|', toString(toUnixTimestamp(trade_timestamp)))"
)
_ACTIVITY = (
    "concat(tx_hash, '|', wallet_address, '|', condition_id, '|', token_id, '|', activity_type, "
    "'|', toString(toInt64(round(shares * 1e6))), '|', "
    "toString(toUnixTimestamp(activity_timestamp)))"
)

TRADES = " ".join(
    ["SELECT count() AS rows,", _DIGEST.format(text=_TRADE), "AS digest FROM external_trades_raw"]
)
ACTIVITY = " ".join(
    [
        "SELECT count() AS rows,",
        _DIGEST.format(text=_ACTIVITY),
        "AS digest FROM wallet_activity_raw",
    ]
)
DUPLICATES = (
    "SELECT external_trade_id, count() AS copies FROM external_trades_raw "
    "GROUP BY external_trade_id HAVING copies > 1"
)
