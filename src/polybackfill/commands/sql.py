"""`polybackfill sql` and `polybackfill db serve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys

from polybackfill import clock as clocks
from polybackfill import errors, settings, terminal
from polybackfill.commands import context
from polybackfill.daemon import signals
from polybackfill.store import client, guard, rendezvous, secret

_BINARY = frozenset({"Parquet", "ORC", "Arrow", "ArrowStream", "Avro", "Native", "RowBinary"})
# Without colours of the engine's, which `visible` would take away, and no wider than needed.
_SHOWN = {
    "output_format_pretty_color": "0",
    "output_format_pretty_max_value_width": "40",
}
_LOOK_EVERY_S = 1.0
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
    script = _script(arguments.statement)
    try:
        statements = guard.split(script)
    except guard.Refused:
        statements = [script]  # the store says what is wrong with it
    if not statements:
        raise errors.Stop("the statement is empty: polybackfill sql 'SHOW TABLES'")
    chosen = context.settings_of(arguments)
    context.run(_sql(chosen, statements, _output(arguments.format)))
    return errors.EXIT_OK


def _script(typed: str | None) -> str:
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
    """`readable`: for a person at a terminal, in whose way no control character may come."""

    format: str
    readable: bool = False


def _output(wanted: str | None) -> _Output:
    # On a terminal people read; in a pipe programs do.
    if not sys.stdout.isatty():
        return _Output(wanted or "TSVWithNames")
    if wanted is None:
        return _Output("PrettyCompactMonoBlock", readable=True)
    return _Output(wanted, readable=wanted not in _BINARY)


async def _sql(chosen: settings.Settings, statements: list[str], output: _Output) -> None:
    async with context.open_store(chosen) as store:
        for statement in statements:
            if output.readable:
                await _show(store, statement, output.format)
                continue
            async for piece in store.stream(statement, output.format, typed=True):
                sys.stdout.buffer.write(piece)
            sys.stdout.flush()


async def _show(store: client.Store, statement: str, fmt: str) -> None:
    """Print a result for a person: texts come from a public API, anybody may have written them."""
    tail = b""
    async for piece in store.stream(statement, fmt, typed=True, settings=_SHOWN):
        lines = (tail + piece).splitlines(keepends=True)
        tail = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            _write(line)
    _write(tail)
    sys.stdout.flush()


def _write(line: bytes) -> None:
    text = terminal.visible(line.decode("utf-8", "replace"))
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.buffer.write(text.encode(encoding, "replace"))


def serve(arguments: argparse.Namespace) -> int:
    """Keep the embedded store open until Ctrl-C; print where it listens."""
    chosen = context.settings_of(arguments)
    address = context.address_of(chosen)
    if not address.embedded:
        raise errors.Stop(
            f"CLICKHOUSE_HOST is {address.host}: that server serves itself; unset it to use the "
            "embedded store"
        )
    context.run(_serve(dataclasses.replace(address, port=arguments.port)))
    return errors.EXIT_OK


async def _serve(address: client.Address) -> None:
    stop = asyncio.Event()
    store = await client.open(address, clock=clocks.SystemClock())
    try:
        with signals.watched(stop):
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
    endpoint, key = rendezvous.read(address.data_dir), secret.read(address.data_dir)
    assert endpoint is not None  # noqa: S101 - the store is open
    assert key is not None  # noqa: S101
    port = address.port or endpoint.port
    return _WAY_IN.format(
        folder=address.data_dir.resolve(),
        host=rendezvous.HOST,
        port=port,
        user=secret.USER,
        password=key.text,
        file=secret.path(address.data_dir).resolve(),
    )
