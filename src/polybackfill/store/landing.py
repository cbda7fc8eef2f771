"""What is inserted has arrived in the tables people read, or is not acknowledged.

A landing table stores nothing, a materialized view carries its rows on. Without the view an insert
succeeds and its rows are gone. Counting them afterwards would prove nothing, since repeated rows
add none. So the path is looked at before the first insert into a table (the views are there, and
do what this version's schema says) and after each one (nothing on the path has another UUID). A
view that was there before and after an insert was there all the time: one that is dropped and made
again has a new UUID.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from polybackfill import errors
from polybackfill.store import definitions

log = structlog.get_logger()

_STATELESS = ("_landing", "_checked")  # how the names of tables without storage end
_PATH = """
SELECT name, toString(uuid) AS uuid, engine, as_select, create_table_query AS created,
    dependencies_table AS feeds
FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)}
"""
_UUIDS = """
SELECT name, toString(uuid) AS uuid FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)}
"""
_FORMATTED = "SELECT formatQuerySingleLine({select:String}) AS text"

Rows = Callable[..., Awaitable[list[dict[str, Any]]]]
"""`Store.rows`."""
Command = Callable[[str], Awaitable[None]]
"""`Store.command`."""


@dataclass(frozen=True)
class Path:
    """The way of a table's rows: the table itself, its views, and where these write, by UUID."""

    uuids: Mapping[str, str]


class Landings:
    """Watches the paths of the tables that one Store inserts into."""

    def __init__(
        self, rows: Rows, command: Command, *, cluster: str | None, database: str, location: str
    ) -> None:
        self._rows = rows
        self._command = command
        self._cluster = cluster
        self._prefixes = (f"{database}.", f"`{database}`.")
        self._address = location
        self._known: dict[str, Path] = {}

    async def prepare(self, table: str) -> None:
        """Before an insert: the path is whole. Views that are gone or changed are made anew.

        Raises errors.Stop when a table that holds rows is missing, and errors.Retry while another
        program is making the views.
        """
        if table in self._known or table not in definitions.views():
            return
        await self._mend(table)
        uuids = await self._uuids(table)
        missing = [name for name in _names(table) if name not in uuids]
        if lost := [name for name in missing if name in _targets(table)]:
            raise self._lost(lost)
        if missing:
            raise errors.Retry(f"{', '.join(missing)} of the store at {self._address} is not there")
        self._known[table] = Path(uuids)

    async def verify(self, table: str) -> None:
        """After an insert: its rows have arrived.

        Raises errors.Retry when a view was not there all the time (insert again, no row is
        doubled), and errors.Stop when a table that holds rows was dropped or replaced.
        """
        if table not in self._known:
            return
        before, after = self._known[table].uuids, await self._uuids(table)
        changed = [name for name in before if after.get(name) != before[name]]
        if not changed:
            return
        del self._known[table]
        lost = [name for name in changed if name in _targets(table)]
        if lost:
            raise self._lost(lost)
        raise errors.Retry(
            f"{', '.join(changed)} was dropped or replaced while rows were inserted into {table}; "
            "it is made anew, and the rows are sent again"
        )

    async def _uuids(self, table: str) -> dict[str, str]:
        rows = await self._rows(_UUIDS, parameters={"names": _names(table)})
        return {row["name"]: row["uuid"] for row in rows}

    async def _mend(self, table: str) -> None:
        """Make a landing table and views that are gone, and views that do something else."""
        rows = await self._rows(_PATH, parameters={"names": _names(table)})
        by_name = {row["name"]: row for row in rows}
        for name in _stateless(table):
            if name not in by_name:
                for statement in definitions.creating(name, self._cluster):
                    await self._command(statement)
        for view in _views(table, self._cluster):
            row, source = by_name.get(view.name), by_name.get(view.source)
            fed = source is not None and view.name in source["feeds"]
            if row is not None and fed and await self._as_defined(view, row):
                continue
            log.warning("store.view_made_anew", view=view.name, was_there=row is not None)
            where = definitions.on_cluster(self._cluster)
            if row is not None:
                await self._command(f"DROP TABLE IF EXISTS {view.name} {where} SYNC")
            await self._command(view.statement)

    async def _as_defined(self, view: definitions.View, row: Mapping[str, Any]) -> bool:
        (wanted,) = await self._rows(_FORMATTED, parameters={"select": view.select})
        created = self._bare(row["created"])
        return self._bare(row["as_select"]) == wanted["text"] and created.startswith(
            f"CREATE MATERIALIZED VIEW {view.name} TO {view.target} "
        )

    def _bare(self, sql: str) -> str:
        """The statement without the database, which the store puts before each name."""
        for prefix in self._prefixes:
            sql = sql.replace(prefix, "")
        return sql

    def _lost(self, names: list[str]) -> errors.Stop:
        return errors.Stop(
            f"{', '.join(names)} was dropped or replaced in the store at {self._address} while "
            "this program wrote to it. Start again: what is missing is made anew, and rows that "
            "are gone are fetched again.",
            exit_code=errors.EXIT_UNAVAILABLE,
        )


def _views(table: str, cluster: str | None = None) -> list[definitions.View]:
    """The views on the path, those of a table without storage after the one that feeds it."""
    path = []
    for view in definitions.views(cluster).get(table, ()):
        path.append(view)
        if view.target.endswith(_STATELESS):
            path += _views(view.target, cluster)
    return path


def _stateless(table: str) -> list[str]:
    """The tables on the path that hold no rows."""
    tables = [table, *(view.target for view in _views(table))]
    return [name for name in tables if name.endswith(_STATELESS)]


def _targets(table: str) -> set[str]:
    """The tables on the path that hold rows."""
    tables = {table, *(view.target for view in _views(table))}
    return tables.difference(_stateless(table))


def _names(table: str) -> list[str]:
    views = _views(table)
    return sorted({table, *(name for view in views for name in (view.name, view.target))})
