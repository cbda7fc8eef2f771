"""The check that ties plan, ledger and tables together: what is called done left rows behind."""

from __future__ import annotations

from typing import Any

from polybackfill.store import client, plan_table
from polybackfill.views import receipt_table, verdicts

# A unit of several keys is expected as a whole: its receipt counts the rows of all of them.
_SHORT = """
SELECT unit, any(of_kind) AS kind, groupArray(3)(concat('0x', key)) AS keys,
    any(receipt.rows) AS counted, sum(stored.rows) AS found
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
# What was read again has more rows than its first receipt counts, which would hide a loss. Of such
# keys the rows are compared second by second: of the first receipt those up to the last row it saw,
# of the newest window those inside. A walk that was taken up again may have counted a row twice.
_SHORT_OF_WINDOW = """
SELECT unit, '{kind}' AS kind, groupUniqArray(3)(concat('0x', key)) AS keys,
    any(receipt.rows) AS counted, countIf(here AND second BETWEEN first AND last) AS found
FROM (
    SELECT unit, key, rows, ifNull(since, 0) AS first,
        least(ifNull(until, {never}), ifNull(last_second, {never})) AS last
    FROM {units}
    WHERE kind = '{kind}' AND state = 'done' AND NOT partial AND attempts = 1
        AND if(whole, unit IN (
            SELECT unit FROM {units} WHERE kind = '{kind}' AND whole AND key IN (
                SELECT key FROM {units} WHERE kind = '{kind}' AND NOT whole)),
        until = (SELECT max(until) FROM {units} WHERE kind = '{kind}' AND NOT whole))
) AS receipt
LEFT JOIN ({rows}) AS stored USING (key)
GROUP BY unit HAVING found < counted
ORDER BY counted - found DESC, keys
"""
_NEVER = 2**62
# All keys of the units that share a key with what was read again.
_BATCHES = """(
    SELECT key FROM {units} WHERE kind = '{kind}' AND unit IN (
        SELECT unit FROM {units} WHERE kind = '{kind}' AND key IN (
            SELECT key FROM {units} WHERE kind = '{kind}' AND NOT whole))
)"""
_ROWS = {
    "conditions": """
SELECT condition_id AS key, toInt64(toUnixTimestamp(trade_timestamp)) AS second, true AS here
FROM external_trades_raw WHERE condition_id IN {batches}
""",
    "wallets": """
SELECT wallet_address AS key, toInt64(toUnixTimestamp(trade_timestamp)) AS second, true AS here
FROM external_trades_raw WHERE wallet_address IN {batches}
UNION ALL
SELECT wallet_address AS key, toInt64(toUnixTimestamp(activity_timestamp)) AS second, true AS here
FROM wallet_activity_raw WHERE wallet_address IN {batches}
""",
}
_COMPARED = """
SELECT uniqExact(unit) AS compared FROM {units}
WHERE state = 'done' AND whole AND NOT partial AND kind IN ('conditions', 'wallets')
"""
_UNPROVEN = """
SELECT {key} AS key FROM {table}
WHERE status = 'done'
    AND key NOT IN (SELECT key FROM {units} WHERE kind = '{kind}' AND state = 'done' AND whole)
"""


async def _short(store: client.Store, units: str) -> list[dict[str, Any]]:
    """Units of which the tables hold fewer rows than were counted, a thousand of a sort at most."""
    statements = [_SHORT.format(units=units)]
    for kind, rows in _ROWS.items():
        batches = _BATCHES.format(units=units, kind=kind)
        stored = rows.format(batches=batches)
        statements.append(
            _SHORT_OF_WINDOW.format(units=units, kind=kind, rows=stored, never=_NEVER)
        )
    found: dict[int, dict[str, Any]] = {}
    for statement in statements:
        for row in await store.rows(f"{statement} LIMIT 1000"):
            found.setdefault(row.pop("unit"), row)
    return list(found.values())


async def _without_checkpoint(store: client.Store, name: str, claim: str) -> verdicts.Verdict:
    """Nothing to compare before the first run; after it, a checkpoint that is lost."""
    evidence = {
        f"{kind}_done_without_receipt": (await plan_table.PlanTable(store).counts(kind))["done"]
        for kind in plan_table.TABLES
    }
    if not any(evidence.values()):
        return verdicts.Verdict(
            name, claim, "skipped", advice="there is no checkpoint yet: polybackfill run"
        )
    return verdicts.judged(
        name,
        claim,
        holds=False,
        evidence=evidence,
        advice="the checkpoint is lost: put it back, or fetch everything again, which adds no row "
        "twice: polybackfill plan reset --all, polybackfill run",
    )


async def receipts(scene: verdicts.Scene) -> verdicts.Verdict:
    """Every key the plan calls done has a receipt, and the rows receipts count are there."""
    name = "receipts"
    claim = "each key the plan calls done has a receipt, and the tables hold the rows it counts"
    if scene.ledger is None:
        return await _without_checkpoint(scene.store, name, claim)
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
        short = await _short(scene.store, units)
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
