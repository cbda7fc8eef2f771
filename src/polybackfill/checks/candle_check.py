"""Candles say what the stored fills say, made from them once more."""

from __future__ import annotations

from typing import Any

from polybackfill.checks import check_result, sql_partitions
from polybackfill.store import query_files

NAME = "candles"
# Sums of the same numbers in another order.
_ROUNDING = 1e-9
_MADE = query_files.read("candles_of_fills")
_WAITING = "condition_id IN (SELECT condition_id FROM candle_marks)"
_DIFFERENT = f"""
SELECT condition_id, token_id, interval_s, started_at,
    maxIf(fills, is_stored) AS fills_of_candle, maxIf(fills, NOT is_stored) AS fills_stored
FROM (
    SELECT *, true AS is_stored FROM trade_candles WHERE {{part}} AND NOT {_WAITING}
    UNION ALL
    SELECT *, false AS is_stored FROM ({{made}})
)
GROUP BY condition_id, token_id, interval_s, started_at
HAVING count() != 2 OR min(open) != max(open) OR min(high) != max(high) OR min(low) != max(low)
    OR min(close) != max(close) OR min(fills) != max(fills)
    OR max(shares) - min(shares) > {_ROUNDING} * greatest(1, max(shares))
    OR max(volume) - min(volume) > {_ROUNDING} * greatest(1, max(volume))
"""


async def compare_candles(context: check_result.CheckContext) -> check_result.CheckResult:
    """Every candle equals the one that the fills make; markets that wait for it are counted."""
    claim = "every candle holds the fills of its minute, hour or day, each of them once"
    store = context.store
    (counted,) = await store.rows(
        "SELECT (SELECT count() FROM external_trades_raw) AS fills, "
        "(SELECT count() FROM trade_candles) AS candles, "
        "(SELECT uniqExact(condition_id) FROM candle_marks) AS markets_waiting"
    )
    if not counted["candles"]:
        return check_result.CheckResult(
            NAME, claim, "skipped", advice="no candle is made yet: polybackfill run"
        )
    different, examples = 0, list[dict[str, Any]]()
    for part in sql_partitions.list_conditions(counted["fills"]):
        made = _MADE.format(chosen=f"{part} AND NOT {_WAITING}")
        question = _DIFFERENT.format(part=part, made=made)
        (row,) = await store.rows(f"SELECT count() AS n FROM ({question})")
        different += row["n"]
        if row["n"] and not examples:
            examples = await store.rows(f"{question} LIMIT {check_result.EXAMPLES}")
    return check_result.pass_or_fail(
        NAME,
        claim,
        holds=not different,
        evidence={
            "candles": counted["candles"],
            "markets_waiting": counted["markets_waiting"],
            "candles_that_differ": different,
        },
        examples=examples,
        advice="fills were changed past the program; polybackfill sql 'TRUNCATE TABLE "
        "trade_candle_rows', and the next run makes all candles anew",
    )
