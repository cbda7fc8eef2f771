"""Tables that are made anew as a whole: filled beside the old one, then exchanged with it.

Readers see the old rows or the new ones, never a table that is missing or half full. A crash leaves
at most a `…_fresh` table behind, which the next rebuild drops.
"""

from __future__ import annotations

from collections.abc import Mapping

from polybackfill.store import client, definitions


async def rebuild(
    store: client.Store,
    selects: Mapping[str, str],
    *,
    parameters: client.Parameters | None = None,
) -> None:
    """Fill every table of `selects` by its SELECT, then exchange all.

    A SELECT names every column that has no DEFAULT, in any order, and no other.

    A SELECT that reads another table of `selects` reads its old rows, and its new ones under the
    name `fresh(table)`. Not for two callers at once. Raises what the store raises.
    """
    where = definitions.on_cluster(store.address.cluster)
    for table, select in selects.items():
        await store.command(f"DROP TABLE IF EXISTS {fresh(table)} {where} SYNC")
        await store.command(f"CREATE TABLE {fresh(table)} {where} AS {table}")
        columns = await _columns(store, table)
        await store.command(
            f"INSERT INTO {fresh(table)} ({columns}) SELECT {columns} FROM ({select})",
            parameters=parameters,
        )
    for table in selects:
        await store.command(f"EXCHANGE TABLES {table} AND {fresh(table)} {where}")
    for table in selects:
        await store.command(f"DROP TABLE {fresh(table)} {where} SYNC")


def fresh(table: str) -> str:
    """The table beside `table` that will take its place."""
    return f"{table}_fresh"


async def _columns(store: client.Store, table: str) -> str:
    """Not by DESCRIBE of the SELECT: the largest takes a second to be analysed."""
    rows = await store.rows(
        "SELECT name FROM system.columns WHERE database = currentDatabase() "
        "AND table = {table:String} AND default_kind = '' ORDER BY position",
        parameters={"table": table},
    )
    return ", ".join(row["name"] for row in rows)
