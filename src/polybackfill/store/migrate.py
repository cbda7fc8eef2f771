"""Bringing a store to this version's schema: numbered SQL files, applied once, in order.

Every statement may be repeated, so a run that was killed between two of them is simply done again.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from polybackfill import errors
from polybackfill.store import client, definitions

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster}
(
    number     UInt32 COMMENT 'number of the file, order of the files',
    name       String COMMENT 'name of the file',
    checksum   String COMMENT 'BLAKE2b hash of the file as it was applied, 32 hex digits',
    applied_at DateTime('UTC') DEFAULT now() COMMENT 'when it was applied, UTC'
)
ENGINE = {engine:MergeTree} ORDER BY number
SETTINGS {synced}
COMMENT 'Files of the schema that were applied'
"""
_NO_UUID = "00000000-0000-0000-0000-000000000000"


async def up(store: client.Store) -> list[str]:
    """Apply what is missing; the names of what was applied.

    Raises Stop when the store was set up by a newer version, or by files that have changed since.
    """
    await store.prepare()
    for server in store.servers:
        if server is not store:
            await up(server)
    cluster = store.address.cluster
    await store.command(definitions.filled(_RECORD, cluster))
    applied = await _applied(store)
    migrations = definitions.known()
    _refuse_foreign(applied, migrations, store.address.location)
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements(cluster):
            if not store.unneeded.intersection(definitions.names(statement)):
                await store.command(store.as_made_here(statement))
        await _record(store, migration)
    return [migration.name for migration in missing]


async def missing(store: client.Store) -> list[str]:
    """Tables and views of this version's schema that are not there, in the order of the files;
    those that a server of a cluster lacks with its address.
    """
    lost = await _missing_here(store)
    for server in store.servers:
        if server is not store:
            lost += [f"{name} at {server.address.location}" for name in await missing(server)]
    return lost


async def _missing_here(store: client.Store) -> list[str]:
    rows = await store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    without = {row["name"] for row in rows} | store.unneeded
    return [name for name in definitions.created() if name not in without]


async def restore(store: client.Store, *, only: Sequence[str] | None = None) -> list[str]:
    """Make what was applied once and is gone, empty; the names of what was missing.

    `only`: of these tables alone.
    """
    for server in store.servers:
        if server is not store:
            await restore(server, only=only)
    lost = [name for name in await _missing_here(store) if only is None or name in only]
    for migration in definitions.known() if lost else ():
        for statement in migration.statements(store.address.cluster):
            if set(definitions.names(statement)) & set(lost):
                await store.command(store.as_made_here(statement))
    return lost


async def store_id(store: client.Store) -> str:
    """The store's own name, by which a checkpoint knows it: the UUID of `clean_stops`.

    ClickHouse gives it to the table when that is made, once, however many programs ask for it at
    the same time. Raises errors.Stop for a store that is not set up, and for a database whose
    engine gives tables no UUID.
    """
    sql = (
        "SELECT toString(uuid) AS uuid FROM system.tables "
        "WHERE database = currentDatabase() AND name = 'clean_stops'"
    )
    rows = await store.rows(sql)
    if not rows:
        raise errors.Stop(f"The store at {store.address.location} is not set up: polybackfill init")
    if rows[0]["uuid"] == _NO_UUID:
        raise errors.Stop(
            f"The database {store.address.database!r} at {store.address.location} gives tables no "
            "UUID. Use one with the engine Atomic or Replicated (CLICKHOUSE_DATABASE)."
        )
    return str(rows[0]["uuid"])


async def _applied(store: client.Store) -> dict[int, tuple[str, str]]:
    rows = await store.rows("SELECT DISTINCT number, name, checksum FROM schema_migrations")
    return {row["number"]: (row["name"], row["checksum"]) for row in rows}


def _refuse_foreign(
    applied: dict[int, tuple[str, str]], migrations: list[definitions.Migration], location: str
) -> None:
    ours = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in sorted(applied.items()):
        migration = ours.get(number)
        if migration is None:
            raise errors.Stop(
                f"The store at {location} was set up by a newer version ({name} is unknown here). "
                "Install that version, or use another CLICKHOUSE_DATABASE or BACKFILL_DATA_DIR."
            )
        if (migration.name, migration.checksum) != (name, checksum):
            raise errors.Stop(
                f"The store at {location} was set up by an unreleased version, with another {name} "
                f"than this version's {migration.name}, and is not taken over. Nothing was "
                "changed. To keep it, leave its folders as they are. For a new store set "
                "BACKFILL_DATA_DIR (or CLICKHOUSE_DATABASE) and BACKFILL_CHECKPOINT_DIR to other "
                "places, then: polybackfill init, polybackfill plan build, polybackfill run. Rows "
                "can be copied from the old one with the version that made it: polybackfill sql "
                "'SELECT … FORMAT Parquet'."
            )


async def _record(store: client.Store, migration: definitions.Migration) -> None:
    line = orjson.dumps(
        {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
    )
    await store.insert("schema_migrations", line, rows=1)
