"""One number for a whole table, whatever the order of its rows, that counts repeats.

The sum, modulo 2^64, over all rows of the first eight bytes (big endian) of the MD5 of one line of
text, for a trade `tx|wallet|token|side|micro-shares|epoch second`. Anyone can compute it from the
API's rows.
"""

from __future__ import annotations

from polybackfill.kinds import registry, stored_table

_DIGEST = "toString(sum(reinterpretAsUInt64(reverse(substring(MD5({text}), 1, 8)))))"


def _digest_query(table: stored_table.StoredTable, digest: stored_table.Digest) -> str:
    text = _DIGEST.format(text=digest.row)
    return f"SELECT count() AS rows, {text} AS digest FROM {table.shown} WHERE {digest.where}"


# What people call the rows → SQL of the digest of all of them.
TABLES = {
    table.digest.name: _digest_query(table, table.digest)
    for table in registry.TABLES
    if table.digest
}
TRADES = TABLES["trades"]
ACTIVITY = TABLES["activity"]
DUPLICATES = (
    "SELECT external_trade_id, count() AS copies FROM external_trades_raw "
    "GROUP BY external_trade_id HAVING copies > 1"
)
