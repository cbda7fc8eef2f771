"""What a run that follows reads again in each round: markets and wallets of which something is
stored that is newer than what was read of them, and the wallets at the top of the plan.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from polybackfill.store import client, plan_table

_CHUNK = 5_000
_DAY_S = 86_400
# Rows of a wallet may show days late; of a followed market its trades are found by the feed of all.
_OVERLAP_S = _DAY_S

# `{column}`: of the trades. Only those of the last days are looked at: each round sees its own.
_TRADED = """
SELECT {column} AS key, toUnixTimestamp(max(trade_timestamp)) AS seen_at FROM external_trades_raw
WHERE trade_timestamp >= toDateTime({{after:UInt32}}) GROUP BY {column}
"""
_ACTIVE = """
SELECT key, read_until FROM
(
    SELECT {key} AS key, toUnixTimestamp(ifNull(read_until, toDateTime(0))) AS read_until
    FROM {table} WHERE status = 'done'
) AS plan
INNER JOIN ({traded}) AS traded USING (key)
WHERE seen_at > read_until
"""
_TOP = """
SELECT {key} AS key, toUnixTimestamp(ifNull(read_until, toDateTime(0))) AS read_until
FROM {table} WHERE status = 'done' ORDER BY priority_rank, {key} LIMIT {{most:UInt32}}
"""
_LISTED = """
SELECT key, toUnixTimestamp(
        toStartOfDay(toDateTime(greatest(read_until, {overlap_s}) - {overlap_s}, 'UTC'))) AS since
FROM ({keys}) WHERE (since, key) > ({{since:UInt32}}, {{last:String}})
GROUP BY key, read_until ORDER BY since, key LIMIT {{chunk:UInt32}}
"""


@dataclass(frozen=True)
class Choice:
    """`after`: trades since this second are looked at; `most`: so many of the top of the plan."""

    after: int
    most: int = 0


async def list_active(
    store: client.Store, kind: str, choice: Choice
) -> AsyncIterator[tuple[int, list[str]]]:
    """Keys of a plan, with the second (a day's first) from which on they are read again."""
    table, key = plan_table.TABLES[kind]
    column = key
    keys = _ACTIVE.format(key=key, table=table, traded=_TRADED.format(column=column))
    if choice.most:
        keys = f"{keys} UNION DISTINCT SELECT * FROM ({_TOP.format(key=key, table=table)})"
    sql = _LISTED.format(overlap_s=_OVERLAP_S, keys=keys)
    since, last = 0, ""
    while True:
        rows = await store.rows(
            sql,
            parameters={
                "after": choice.after,
                "most": choice.most,
                "since": since,
                "last": last,
                "chunk": _CHUNK,
            },
        )
        if not rows:
            return
        for day, of_day in itertools.groupby(rows, key=lambda row: int(row["since"])):
            yield day, [row["key"] for row in of_day]
        since, last = int(rows[-1]["since"]), rows[-1]["key"]
