"""A place to type commands: a database and folders of its own, on a store that stays open."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests import harness, holds

from chdb_http import endpoint_file

_numbers = itertools.count(1)


class Desk(harness.Ground):
    """A ground with a database of its own; `folder` is where commands are typed."""

    database = ""
    """Its name on the shared store."""

    @property
    def run_name(self) -> str:
        """Whose checkpoint, log and status the commands use."""
        return self.environment["BACKFILL_RUN_NAME"]

    @property
    def checkpoint(self) -> Path:
        """The folder of the run's checkpoint."""
        return self.checkpoints / self.run_name

    def call(
        self, *words: object, code: int | None = 0, within_s: float = 60.0
    ) -> harness.Finished:
        """Type a command and wait for its end; `code`: the exit it must have, None for any."""
        ended = self.run(*map(str, words), within_s=within_s)
        assert "Traceback" not in ended.err, ended.err
        if code is not None:
            ended.expect(code)
        return ended

    def move_out(self) -> None:
        """Write files into a folder of its own from now on; the store stays the shared one."""
        self.call("init")
        endpoint = endpoint_file.read(self.store)
        assert endpoint is not None
        server = harness.Server(endpoint.port, holds.password_of(self.store))
        self.use_server(server, self.environment["CLICKHOUSE_DATABASE"])
        self.data = self.folder / "data"
        self.set(data_dir=self.data)

    def end_commands(self) -> None:
        """End what was started and not waited for; the store is not ours to end."""
        for daemon in self._daemons:
            if daemon.running:
                daemon.kill()

    def json(self, *words: object, code: int | None = 0) -> Any:
        """What a command prints with --json; nothing else may stand on its standard output."""
        return json.loads(self.call(*words, "--json", code=code).out)

    def value(self, statement: str) -> Any:
        """The one value of a statement."""
        ((found,),) = (row.values() for row in self.sql(statement))
        return found

    def ids(self, table: str = "external_trades_raw") -> list[str]:
        """Every id of a table, sorted, repeats included; `table` may end in a WHERE."""
        column = "activity_id" if table.startswith("wallet_activity") else "external_trade_id"
        return sorted(row["id"] for row in self.sql(f"SELECT {column} AS id FROM {table}"))

    def file(self, name: str, lines: Iterable[str]) -> Path:
        """A text file in the folder."""
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def plan_keys(self, *keys: str) -> None:
        """Put these wallets and conditions into the plans, in this order."""
        self.call("plan", "build", "--from", self.file("plan.txt", keys))

    def plan_of(self, kind: str = "wallet") -> dict[str, dict[str, Any]]:
        """The rows of a plan by key."""
        key = {"wallet": "wallet_address", "condition": "condition_id"}[kind]
        rows = self.sql(f"SELECT * FROM {kind}_backfill_plan ORDER BY priority_rank, {key}")
        found = {row[key]: row for row in rows}
        assert len(found) == len(rows), "a key stands in the plan twice"
        return found


class Store(harness.Ground):
    """An embedded store that is kept open; many desks put a database of their own into it.

    A database costs a second of CPU to make, and more the more there are: those given back are
    emptied for the next desk, so most desks have the tables of this version already.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "http://127.0.0.1:9")
        self.serve()
        self._clean: list[str] = []
        self.run("init").expect(0)
        self._fresh = self._tables("default")

    def desk(self, folder: Path, url: str, *, bare: bool = False) -> Desk:
        """A new desk over a database without rows; `bare`: over one that nobody has made yet."""
        made = Desk(folder, url)
        made.data = self.data
        name = f"desk{next(_numbers)}"
        made.set(data_dir=self.data, run_name=name)
        made.database = self._clean.pop() if self._clean and not bare else name
        made.environment["CLICKHOUSE_DATABASE"] = made.database
        return made

    def take_back(self, desk: Desk) -> None:
        """End a desk; its database is emptied, or dropped when its tables are no longer those that
        `init` makes.
        """
        desk.end_commands()
        if self._emptied(desk.database):
            self._clean.append(desk.database)
        else:
            self._command(f"DROP DATABASE IF EXISTS {desk.database} SYNC")

    def _emptied(self, database: str) -> bool:
        tables = self._tables(database)
        if {name: definition for name, (definition, _) in tables.items()} != {
            name: definition for name, (definition, _) in self._fresh.items()
        }:
            return False
        changed = [name for name, (_, rows) in tables.items() if rows != self._fresh[name][1]]
        if any(self._fresh[name][1] for name in changed):
            return False
        for name in changed:
            self._command(f"TRUNCATE TABLE {database}.`{name}` SYNC")
        return True

    def _tables(self, database: str) -> dict[str, tuple[str, int]]:
        """By name a table's definition and how many rows it has."""
        told = self._command(
            "SELECT name, replaceAll(create_table_query, database || '.', '') AS definition, "
            f"total_rows FROM system.tables WHERE database = '{database}' FORMAT JSONEachRow "
            "SETTINGS output_format_json_quote_64bit_integers = 0"
        )
        rows = [json.loads(line) for line in told.splitlines()]
        return {row["name"]: (row["definition"], row["total_rows"] or 0) for row in rows}

    def _command(self, statement: str) -> str:
        told = self.query(statement)
        assert told is not None, "the store that all desks share is gone"
        return told


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time of change.

    Left out: what a command said, and the store's engine, which merges its parts when it likes.
    """
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in {harness.SAID, "engine"}]
        for path in (Path(place) / name for name in (*folders, *files)):
            found[str(path.relative_to(folder))] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def bare(ids: Iterable[str]) -> list[str]:
    """Ids as they are stored: lower case without 0x."""
    return [text.lower().removeprefix("0x") for text in ids]
