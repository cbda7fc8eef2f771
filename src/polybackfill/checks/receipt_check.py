"""The check that ties plan, checkpoint and tables together: what is done has left rows behind."""

from __future__ import annotations

from typing import Any

from polybackfill.checks import check_result, lost_rows, receipt_table
from polybackfill.store import plan_table

_COMPARED = """
SELECT uniqExact(unit) AS compared FROM {units}
WHERE state = 'done' AND whole AND NOT partial AND kind IN ('conditions', 'wallets')
"""
_UNPROVEN = """
SELECT {key} AS key FROM {table}
WHERE status = 'done'
    AND key NOT IN (SELECT key FROM {units} WHERE kind = '{kind}' AND state = 'done' AND whole)
"""


_ADVICE = (
    "fetch them again, which adds no row twice: polybackfill plan reset --wallet W (or "
    "--condition-id ID, or --all), polybackfill run"
)


async def receipts(context: check_result.CheckContext) -> check_result.CheckResult:
    """Every key the plan calls done has a receipt, and the rows receipts count are there."""
    name = "receipts"
    claim = "each key the plan calls done has a receipt, and the tables hold the rows it counts"
    evidence: dict[str, Any] = {}
    examples: list[dict[str, Any]] = []
    async with receipt_table.filled(context.store, context.checkpoint) as units:
        for kind, (table, key) in plan_table.TABLES.items():
            unproven = _UNPROVEN.format(key=key, table=table, units=units, kind=kind)
            counted = await context.store.rows(f"SELECT count() AS n FROM ({unproven})")
            evidence[f"{kind}_done_without_receipt"] = counted[0]["n"]
            examples += [
                {"kind": kind, "key": f"0x{row['key']}", "receipt": "none"}
                for row in await context.store.rows(f"{unproven} ORDER BY key LIMIT 5")
            ]
        short = [loss.example for loss in await lost_rows.short(context.store, units)]
        compared = await context.store.rows(_COMPARED.format(units=units))
        any_unit = await context.store.rows(f"SELECT 1 FROM {units} LIMIT 1")
    if context.checkpoint is None and not any_unit and not examples:
        return check_result.CheckResult(
            name, claim, "skipped", advice="there is no receipt yet: polybackfill run"
        )
    evidence |= {"units_compared": compared[0]["compared"], "units_with_rows_missing": len(short)}
    return check_result.pass_or_fail(
        name,
        claim,
        holds=not examples and not short,
        evidence=evidence,
        examples=[*examples, *short[: check_result.EXAMPLES]],
        advice=_ADVICE,
    )
