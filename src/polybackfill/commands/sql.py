"""`polybackfill sql` and `polybackfill db serve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import re
import sys
from collections.abc import AsyncGenerator

import orjson

from chdb_http import endpoint_file, secret, statement_guard, statements
from polybackfill import clocks, errors, settings, terminal
from polybackfill.engine import stop_signals
from polybackfill.reports import console_table
from polybackfill.run import bootstrap, startup
from polybackfill.store import client

_BINARY = frozenset({"Parquet", "ORC", "Arrow", "ArrowStream", "Avro", "Native", "RowBinary"})
_FOR_PEOPLE = ("Pretty", "Vertical")  # also in a pipe, behind which is a pager
# Of ClickHouse's own tables: without colours, which `visible` would take away.
_SHOWN = {"output_format_pretty_color": "0"}
# An object a row, each value as text: rows of a table for people.
_ROWS = "JSONStringsEachRow"
_NULL = "ᴺᵁᴸᴸ"  # how ClickHouse writes it in that format
_SHOWN_MAX = 1_000  # rows
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?|-?inf|nan")
_LOOK_EVERY_S = 3.0
_PORTS = range(1, 65_536)
_WAY_IN = """\
serving {folder} at http://{host}:{port}/
host      {host}
port      {port}
user      {user}
password  {password}
          (kept in {file}, readable for you alone)

curl              curl -u {user}:{password} 'http://{host}:{port}/' --data 'SELECT 1'
clickhouse_connect.get_client(host='{host}', port={port}, username='{user}',
                              password='{password}')
DBeaver, JDBC     jdbc:clickhouse://{host}:{port}/default, with user and password
(clickhouse-client speaks another protocol, which is not served.)

