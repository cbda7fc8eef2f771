"""What the lists and the readings of positions brought is still there, row by row."""

from __future__ import annotations

from typing import Any

from polybackfill.checks import check_result
from polybackfill.kinds import registry

_STORED = " UNION ALL ".join(
    f"SELECT {table.noted_key} AS key FROM {table.stored}"
    for table in registry.TABLES
    if table.noted_key
)
_COUNTED = [table.noted_counts for table in registry.TABLES if table.noted_counts]
_NOTED = ", ".join(
    [
        "SELECT (SELECT uniqExact(cityHash64(key)) FROM ingested_keys) AS list_rows",
        *(f"({counts.rows}) AS {counts.name}" for counts in _COUNTED),
    ]
)
_PARTS = [
    part
    for part, kinds in registry.PARTS.items()
    if any(table.noted_key or table.noted_counts for table in kinds[0].tables)
]
# Compared by hashes: two million keys of a hundred bytes each would fill the memory.
LOST = f"""
SELECT DISTINCT key FROM ingested_keys
WHERE cityHash64(key) NOT IN (SELECT cityHash64(key) FROM ({_STORED}))
"""


async def lists(context: check_result.CheckContext) -> check_result.CheckResult:
    """Every market, event and resolution that landed is stored, and every position of a wallet."""
    name = "lists"
    claim = "each market, event, resolution and position that was stored once is still there"
    (noted,) = await context.store.rows(_NOTED)
    if not any(noted.values()):
        return check_result.CheckResult(
            name, claim, "skipped", advice="no list is read yet: polybackfill run markets events"
        )
    (counted,) = await context.store.rows(f"SELECT count() AS n FROM ({LOST})")
    examples: list[dict[str, Any]] = []
    if counted["n"]:
        examples = await context.store.rows(
            f"SELECT key AS lost, 1 AS landed, 0 AS stored FROM ({LOST}) ORDER BY key "
            f"LIMIT {check_result.EXAMPLES}"
        )
    short, lost = [], {}
    for counts in _COUNTED:
        rows = await context.store.rows(f"SELECT * FROM ({counts.lost}) ORDER BY lost")
        lost[f"{counts.name}_lost"] = sum(row["landed"] - row["stored"] for row in rows)
        short += rows
    return check_result.pass_or_fail(
        name,
        claim,
        holds=not counted["n"] and not short,
        evidence={**noted, "list_rows_lost": counted["n"], **lost},
        examples=[*examples, *short[: check_result.EXAMPLES]],
        advice=f"fetch the lost rows again: polybackfill run {' '.join(_PARTS)}",
    )
