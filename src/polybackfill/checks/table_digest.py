"""One number for a whole table, whatever the order of its rows, that counts repeats.

The sum, modulo 2^64, over all rows of the first eight bytes (big endian) of the MD5 of one line of
text, for a trade `tx|wallet|token|side|micro-shares|epoch second`. Anyone can compute it from the
API's rows.
"""

from __future__ import annotations

_DIGEST = "toString(sum(reinterpretAsUInt64(reverse(substring(MD5({text}), 1, 8)))))"

_TRADE = (
    "concat(tx_hash, '|', wallet_address, '|', token_id, '|', side, '|', "
    "toString(toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))), '|', "
    "toString(toUnixTimestamp(trade_timestamp)))"
)
_ACTIVITY = (
    "concat(tx_hash, '|', wallet_address, '|', condition_id, '|', token_id, '|', activity_type, "
    "'|', toString(toInt64(round(if(abs(shares) < 1e12, shares, 0) * 1e6))), '|', "
    "toString(toUnixTimestamp(activity_timestamp)))"
)

_MARKET = (
    "concat(condition_id, '|', market_id, '|', market_slug, '|', toString(toUInt8(closed)), '|', "
    "toString(toUInt8(resolved)), '|', ifNull(toString(winning_outcome), ''))"
)
_EVENT = (
    "concat(event_id, '|', event_slug, '|', toString(toUInt8(closed)), '|', "
    "arrayStringConcat(arraySort(x -> toUInt64OrZero(x), market_ids), ','))"
)
_POSITION = (
    "concat(wallet_address, '|', condition_id, '|', toString(outcome), '|', asset_id, '|', "
    "if(status = 'CLOSED', 'CLOSED', 'OPEN'), '|', "
    "toString(toInt64(round(if(abs(size) < 1e12, size, 0) * 1e6))))"
)
_RESOLUTION = (
    "concat(condition_id, '|', arrayStringConcat("
    "arrayMap(x -> toString(toInt64(round(if(abs(x) < 1e12, x, 0) * 1e6))), payouts), ','))"
)


def _digest_query(text: str, table: str) -> str:
    return f"SELECT count() AS rows, {_DIGEST.format(text=text)} AS digest FROM {table}"


MARKETS = _digest_query(_MARKET, "api_markets_staging")
EVENTS = _digest_query(_EVENT, "api_events_staging")
POSITIONS = _digest_query(_POSITION, "api_positions_staging")
RESOLUTIONS = _digest_query(_RESOLUTION, "api_resolutions WHERE status = 'resolved'")
TRADES = _digest_query(_TRADE, "external_trades_raw")
ACTIVITY = _digest_query(_ACTIVITY, "wallet_activity_raw")
TABLES = {
    "markets": MARKETS,
    "events": EVENTS,
    "trades": TRADES,
    "activity": ACTIVITY,
    "positions": POSITIONS,
    "resolutions": RESOLUTIONS,
}
DUPLICATES = (
    "SELECT external_trade_id, count() AS copies FROM external_trades_raw "
    "GROUP BY external_trade_id HAVING copies > 1"
)
