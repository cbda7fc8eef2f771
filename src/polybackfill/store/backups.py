"""Copies of the tables that a run fills: made, compared, put back.

A backup named 20261121_104500 is a table `…_backup_20261121_104500` beside each table of `TABLES`.
It is complete when all of them are there: they get their names together, after every row was
compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from polybackfill import errors, formats
from polybackfill.store import client, query_files

# Table → the column that tells its rows apart.
TABLES = {"external_trades_raw": "external_trade_id", "wallet_activity_raw": "activity_id"}
_BACKUP, _COPYING = "_backup_", "_copying_"
# So many ids are compared at a time: 16 bytes each, some 300 MB in the store's hash table.
_BUCKET_ROWS = 4_000_000

_COMPARED = query_files.read("table_beside_backup")
_MISSING = """
INSERT INTO {table} SELECT * FROM {backup}
WHERE cityHash64({id}) % {buckets} = {bucket}
    AND {id} NOT IN (SELECT {id} FROM {table} WHERE cityHash64({id}) % {buckets} = {bucket})
LIMIT 1 BY {id}
"""


@dataclass(frozen=True)
class Difference:
    """A table beside its copy, in rows. `unreadable`: what the store said instead of reading the
    table; its rows and what the backup lacks of them are not known then.
    """

    table: str
    rows: int
    backup_rows: int
    not_in_backup: int
    not_in_table: int
    unreadable: str = ""


class Backups:
    """The backups of one store. Raises what the store raises."""

    def __init__(self, store: client.Store) -> None:
        self._store = store

    async def names(self) -> list[str]:
        """Complete ones, newest first."""
        of_servers = [await _names(server) for server in self._store.servers]
        return sorted(set.intersection(*of_servers), reverse=True)

    async def make(self, name: str) -> None:
        """Copy every row, compare, and only then give the copies their names.

        Raises errors.Stop when a copy does not hold what its table holds.
        """
        for server in self._store.servers:
            await _copy(server, name)
        renamed = (f"{table}{_COPYING}{name} TO {table}{_BACKUP}{name}" for table in TABLES)
        renaming = f"RENAME TABLE {', '.join(renamed)}"
        for server in self._store.servers:
            await server.command(renaming)

    async def compare(self, name: str) -> list[Difference]:
        """Each table beside its copy, by the ids of their rows."""
        return [
            _sum(
                [
                    await _compare(one, table, f"{table}{_BACKUP}{name}")
                    for one in self._store.servers
                ]
            )
            for table in TABLES
        ]

    async def put_back(self, name: str) -> None:
        """Insert what the tables lack of the backup; done twice it changes nothing."""
        for server, (table, key) in itertools.product(self._store.servers, TABLES.items()):
            backup = f"{table}{_BACKUP}{name}"
            buckets = await _buckets(server, table, backup)
            for bucket in range(buckets):
                await server.command(
                    _MISSING.format(
                        table=table, backup=backup, id=key, buckets=buckets, bucket=bucket
                    )
                )

    async def empty_tables(self) -> None:
        """Take every row out of the tables; the backups stay."""
        for server, table in itertools.product(self._store.servers, TABLES):
            # A server refuses to empty a table of more than 50 GB unless it is told to.
            await server.command(f"TRUNCATE TABLE {table} SETTINGS max_table_size_to_drop = 0")


async def _names(store: client.Store) -> set[str]:
    tables = await _tables(store)
    first, *others = TABLES
    prefix = first + _BACKUP
    names = (table.removeprefix(prefix) for table in tables if table.startswith(prefix))
    return {name for name in names if all(f"{other}{_BACKUP}{name}" in tables for other in others)}


async def _copy(store: client.Store, name: str) -> None:
    for leftover in await _tables(store):
        if any(leftover.startswith(table + _COPYING) for table in TABLES):
            await store.command(f"DROP TABLE {leftover}")
    for table in TABLES:
        copy = f"{table}{_COPYING}{name}"
        await store.command(f"CREATE TABLE {copy} AS {table}")
        await store.command(f"INSERT INTO {copy} SELECT * FROM {table}")
        difference = await _compare(store, table, copy)
        if difference.not_in_backup or difference.not_in_table:
            raise errors.Stop(
                f"the copy of {table} lacks "
                f"{formats.counted(difference.not_in_backup, 'row')}: does another program "
                "write to this database? Stop it and try again; nothing was changed"
            )


def _sum(parts: Sequence[Difference]) -> Difference:
    return Difference(
        parts[0].table,
        rows=sum(one.rows for one in parts),
        backup_rows=sum(one.backup_rows for one in parts),
        not_in_backup=sum(one.not_in_backup for one in parts),
        not_in_table=sum(one.not_in_table for one in parts),
        unreadable="; ".join(one.unreadable for one in parts if one.unreadable),
    )


async def _compare(store: client.Store, table: str, backup: str) -> Difference:
    kept = await _count(store, backup)
    try:
        rows = await _count(store, table)
        lacking, gone = await _apart(store, table, backup)
    except errors.GiveUp as error:
        return Difference(table, 0, kept, 0, 0, unreadable=str(error))
    return Difference(table, rows, kept, lacking, gone)


async def _apart(store: client.Store, table: str, backup: str) -> tuple[int, int]:
    lacking = gone = 0
    buckets = await _buckets(store, table, backup)
    for bucket in range(buckets):
        (row,) = await store.rows(
            _COMPARED.format(
                table=table, backup=backup, id=TABLES[table], buckets=buckets, bucket=bucket
            )
        )
        lacking += row["not_in_backup"]
        gone += row["not_in_table"]
    return lacking, gone


async def _buckets(store: client.Store, table: str, backup: str) -> int:
    rows = max(await _count(store, table), await _count(store, backup))
    return 1 + rows // _BUCKET_ROWS


async def _count(store: client.Store, table: str) -> int:
    (row,) = await store.rows(f"SELECT count() AS n FROM {table}")
    return int(row["n"])


async def _tables(store: client.Store) -> set[str]:
    rows = await store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {row["name"] for row in rows}