ready; Ctrl-C ends it"""


def sql(arguments: argparse.Namespace) -> int:
    """Send each statement in turn and print what the store answers, as it comes."""
    text = _text(arguments.statement)
    try:
        script = statement_guard.split(text)
    except statement_guard.Refused:
        script = [text]  # the store says what is wrong with it
    if not script:
        raise errors.Stop("the statement is empty: polybackfill sql 'SHOW TABLES'")
    chosen = bootstrap.settings_of(arguments)
    bootstrap.run(_sql(chosen, script, _output(arguments.format)))
    return errors.EXIT_OK


def _text(typed: str | None) -> str:
    """What was typed, or what standard input holds."""
    if typed not in (None, "-"):
        return str(typed)
    if typed is None and sys.stdin.isatty():
        raise errors.Stop(
            "no statement: polybackfill sql 'SHOW TABLES', or polybackfill sql < file.sql"
        )
    return sys.stdin.buffer.read().decode("utf-8", "replace")


@dataclasses.dataclass(frozen=True)
class _Output:
    """`readable`: for a person at a terminal, in whose way no control character may come;
    `as_table`: in the layout of the other commands, unless the statement has a FORMAT.
    """

    format: str
    readable: bool = False
    as_table: bool = False


def _output(wanted: str | None) -> _Output:
    # On a terminal people read; in a pipe programs do.
    if not sys.stdout.isatty():
        return _Output(wanted or "TSVWithNames")
    if wanted is None:
        return _Output(_ROWS, readable=True, as_table=True)
    return _Output(wanted, readable=wanted not in _BINARY)


async def _sql(chosen: settings.Settings, script: list[str], output: _Output) -> None:
    async with bootstrap.open_store(chosen) as store:
        for statement in script:
            if output.as_table and not statements.output_format(statement, ""):
                await _show_table(store, statement)
                continue
            is_table = statements.output_format(statement, output.format).startswith(_FOR_PEOPLE)
            if output.readable or is_table:
                await _show(store, statement, output.format)
                continue
            async for piece in store.stream(statement, output.format, typed=True):
                sys.stdout.buffer.write(piece)
            sys.stdout.flush()


async def _show_table(store: client.Store, statement: str) -> None:
    """Print the first rows as a table, or as lists where that is wider than the terminal."""
    rows: list[dict[str, str]] = []
    async with contextlib.aclosing(_lines(store, statement, _ROWS)) as lines:
        async for line in lines:
            if len(rows) == _SHOWN_MAX:
                note = f"(the first {_SHOWN_MAX:,} rows; all of them: --format TSVWithNames)"
                print(_table(rows), note, sep="\n")
                return
            try:
                rows.append(orjson.loads(line))
            except ValueError:  # an error in the middle of the result, or another FORMAT
                print(line, end="")
    if rows:
        print(_table(rows))


def _table(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    columns = [[_value(row[name]) for row in rows] for name in names]
    if len(columns) == 1:  # lines of a text, as of SHOW CREATE and EXPLAIN
        return "\n".join([terminal.visible_line(names[0]), *columns[0]])
    numbers = [all(_NUMBER.fullmatch(value) or value == "NULL" for value in c) for c in columns]
    texts = [[terminal.visible_line(value) for value in row] for row in zip(*columns, strict=True)]
    shown = [terminal.visible_line(name) for name in names]
    return "\n".join(console_table.text_lines(shown, texts, numbers, terminal.width(sys.stdout)))


def _value(text: str) -> str:
    return "NULL" if text == _NULL else text


async def _show(store: client.Store, statement: str, fmt: str) -> None:
    """Print a result for a person: texts come from a public API, anybody may have written them."""
    async for line in _lines(store, statement, fmt):
        _write(line)
    sys.stdout.flush()


async def _lines(store: client.Store, statement: str, fmt: str) -> AsyncGenerator[str, None]:
    """The lines of a result, each with its end."""
    tail = b""
    async for piece in store.stream(statement, fmt, typed=True, settings=_SHOWN):
        lines = (tail + piece).splitlines(keepends=True)
        tail = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            yield line.decode("utf-8", "replace")
    if tail:
        yield tail.decode("utf-8", "replace")


def _write(line: str) -> None:
    text = terminal.visible(line)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.buffer.write(text.encode(encoding, "replace"))


def serve(arguments: argparse.Namespace) -> int:
    """Keep the embedded store open until Ctrl-C; print where it listens."""
    port = arguments.port
    if port is not None and port not in _PORTS:
        raise errors.Stop(f"--port {port}: give one from {_PORTS[0]} to {_PORTS[-1]}")
    chosen = bootstrap.settings_of(arguments)
    address = bootstrap.store_address(chosen)
    if not address.embedded:
        raise errors.Stop(
            f"CLICKHOUSE_HOST is {address.host}: that server serves itself; unset it to use the "
            "embedded store"
        )
    bootstrap.run(_serve(dataclasses.replace(address, port=port)))
    return errors.EXIT_OK


async def _serve(address: client.Address) -> None:
    stop = asyncio.Event()
    # From the first moment on: a script's `db serve &` begins with SIGINT ignored.
    with stop_signals.catch_stop_signals(stop):
        opening = client.open(address, clock=clocks.SystemClock())
        store = await startup.cancel_on_stop(stop, opening)
        if store is None:
            return
        try:
            print(_way_in(address), flush=True)
            while not stop.is_set():
                await store.ping()  # a child that died is started again, on the same port
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await stop.wait()
        finally:
            await store.close()


def _way_in(address: client.Address) -> str:
    """Where other programs find the store, and what they must say."""
    endpoint, key = endpoint_file.read(address.data_dir), secret.read(address.data_dir)
    assert endpoint is not None  # noqa: S101 - the store is open
    assert key is not None  # noqa: S101
    port = address.port or endpoint.port
    return _WAY_IN.format(
        folder=address.data_dir.resolve(),
        host=endpoint_file.HOST,
        port=port,
        user=secret.USER,
        password=key.text,
        file=secret.path(address.data_dir).resolve(),
    )
