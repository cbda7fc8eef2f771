"""Check that nothing the API delivered lies in quarantine instead of in its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from polybackfill.checks import check_result
from polybackfill.polymarket import market_lookup
from polybackfill.store import client

_REASONS = """
SELECT reason, count() AS rows, toString(max(rejected_at)) AS newest FROM quarantine FINAL
WHERE reason != {unknown:String} GROUP BY reason ORDER BY rows DESC, reason
"""
_BY_KIND = """
SELECT splitByChar(':', unit)[1] AS kind, count() AS rows,
    countIf(unit IN {units:Array(String)}) AS of_units
FROM quarantine FINAL WHERE reason != {unknown:String} GROUP BY kind
"""


class Aside(NamedTuple):
    """Rows of a kind that lie in quarantine now, all of them and those of the units asked for."""

    rows: int = 0
    of_units: int = 0


async def by_kind(store: client.Store, units: Sequence[str] = ()) -> dict[str, Aside]:
    """What lies in quarantine, by kind of unit; `units`: ids. A condition that nobody knows is
    noted beside the rows, and is none.
    """
    parameters = {"unknown": market_lookup.UNKNOWN, "units": list(units)}
    rows = await store.rows(_BY_KIND, parameters=parameters)
    return {row["kind"]: Aside(row["rows"], row["of_units"]) for row in rows}


async def by_reason(store: client.Store) -> list[dict[str, Any]]:
    """What lies in quarantine, by `reason`: `rows`, and when the `newest` came."""
    return await store.rows(_REASONS, parameters={"unknown": market_lookup.UNKNOWN})


async def set_aside(context: check_result.CheckContext) -> check_result.CheckResult:
    """Rows that could not be read are in no table; a condition nobody knows is not one of them."""
    reasons = await by_reason(context.store)
    rows = sum(row["rows"] for row in reasons)
    return check_result.pass_or_fail(
        "set-aside",
        "every row the API delivered could be read",
        holds=not rows,
        evidence={"rows_set_aside": rows, "reasons": len(reasons)},
        examples=reasons[: check_result.EXAMPLES],
        advice="see them: polybackfill quarantine list; read them by this version: polybackfill "
        "quarantine replay",
    )
