"""What was read to its end and may have grown since: markets then open, wallets with news.

They are read again from three days before the newest second that was read, since rows may show days
late, so that a walk from the newest row back ends among stored rows.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

from polybackfill.store import client, plan_table

_CHUNK = 5_000
LATE_S = 3 * 86_400


def _believed(column: str, otherwise: str) -> str:
    """The second a plan's column holds, `otherwise` where it lies in the future: a clock was ahead
    once, and what happened since must not count as read.
    """
    second = f"toUInt32(ifNull({column}, toDateTime(0)))"
    return f"if({second} > {{now:UInt32}}, {otherwise}, {second})"


_READ_UNTIL = _believed("held.read_until", "0")
_RAN_AT = "toUInt32(ifNull(last_run_at, toDateTime(0)))"
_NOT_THIS_RUN = f"({_RAN_AT} < {{began:UInt32}} OR {_RAN_AT} > {{now:UInt32}})"
_OF_LIST = f"""({{listed_only:UInt8}} = 0 OR wallet_address IN (
            SELECT wallet_address FROM wallet_backfill_plan WHERE {plan_table.IS_LISTED}))"""
_IS_READ = f"""status = 'done' AND {_NOT_THIS_RUN}
        AND ({{listed_only:UInt8}} = 0 OR {plan_table.IS_LISTED})"""
# Rows may show days late: a market counts as open for so long after it closed. A walk that took
# several attempts may have begun long before it ended; then its newest row counts.
MARKETS = f"""
SELECT condition_id AS key, read_until
FROM
(
    SELECT condition_id, {_READ_UNTIL} AS read_until,
        if(attempts > 1, read_until, {_believed("last_run_at", "read_until")}) AS seen_at
    FROM condition_backfill_plan AS held WHERE {_IS_READ}
) AS plan
INNER JOIN
(
    SELECT condition_id, closed, closed_at FROM api_markets_staging
) AS market USING (condition_id)
WHERE NOT closed OR isNull(closed_at) OR toUnixTimestamp(closed_at) + {LATE_S} > seen_at
"""
# Of which a trade or a change of a position is stored that is newer than what was read.
WALLETS = f"""
SELECT wallet_address AS key, read_until
FROM
(
    SELECT wallet_address, {_READ_UNTIL} AS read_until
    FROM wallet_backfill_plan AS held WHERE {_IS_READ}
) AS plan
INNER JOIN
(
    SELECT wallet_address, max(seen_at) AS seen_at
    FROM
    (
        SELECT wallet_address, toUnixTimestamp(max(trade_timestamp)) AS seen_at
        FROM external_trades_raw WHERE {_OF_LIST} GROUP BY wallet_address
        UNION ALL
        SELECT wallet_address, toUnixTimestamp(max(last_event_at)) AS seen_at
        FROM api_position_rows WHERE {_OF_LIST} GROUP BY wallet_address
    )
    GROUP BY wallet_address
) AS seen USING (wallet_address)
WHERE seen_at > read_until
"""
_LISTED = """
SELECT key,
    toUnixTimestamp(
        toStartOfDay(toDateTime(greatest(read_until, {late_s}) - {late_s}, 'UTC'))) AS since
FROM ({found})
WHERE (since, key) > ({{since:UInt32}}, {{after:String}})
ORDER BY since, key LIMIT {{chunk:UInt32}}
"""


async def list_stale(
    store: client.Reader, keys_query: str, *, began: int, now: int, listed_only: bool = False
) -> AsyncIterator[tuple[int, list[str]]]:
    """Keys of `MARKETS` or `WALLETS` that were read before `began`, with the second from which on
    they are read again, the longest quiet first. `began`, `now`: epoch seconds; what the plan says
    of a later time is not believed. `listed_only`: none but those of planned lists.
    """
    since, after = 0, ""
    while True:
        rows = await store.rows(
            _LISTED.format(found=keys_query, late_s=LATE_S),
            parameters={
                "began": began,
                "now": now,
                "listed_only": int(listed_only),
                "since": since,
                "after": after,
                "chunk": _CHUNK,
            },
        )
        if not rows:
            return
        for day, keys in itertools.groupby(rows, key=lambda row: int(row["since"])):
            yield day, [row["key"] for row in keys]
        since, after = int(rows[-1]["since"]), rows[-1]["key"]


async def count(
    store: client.Store, keys_query: str, *, began: int, now: int, listed_only: bool = False
) -> int:
    """How many keys `listed` names now."""
    bounds = {"began": began, "now": now, "listed_only": int(listed_only)}
    rows = await store.rows(f"SELECT count() AS n FROM ({keys_query})", parameters=bounds)
    return int(rows[0]["n"])
