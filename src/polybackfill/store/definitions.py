"""The schema as its files define it: numbered SQL files and what they create.

A file is templated: `{on_cluster}` becomes `ON CLUSTER …` or nothing, `{engine:X}` becomes `X` or
`ReplicatedX`, `{synced}` the settings by which what is acknowledged survives a power cut.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_FILE_NAME = re.compile(r"(\d{3})_\w+\.sql")
_ENGINE = re.compile(r"\{engine:([^{}]+)\}")
_CREATED = re.compile(
    r"CREATE (?:(?:TABLE|MATERIALIZED VIEW|VIEW) IF NOT EXISTS|OR REPLACE VIEW) (\w+)"
)
_REMOVED = re.compile(r"(?:DROP VIEW|RENAME TABLE) IF EXISTS (\w+)")
_SYNCED = "{synced}"
# What is acknowledged survives a power cut: a part is on the disk before its insert is answered,
# and a merge or a mutation is before the parts it replaces are removed. Of an inserted part the
# projection alone is not synced (ClickHouse 26.9): see `inspection.mend_projections`.
SYNC_SETTINGS = (
    "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, "
    "min_compressed_bytes_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1"
)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_VIEW = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+)\s+(?:ON CLUSTER `[^`]*`\s+)?TO (\w+) AS\s+(.*)",
    re.DOTALL,
)
# A view is fed by its leftmost table; what else it reads, it reads as it stands.
_OUTER_SOURCE = re.compile(r"^FROM (\w+)", re.MULTILINE)
_INNER_SOURCE = re.compile(r"\bFROM (\w+)")


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
        bare = _COMMENT.sub("", filled(self.sql, cluster))
        return [statement.strip() for statement in bare.split(";") if statement.strip()]


def known() -> list[Migration]:
    """The files of this version, in order."""
    migrations = []
    for file in resources.files("polybackfill.store").joinpath("schema").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match is not None:
            migrations.append(Migration(int(match.group(1)), file.name, file.read_text("utf-8")))
    return sorted(migrations, key=lambda migration: migration.number)


@dataclass(frozen=True)
class View:
    """A materialized view: what is inserted into `source` it passes on to `target`."""

    name: str
    source: str
    target: str
    select: str
    statement: str


def created() -> list[str]:
    """Names of all tables and views of this version's schema, without those it has renamed."""
    present: dict[str, None] = {}
    for statement in (text for migration in known() for text in migration.statements(None)):
        present.update(dict.fromkeys(names(statement)))
        for name in _REMOVED.findall(statement):
            del present[name]
    return list(present)


def names(statement: str) -> list[str]:
    """The tables and views that a statement of the schema makes."""
    return _CREATED.findall(statement)


def creating(name: str, cluster: str | None) -> list[str]:
    """The statements that make this table or view."""
    statements = (text for migration in known() for text in migration.statements(cluster))
    return [text for text in statements if name in names(text)]


@cache
def views(cluster: str | None = None) -> Mapping[str, tuple[View, ...]]:
    """The materialized views by the table they read from, in the order in which they are made."""
    by_source: dict[str, tuple[View, ...]] = {}
    present = set(created())
    for migration in known():
        for statement in migration.statements(cluster):
            if (parts := _VIEW.fullmatch(statement)) is None:
                continue
            name, target, select = parts.groups()
            if name not in present:
                continue
            source = (_OUTER_SOURCE.findall(select) or _INNER_SOURCE.findall(select))[0]
            by_source[source] = (
                *by_source.get(source, ()),
                View(name, source, target, select, statement),
            )
    return by_source


def on_cluster(cluster: str | None) -> str:
    """The clause that makes a statement run on all servers of a cluster; empty without one."""
    name = (cluster or "").replace("`", "")
    return f"ON CLUSTER `{name}`" if cluster else ""


def filled(sql: str, cluster: str | None) -> str:
    """The SQL for a single server or for a cluster."""
    engine = r"Replicated\1" if cluster else r"\1"
    filled = sql.replace("{on_cluster}", on_cluster(cluster)).replace(_SYNCED, SYNC_SETTINGS)
    return _ENGINE.sub(engine, filled)
