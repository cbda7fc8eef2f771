"""The check that ties plan, ledger and tables together: what is called done left rows behind."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from polybackfill.store import client, plan_table
from polybackfill.views import verdicts
from polybackfill.work import ledger as ledgers
from polybackfill.work import transitions, units

_CHUNK_ROWS = 100_000
_SCRATCH = """
CREATE TABLE {name} (unit UInt32, kind LowCardinality(String), key String, expected UInt64)
ENGINE = MergeTree ORDER BY (kind, key)
"""
# A unit of several keys is expected as a whole: its receipt counts the rows of all of them.
_SHORT = """
SELECT any(kind) AS kind, groupArray(3)(concat('0x', key)) AS keys, max(expected) AS receipt,
    sum(rows) AS stored
FROM {scratch} AS receipts
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
GROUP BY unit HAVING stored < receipt
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
    for kind in plan_table.TABLES:
        done, unproven = await _unproven(scene.store, scene.ledger, kind)
        evidence[f"{kind}_done"] = done
        evidence[f"{kind}_done_without_receipt"] = len(unproven)
        examples += [
            {"kind": kind, "key": f"0x{key}", "receipt": "none"}
            for key in unproven[: verdicts.EXAMPLES]
        ]
    units_seen, short = await _short(scene.store, scene.ledger)
    evidence |= {"units_compared": units_seen, "units_with_rows_missing": len(short)}
    return verdicts.judged(
        name,
        claim,
        holds=not examples and not short,
        evidence=evidence,
        examples=[*examples, *short[: verdicts.EXAMPLES]],
        advice="fetch them again: polybackfill plan reset --wallet W (or --condition-id ID), "
        "polybackfill run",
    )


async def _unproven(
    store: client.Store, ledger: ledgers.Ledger, kind: str
) -> tuple[int, list[str]]:
    """Keys the plan calls done, and those among them without a receipt of the whole history."""
    done, unproven = 0, []
    async for rows in plan_table.PlanTable(store).load(kind, statuses=("done",), chunk=50_000):
        done += len(rows)
        unproven += [row.key for row in rows if not ledger.is_done(kind, row.key)]
    return done, unproven


async def _short(store: client.Store, ledger: ledgers.Ledger) -> tuple[int, list[dict[str, Any]]]:
    """How many units have been compared, and those of which fewer rows are stored than counted."""
    scratch = f"validation_receipts_{uuid.uuid4().hex}"
    await store.command(_SCRATCH.format(name=scratch))
    try:
        numbers = itertools.count(1)
        lines = _lines(numbers, ledger.receipts())
        while chunk := list(itertools.islice(lines, _CHUNK_ROWS)):
            await store.insert(scratch, b"\n".join(chunk), rows=len(chunk))
        short = await store.rows(
            f"{_SHORT.format(scratch=scratch)} ORDER BY receipt - stored DESC, keys LIMIT 1000"
        )
    finally:
        await store.command(f"DROP TABLE IF EXISTS {scratch}")
    return next(numbers) - 1, short


def _lines(numbers: Iterator[int], found: Iterable[transitions.Receipt]) -> Iterator[bytes]:
    """One line for each key of each receipt that speaks of whole histories and of all its keys."""
    for receipt in found:
        unit = receipt.unit
        if unit.kind not in plan_table.TABLES or unit.window != units.FULL_HISTORY:
            continue
        if receipt.partial:
            continue
        number = next(numbers)
        for key in unit.keys:
            yield orjson.dumps(
                {
                    "unit": number,
                    "kind": unit.kind,
                    "key": key,
                    "expected": receipt.counts.rows,
                }
            )
