"""The check that ties plan, ledger and tables together: what is called done left rows behind."""

from __future__ import annotations

from typing import Any

from polybackfill.store import plan_table
from polybackfill.views import receipt_table, verdicts

# A unit of several keys is expected as a whole: its receipt counts the rows of all of them.
_SHORT = """
SELECT any(of_kind) AS kind, groupArray(3)(concat('0x', key)) AS keys, any(receipt.rows) AS counted,
    sum(stored.rows) AS found
FROM (
    SELECT unit, kind, kind AS of_kind, key, rows FROM {units}
    WHERE state = 'done' AND whole AND NOT partial AND kind IN ('conditions', 'wallets')
) AS receipt
LEFT JOIN (
    SELECT 'conditions' AS kind, condition_id AS key, count() AS rows
    FROM external_trades_raw GROUP BY key
    UNION ALL
    SELECT 'wallets' AS kind, key, sum(rows) AS rows FROM (
        SELECT wallet_address AS key, count() AS rows FROM external_trades_raw GROUP BY key
        UNION ALL
        SELECT wallet_address AS key, count() AS rows FROM wallet_activity_raw GROUP BY key
    ) GROUP BY key
) AS stored USING (kind, key)
GROUP BY unit HAVING found < counted
ORDER BY counted - found DESC, keys
"""
_COMPARED = """
SELECT uniqExact(unit) AS compared FROM {units}
WHERE state = 'done' AND whole AND NOT partial AND kind IN ('conditions', 'wallets')
"""
_UNPROVEN = """
SELECT {key} AS key FROM {table}
WHERE status = 'done'
    AND key NOT IN (SELECT key FROM {units} WHERE kind = '{kind}' AND state = 'done' AND whole)
"""


async def receipts(scene: verdicts.Scene) -> verdicts.Verdict:
    """Every key the plan calls done has a receipt, and the rows receipts count are there."""
    name = "receipts"
    claim = "each key the plan calls done has a receipt, and the tables hold the rows it counts"
    if scene.ledger is None:
        return verdicts.Verdict(
            name, claim, "skipped", advice="there is no checkpoint yet: polybackfill run"
        )
    evidence: dict[str, Any] = {}
    examples: list[dict[str, Any]] = []
    async with receipt_table.filled(scene.store, scene.ledger) as units:
        for kind, (table, key) in plan_table.TABLES.items():
            unproven = _UNPROVEN.format(key=key, table=table, units=units, kind=kind)
            counted = await scene.store.rows(f"SELECT count() AS n FROM ({unproven})")
            evidence[f"{kind}_done_without_receipt"] = counted[0]["n"]
            examples += [
                {"kind": kind, "key": f"0x{row['key']}", "receipt": "none"}
                for row in await scene.store.rows(f"{unproven} ORDER BY key LIMIT 5")
            ]
        short = await scene.store.rows(f"{_SHORT.format(units=units)} LIMIT 1000")
        compared = await scene.store.rows(_COMPARED.format(units=units))
    evidence |= {"units_compared": compared[0]["compared"], "units_with_rows_missing": len(short)}
    return verdicts.judged(
        name,
        claim,
        holds=not examples and not short,
        evidence=evidence,
        examples=[*examples, *short[: verdicts.EXAMPLES]],
        advice="fetch them again: polybackfill plan reset --wallet W (or --condition-id ID), "
        "polybackfill run",
    )
