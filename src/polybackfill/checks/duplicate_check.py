"""The check that nothing is there twice, under its own key or under another one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from polybackfill import records
from polybackfill.checks import check_result, sql_partitions, table_digest
from polybackfill.kinds import registry
from polybackfill.store import client, plan_table, query_files

_KEYS = {table.shown: table.key for table in registry.TABLES} | dict(plan_table.TABLES.values())
_MOST_FILLS = 1_000_000  # equal fills compared in one part of the table
_EQUAL = query_files.read("equal_fills")


async def duplicates(context: check_result.CheckContext) -> check_result.CheckResult:
    """No key twice in any table, and no fill twice under two keys."""
    evidence, examples = {}, []
    for table, key in _KEYS.items():
        repeated = f"SELECT {key} AS key, count() AS copies FROM {table} GROUP BY key "
        repeated += "HAVING copies > 1"
        if table == "external_trades_raw":
            repeated = table_digest.DUPLICATES
        counted = await context.store.rows(f"SELECT count() AS n FROM ({repeated})")
        evidence[table] = counted[0]["n"]
        if evidence[table]:
            copies = await context.store.rows(f"{repeated} LIMIT {check_result.EXAMPLES}")
            examples += [{"table": table, **row} for row in copies]
    equal = await _equal_fills(context.store)
    foreign = [example for row in equal for example in _under_foreign_ids(row)]
    return check_result.pass_or_fail(
        "duplicates",
        "no table shows a key twice to a plain SELECT, and no fill stands there under two ids",
        holds=not any(evidence.values()) and not foreign,
        evidence={
            "rows_with_a_repeated_key": sum(evidence.values()),
            **{f"repeated_in_{table}": count for table, count in evidence.items()},
            "equal_fills": len(equal),
            "fills_under_foreign_ids": len(foreign),
        },
        examples=[*examples, *foreign[: check_result.EXAMPLES]],
        advice="rows were inserted past the landing tables; OPTIMIZE TABLE … FINAL drops copies "
        "that are equal in the table's order; what has a foreign id goes with DELETE FROM "
        "external_trades_raw WHERE external_trade_id = '…'",
    )


async def _equal_fills(store: client.Store) -> list[dict[str, Any]]:
    """Groups of fills that only their ids tell apart; such fills are real, see `records`."""
    (stored,) = await store.rows("SELECT count() AS n FROM external_trades_raw")
    examples: list[dict[str, Any]] = []
    for part in sql_partitions.list_conditions(stored["n"]):
        examples += await store.rows(
            _EQUAL.format(source=records.SOURCE, part=part, most=_MOST_FILLS)
        )
    return examples


def _under_foreign_ids(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of a group whose id is not the one that so many equal fills bear."""
    ids: Sequence[str] = sorted(set(row["ids"]))
    equal_ids = records.ids_of_equal_trades(
        records.trade_id(
            row["tx_hash"],
            row["wallet_address"],
            row["token_id"],
            row["side"],
            row["micro_shares"] / records.MICRO,
            row["second"],
        ),
        len(ids),
    )
    for foreign_id in ids:
        if foreign_id not in equal_ids:
            yield {
                "table": "external_trades_raw",
                "external_trade_id": str(uuid.UUID(foreign_id)),
                "wallet": f"0x{row['wallet_address']}",
                "transaction": f"0x{row['tx_hash']}",
                "equal_fills": len(row["ids"]),
            }
