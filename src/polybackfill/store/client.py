"""The one client of the store: ClickHouse over HTTP through aiochclient, embedded or a server."""

from __future__ import annotations

import asyncio
import collections
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec
import orjson

from chdb_http import secret, statements
from polybackfill import clocks, errors
from polybackfill.store import connection, error_codes, landing

Address = connection.Address
Record = TypeVar("Record")
# Values of `{name:Type}` in a statement; nothing fetched is ever put into the SQL itself.
Parameters = Mapping[str, str | int | Sequence[str | int]]
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})

# Rows for these tables land beside them, where repeated ones are sorted out.
_LANDINGS = {
    "external_trades_raw": "external_trades_landing",
    "wallet_activity_raw": "wallet_activity_landing",
    "quarantine": "quarantine_landing",
}
# One insert is one block, or the rows of its second block would not be checked against its first.
MAX_BATCH_ROWS = 500_000  # a cut of the largest batch and the busiest second together
_INSERT_S = 300.0
_PING_S = 60.0  # a server that is frozen accepts connections, and never answers
_SETTLE_S = 120.0
_POLL_S = 0.5
_ODD_S = 10.0  # between attempts of an insert that fails for no reason of its rows
_ATTEMPTS = 3
_WAIT_S = 0.25
_QUERY_ID = "polybackfill-insert-"
# aiochclient sends every statement through sqlparse, which takes 5 ms for 1,000 characters and
# refuses more than 10,000 tokens: longer statements pass it by.
_PARSED_MAX_CHARS = 200

# What a statement means must not depend on the time zone of a server or on the profile of its user.
# ClickHouse's own defaults, but for the time zone; only settings that servers of 2023 know.
_SESSION = {
    "session_timezone": "UTC",
    "date_time_input_format": "basic",
    "date_time_output_format": "simple",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "0",
    "output_format_json_quote_decimals": "0",
    "output_format_json_quote_64bit_floats": "0",
    "output_format_json_array_of_rows": "0",
    "output_format_json_named_tuples_as_objects": "1",
    "output_format_tsv_crlf_end_of_line": "0",
    "input_format_null_as_default": "1",
    "input_format_defaults_for_omitted_fields": "1",
    "join_use_nulls": "0",
    "join_default_strictness": "ALL",
    "any_join_distinct_right_table_keys": "0",
    "group_by_use_nulls": "0",
    "transform_null_in": "0",
    "prefer_column_name_to_alias": "0",
    "aggregate_functions_null_for_empty": "0",
    "data_type_default_nullable": "0",
    "empty_result_for_aggregation_by_empty_set": "0",
    "cast_keep_nullable": "0",
    "final": "0",
    "use_query_cache": "0",  # an answer may be a minute old
    "count_distinct_implementation": "uniqExact",
    "union_default_mode": "",
    "asterisk_include_materialized_columns": "0",
    "asterisk_include_alias_columns": "0",
    "enable_positional_arguments": "1",
    "extremes": "0",
    "skip_unavailable_shards": "0",
    "limit": "0",
    "offset": "0",
    "max_rows_to_read": "0",
    "max_bytes_to_read": "0",
    "max_result_rows": "0",
    "max_result_bytes": "0",
    "max_execution_time": "0",
    # What is cut short must be an error: half a result looks like a whole one.
    **dict.fromkeys(
        (
            "result_overflow_mode",
            "timeout_overflow_mode",
            "read_overflow_mode",
            "group_by_overflow_mode",
            "sort_overflow_mode",
            "distinct_overflow_mode",
            "join_overflow_mode",
            "set_overflow_mode",
        ),
        "throw",
    ),
}
_INSERT_SETTINGS = {
    **_SESSION,
    "async_insert": "0",
    "insert_deduplicate": "0",  # a batch whose rows were deleted may come again
    "materialized_views_ignore_errors": "0",
    "input_format_skip_unknown_fields": "0",
    "input_format_parallel_parsing": "0",
    "input_format_allow_errors_num": "0",
    "input_format_allow_errors_ratio": "0",
    "max_insert_threads": "1",
    "max_block_size": "1048576",
    "max_insert_block_size": "1048576",
    "min_insert_block_size_rows": "1048576",
    "min_insert_block_size_bytes": "0",
    # A ReplacingMergeTree would merge each block with itself, up to a quarter of the work of an
    # insert of fills; landing views let an id in once, and of all else the newest version is shown.
    "optimize_on_insert": "0",
}
QUERY_SETTINGS = {
    **_SESSION,
    "async_insert": "0",
    "mutations_sync": "2",  # ALTER … UPDATE answers when the next SELECT will show it
}


