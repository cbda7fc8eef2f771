"""Bringing a store to this version's schema: numbered SQL files, applied once, in order.

A file is templated by one setting, the cluster: `{on_cluster}` becomes `ON CLUSTER …` or nothing,
`{engine:X}` becomes `X` or `ReplicatedX`. Every statement may be repeated, so a run that was killed
between two of them is simply done again.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import orjson

from polybackfill import errors
from polybackfill.store import client

_FILE_NAME = re.compile(r"(\d{3})_\w+\.sql")
_ENGINE = re.compile(r"\{engine:([^{}]+)\}")
_CREATED = re.compile(
    r"CREATE (?:(?:TABLE|MATERIALIZED VIEW|VIEW) IF NOT EXISTS|OR REPLACE VIEW) (\w+)"
)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster}
(number UInt32, name String, checksum String, applied_at DateTime DEFAULT now())
ENGINE = {engine:MergeTree} ORDER BY number
"""


@dataclass(frozen=True)
class Migration:
    """One file of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What the file said when it was applied."""
        return hashlib.blake2b(self.sql.encode(), digest_size=16).hexdigest()

    def statements(self, cluster: str | None) -> list[str]:
        """The statements, one by one, for a single server or for a cluster."""
        bare = _COMMENT.sub("", _filled(self.sql, cluster))
        return [statement.strip() for statement in bare.split(";") if statement.strip()]


def known() -> list[Migration]:
    """The files of this version, in order."""
    found = []
    for file in resources.files("polybackfill.store").joinpath("schema").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match.group(1)), file.name, file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


async def up(store: client.Store, *, cluster: str | None = None) -> list[str]:
    """Apply what is missing; the names of what was applied.

    Raises Stop when the store was set up by a newer version, or by files that have changed since.
    """
    await store.command(_filled(_RECORD, cluster))
    applied = await _applied(store)
    migrations = known()
    _refuse_foreign(applied, migrations, store.address.place)
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements(cluster):
            await store.command(statement)
        await _record(store, migration)
    return [migration.name for migration in missing]


async def missing(store: client.Store) -> list[str]:
    """Tables and views of this version's schema that are not there, in the order of the files."""
    rows = await store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    there = {row["name"] for row in rows}
    return [name for name in created() if name not in there]


async def restore(
    store: client.Store, *, cluster: str | None = None, only: Sequence[str] | None = None
) -> list[str]:
    """Make what was applied once and is gone, empty; the names of what was missing.

    `only`: of these tables alone.
    """
    lost = [name for name in await missing(store) if only is None or name in only]
    for migration in known() if lost else ():
        for statement in migration.statements(cluster):
            if only is None or set(_CREATED.findall(statement)) & set(lost):
                await store.command(statement)
    return lost


def created() -> list[str]:
    """Names of all tables and views of this version's schema."""
    statements = (text for migration in known() for text in migration.statements(None))
    return [name for text in statements for name in _CREATED.findall(text)]


async def store_id(store: client.Store) -> str:
    """The store's own name, given once: a ledger knows by it which store its rows went to."""
    found = await store.rows("SELECT store_id FROM backfill_meta ORDER BY created_at, store_id")
    if not found:
        line = orjson.dumps({"store_id": str(uuid.uuid4())})
        await store.insert("backfill_meta", line, rows=1)
        found = await store.rows("SELECT store_id FROM backfill_meta ORDER BY created_at, store_id")
    return str(found[0]["store_id"])


async def _applied(store: client.Store) -> dict[int, tuple[str, str]]:
    rows = await store.rows("SELECT DISTINCT number, name, checksum FROM schema_migrations")
    return {row["number"]: (row["name"], row["checksum"]) for row in rows}


def _refuse_foreign(
    applied: dict[int, tuple[str, str]], migrations: list[Migration], place: str
) -> None:
    ours = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in sorted(applied.items()):
        migration = ours.get(number)
        if migration is None:
            raise errors.Stop(
                f"The store at {place} was set up by a newer version ({name} is unknown here). "
                "Install that version, or use another CLICKHOUSE_DATABASE or BACKFILL_DATA_DIR."
            )
        if (migration.name, migration.checksum) != (name, checksum):
            raise errors.Stop(
                f"The store at {place} was set up with another {name} than this version's "
                f"{migration.name}. Use the version that made it, or another CLICKHOUSE_DATABASE "
                "or BACKFILL_DATA_DIR."
            )


async def _record(store: client.Store, migration: Migration) -> None:
    line = orjson.dumps(
        {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
    )
    await store.insert("schema_migrations", line, rows=1)


def on_cluster(cluster: str | None) -> str:
    """The clause that makes a statement run on all servers of a cluster; empty without one."""
    name = (cluster or "").replace("`", "")
    return f"ON CLUSTER `{name}`" if cluster else ""


def _filled(sql: str, cluster: str | None) -> str:
    engine = r"Replicated\1" if cluster else r"\1"
    return _ENGINE.sub(engine, sql.replace("{on_cluster}", on_cluster(cluster)))
