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

_LANDING = "_landing"  # how the tables without storage are called
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
        self, rows: Rows, command: Command, *, cluster: str | None, database: str, place: str
    ) -> None:
        self._rows = rows
        self._command = command
        self._cluster = cluster
        self._prefixes = (f"{database}.", f"`{database}`.")
        self._place = place
        self._known: dict[str, Path] = {}

    async def prepare(self, table: str) -> None:
        """Before an insert: the path is whole. Views that are gone or changed are made anew.

        Raises errors.Stop when a table that holds rows is missing, and errors.Retry while another
        program is making the views.
        """
        if table in self._known or table not in definitions.views():
            return
        await self._mend(table)
        found = await self._uuids(table)
        missing = [name for name in _names(table) if name not in found]
        if lost := [name for name in missing if name in _targets(table)]:
            raise self._lost(lost)
        if missing:
            raise errors.Retry(f"{', '.join(missing)} of the store at {self._place} is not there")
        self._known[table] = Path(found)

    async def verify(self, table: str) -> None:
        """After an insert: its rows have arrived.

        Raises errors.Retry when a view was not there all the time (insert again, no row is
        doubled), and errors.Stop when a table that holds rows was dropped or replaced.
        """
        if table not in self._known:
            return
        before, found = self._known[table].uuids, await self._uuids(table)
        changed = [name for name in before if found.get(name) != before[name]]
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
        found = {row["name"]: row for row in rows}
        source = found.get(table)
        if source is None and table not in _targets(table):
            for statement in definitions.creating(table, self._cluster):
                await self._command(statement)
        feeds = [] if source is None else source["feeds"]
        for view in definitions.views(self._cluster)[table]:
            row = found.get(view.name)
            if row is not None and view.name in feeds and await self._as_defined(view, row):
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
            f"{', '.join(names)} was dropped or replaced in the store at {self._place} while "
            "this program wrote to it. Start again: what is missing is made anew, and rows that "
            "are gone are fetched again.",
            exit_code=errors.EXIT_UNAVAILABLE,
        )


def _targets(table: str) -> set[str]:
    """The tables on the path that hold rows."""
    stored = set() if table.endswith(_LANDING) else {table}
    return stored | {view.target for view in definitions.views()[table]}


def _names(table: str) -> list[str]:
    views = definitions.views()[table]
    return sorted({table, *(view.name for view in views), *_targets(table)})