class Reader(Protocol):
    """Whoever answers a question with rows."""

    async def rows(self, sql: str, *, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """The rows of a query, as `Store.rows` gives them."""
        ...


_CUT = """
SELECT count() AS n FROM system.tables
WHERE database = currentDatabase() AND name = 'external_trades_raw' AND engine = 'Distributed'
"""
_FENCED_OFF = "another daemon of the job has taken over"


@dataclass(frozen=True)
class Fence:
    """Lets the inserts of one member of a job add rows only while `guard` holds: SQL that the
    server looks at when an insert begins. The ids of all its statements carry the name of the
    `member`, so that they can be ended.
    """

    member: str
    guard: str
    parameters: Parameters

    def query_id(self) -> str:
        """Of one more statement."""
        return f"{_prefix(self.member)}{uuid.uuid4()}"

    @property
    def condition(self) -> str:
        """SQL that is true, or ends its statement."""
        return f"NOT throwIf(NOT ({self.guard}), '{_FENCED_OFF}')"


def _prefix(member: str) -> str:
    return f"{_QUERY_ID}{member}-"


async def _at_once() -> None:
    """Nothing stands before a write."""


class Store:
    """Rows in, rows out. Raises errors.Retry, GiveUp and Stop only.

    `before_write`: awaited before anything is written; what it raises ends the write. `fence`: of a
    daemon that shares its job.
    """

    def __init__(
        self, address: Address, *, clock: clocks.Clock, insert_timeout_s: float = _INSERT_S
    ) -> None:
        self.address = address
        self._clock = clock
        self._insert_timeout_s = insert_timeout_s
        self._connection = connection.Connection(address, clock=clock)
        self._writing: dict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._unsettled: dict[str, list[str]] = collections.defaultdict(list)
        self._landings = landing.Landings(
            self.rows,
            self.command,
            cluster=address.cluster,
            database=address.database,
            location=address.location,
        )
        self._inserts = 0
        self._rows_inserted = 0
        self.before_write: Callable[[], Awaitable[None]] = _at_once
        self.fence: Fence | None = None
        self._structures: dict[tuple[str, ...], str] = {}

    @property
    def query_settings(self) -> Mapping[str, str]:
        """What makes a statement mean the same on every server."""
        return QUERY_SETTINGS

    @property
    def servers(self) -> Sequence[Store]:
        """The stores that hold the rows of the big tables: this one, or those of a cluster."""
        return (self,)

    @property
    def unneeded(self) -> frozenset[str]:
        """Tables and views of the schema that it does without."""
        return frozenset()

    def as_made_here(self, statement: str) -> str:
        """A statement of the schema as this store needs it."""
        return statement

    def shares_of(self, table: str) -> Sequence[tuple[Store, str]]:
        """The stores that hold the rows of a table, each with the SQL condition of its own."""
        return [(self, "true")]

    async def move_in(self, table: str) -> None:
        """The rows of `beside(table)` take the place of those of `table`, for all readers at once;
        they stay there, too.
        """
        await self.command(f"ALTER TABLE {table} REPLACE PARTITION ID 'all' FROM {beside(table)}")

    async def prepare(self) -> None:
        """Before the schema. Raises errors.Stop for a database that a cluster's tables are in."""
        (row,) = await self.rows(_CUT)
        if row["n"]:
            raise errors.Stop(
                f"The database {self.address.database!r} at {self.address.location} is that of a "
                "cluster of several servers: name it with CLICKHOUSE_CLUSTER"
            )

    @property
    def url(self) -> str:
        """Where it answers, for people and other programs; without credentials."""
        return self._connection.url

    async def close(self) -> None:
        """Let go; the embedded store ends when nobody else needs it."""
        await self._connection.close()

    async def ping(self) -> None:
        """One statement there and back, with credentials and database, within a minute."""
        try:
            async with asyncio.timeout(_PING_S):
                await self.rows("SELECT 1 AS alive")
        except TimeoutError as error:
            location = self.address.location
            raise errors.Retry(f"The store at {location} was silent for {_PING_S:.0f} s") from error

    def stats(self) -> dict[str, int]:
        """What has been acknowledged so far."""
        return {"inserts": self._inserts, "rows_inserted": self._rows_inserted}

    async def command(self, sql: str, *, parameters: Parameters | None = None) -> None:
        """Run a statement without a result. `parameters` fill `{name:Type}` in the SQL."""
        await self.before_write()
        if len(sql) > _PARSED_MAX_CHARS:
            await self.text(sql, parameters=parameters)
            return
        params = {**self.query_settings, **_named(parameters)}
        await self._connection.run(lambda: self._connection.client(params).execute(sql))

    async def rows(self, sql: str, *, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """The rows of a query as dicts; 64 bit integers are numbers, times are text."""
        if len(sql) > _PARSED_MAX_CHARS or sql.lstrip()[:6].upper() != "SELECT":
            # aiochclient returns nothing for what its parser does not take for a query.
            body = await self.text(sql, "JSONEachRow", parameters=parameters)
            return [orjson.loads(line) for line in body.splitlines()]
        bare = sql.rstrip().rstrip(";")
        params = {**self.query_settings, **_named(parameters)}
        return list(
            await self._connection.run(
                lambda: self._connection.client(params).fetch(bare, json=True), repeatable=True
            )
        )

    async def records(
        self, sql: str, record: type[Record], *, parameters: Parameters | None = None
    ) -> list[Record]:
        """The same, each checked to be a `record`, a TypedDict whose keys are the columns."""
        rows = await self.rows(sql, parameters=parameters)
        return [msgspec.convert(row, record) for row in rows]

    async def text(
        self,
        sql: str,
        fmt: str = "TabSeparated",
        *,
        parameters: Parameters | None = None,
    ) -> bytes:
        """The whole result in one of ClickHouse's formats; a FORMAT in the SQL wins."""
        return b"".join([piece async for piece in self.stream(sql, fmt, parameters=parameters)])

    async def stream(
        self,
        sql: str,
        fmt: str = "TabSeparated",
        *,
        parameters: Parameters | None = None,
        typed: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[bytes]:
        """The result piece by piece. One that breaks off raises Retry and is not the whole.

        `typed`: by a person; in the embedded store it gets no place that the program may need.
        """
        headers = {secret.GUEST_HEADER: "1"} if typed and self.address.embedded else None
        params = {
            **self.query_settings,
            **(settings or {}),
            "default_format": fmt,
            **_named(parameters),
        }
        if self.fence is not None:
            params["query_id"] = self.fence.query_id()
        async with AsyncExitStack() as stack:

            async def begin() -> aiohttp.ClientResponse:
                return await stack.enter_async_context(
                    self._connection.post(sql, params, headers=headers)
                )

            reads = statements.first_word(sql) in statements.READS
            response = await self._connection.run(begin, repeatable=reads)
            try:
                async for piece in response.content.iter_any():
                    yield piece
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                location = self.address.location
                raise errors.Retry(f"The answer of the store at {location} broke off") from error

    async def insert(self, table: str, lines: bytes | Sequence[bytes], *, rows: int) -> None:
        """Insert `rows` JSON objects, one a line; returns when the store has acknowledged them, and
        they have arrived where people read them.

        Lines in pieces are sent piece by piece, each with its last line complete.

        Rows whose id the table holds already, or that come twice in the batch, change nothing.
        One insert into a table at a time. An attempt whose end was not seen is ended before the
        next: while it runs, the check for duplicates cannot see its rows.
        """
        if not 0 < rows <= MAX_BATCH_ROWS:
            raise ValueError(f"a batch has 1 to {MAX_BATCH_ROWS} rows, not {rows}")
        pieces = [lines] if isinstance(lines, bytes) else lines
        table = _LANDINGS.get(table, table)
        async with self._writing[table]:
            await self._landings.prepare(table)
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    await self.before_write()
                    await self._settle(table)
                    await self._insert_once(table, pieces)
                    await self._landings.verify(table)
                    break
                except connection.Broken:
                    # The embedded store has died and comes back at once. Any other trouble, and
                    # how long to wait for it, is the caller's business.
                    if attempt == _ATTEMPTS:
                        raise
                    await self._clock.sleep(_WAIT_S * attempt)
            self._inserts += 1
            self._rows_inserted += rows

    async def insert_stream(self, target: str, rows: AsyncIterator[bytes], fmt: str) -> None:
        """Insert what another store sends, in one of ClickHouse's formats, past the landing tables.
        `target`: a table with its columns.

        When it raises, any part of the rows may be there.
        """
        await self.before_write()
        params = {**_INSERT_SETTINGS, "query_id": f"{_QUERY_ID}{uuid.uuid4()}"}
        sql = f"INSERT INTO {target} FORMAT {fmt}"

        async def send() -> None:
            async with self._connection.post(sql, params, rows=rows):
                return

        await self._connection.run(send)

    async def _insert_once(self, table: str, pieces: Sequence[bytes]) -> None:
        query_id = f"{_QUERY_ID}{uuid.uuid4()}"
        sql = f"INSERT INTO {table} FORMAT JSONEachRow"
        settings = _INSERT_SETTINGS
        if (fence := self.fence) is not None:
            query_id = fence.query_id()
        # Elsewhere a row that comes late, or twice, is an older version of what is there.
        if fence is not None and table in _LANDINGS.values():
            sql = await self._fenced_insert(table, pieces, fence)
            settings = {**_INSERT_SETTINGS, **_named(fence.parameters)}

        async def send() -> None:
            async with asyncio.timeout(self._insert_timeout_s):
                await self._connection.client(settings).execute(
                    sql, pieces, json=True, query_id=query_id
                )

        self._unsettled[table].append(query_id)
        try:
            await self._connection.run(send)
        except (errors.Stop, errors.GiveUp) as error:
            self._unsettled[table].remove(query_id)  # refused, so it has ended
            if _FENCED_OFF in str(error):
                raise errors.Stop(
                    f"{_FENCED_OFF} at {self.address.location} while this one stood still; what it "
                    "had acknowledged is recorded. Start again to join the job anew",
                    exit_code=errors.EXIT_UNAVAILABLE,
                ) from error
            await self._landings.verify(table)  # a table that is gone is the reason
            if isinstance(error, errors.GiveUp) and not error_codes.blames_row(str(error)):
                raise errors.Retry(str(error), after_s=_ODD_S) from error
            raise
        self._unsettled[table].remove(query_id)

    async def _fenced_insert(self, table: str, pieces: Sequence[bytes], fence: Fence) -> str:
        """The statement that inserts these rows as long as the fence lets it. The server looks at
        the fence before it reads the first row, and has the statement in its list by then.
        """
        names = tuple(orjson.loads(pieces[0].partition(b"\n")[0]))
        columns = ", ".join(f"`{name}`" for name in names)
        structure = self._structures.get((table, *names))
        if structure is None:
            rows = await self.rows(
                "SELECT name, type FROM system.columns "
                "WHERE database = currentDatabase() AND table = {table:String}",
                parameters={"table": table},
            )
            types = {row["name"]: row["type"] for row in rows}
            structure = ", ".join(f"`{name}` {types[name]}" for name in names)
            self._structures[table, *names] = structure
        return (
            f"INSERT INTO {table} ({columns}) SELECT {columns} "
            f"FROM input({statements.quoted(structure)}) WHERE {fence.condition}"
        )

    async def _settle(self, table: str) -> None:
        for query_id in list(self._unsettled[table]):
            await self._end(query_id)
            self._unsettled[table].remove(query_id)

    async def _end(self, query_id: str) -> None:
        """Nothing of that id runs when this returns. The embedded store also refuses it later."""
        named = {"id": query_id}
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self.text(f"KILL QUERY WHERE query_id = {statements.quoted(query_id)} SYNC")
                running = "SELECT query_id FROM system.processes WHERE query_id = {id:String}"
                while await self.text(running, parameters=named):
                    await self._clock.sleep(_POLL_S)
        except TimeoutError as error:
            raise errors.Retry(f"Insert {query_id} is still running after {_SETTLE_S} s") from error

    async def end_inserts_of(self, member: str, *, within_s: float) -> None:
        """Nothing that a member of a job has begun runs on the server when this returns."""
        named = {"prefix": _prefix(member)}
        running = (
            "SELECT query_id FROM system.processes WHERE startsWith(query_id, {prefix:String})"
        )
        try:
            async with asyncio.timeout(within_s):
                while await self.text(running, parameters=named):
                    await self.text(
                        "KILL QUERY WHERE startsWith(query_id, {prefix:String}) SYNC",
                        parameters=named,
                    )
                    await self._clock.sleep(_POLL_S)
        except TimeoutError as error:
            raise errors.Retry(f"statements of {member} run after {within_s:.0f} s") from error

    async def create_database(self) -> None:
        """Make the database of the address, where it is not there."""
        name = quoted_name(self.address.database)
        await self._connection.outside(f"CREATE DATABASE IF NOT EXISTS {name}")

    async def settle_leftovers(self) -> None:
        """Outlive the inserts that an earlier, killed process left running on a server.

        In the embedded store inserts wait for each other, so there is nothing to outlive.
        """
        if self.address.embedded:
            return
        sql = "SELECT query_id FROM system.processes WHERE startsWith(query_id, {prefix:String})"
        for row in await self.rows(sql, parameters={"prefix": _QUERY_ID}):
            await self._end(row["query_id"])


def quoted_name(name: str) -> str:
    """The name of a database or table, as SQL."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def beside(table: str) -> str:
    """The table, made as `table`, in which rows are gathered that are to come into it at once."""
    return f"pushed_{table}"


def _named(parameters: Parameters | None) -> dict[str, str]:
    return {f"param_{name}": _parameter(given) for name, given in (parameters or {}).items()}


def _parameter(given: str | int | Sequence[str | int]) -> str:
    # Values are read as in a TabSeparated file: text escaped, arrays with their texts quoted.
    if isinstance(given, int):
        return str(given)
    if isinstance(given, str):
        return given.translate(_ESCAPES)
    items = (str(item) if isinstance(item, int) else statements.quoted(item) for item in given)
    return f"[{','.join(items)}]"


async def open(
    address: Address, *, clock: clocks.Clock, insert_timeout_s: float = _INSERT_S
) -> Store:
    """Reach the store, starting the embedded one when it does not run.

    Raises Stop when it cannot be used as it is configured, Retry when it may be there later.
    """
    store = Store(address, clock=clock, insert_timeout_s=insert_timeout_s)
    try:
        # The embedded store's is made on first use; a server's is its owner's.
        if address.embedded and address.database != "default":
            await store.create_database()
        await store.ping()
    except BaseException:
        await store.close()
        raise
    return store
