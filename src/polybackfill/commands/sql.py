"""`polybackfill sql` and `polybackfill db serve`."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys

from polybackfill import clock as clocks
from polybackfill import errors, settings, terminal
from polybackfill.commands import context
from polybackfill.daemon import signals
from polybackfill.store import client, statements


def sql(arguments: argparse.Namespace) -> int:
    """Send one statement and print what the store answers, as it comes."""
    if not arguments.statement.strip():
        raise errors.Stop("the statement is empty: polybackfill sql 'SHOW TABLES'")
    chosen = context.settings_of(arguments)
    # On a terminal people read; in a pipe programs do.
    fmt = arguments.format or ("PrettyCompactMonoBlock" if sys.stdout.isatty() else "TSVWithNames")
    context.run(_sql(chosen, arguments.statement, fmt))
    return errors.EXIT_OK


async def _sql(chosen: settings.Settings, statement: str, fmt: str) -> None:
    async with context.open_store(chosen) as store:
        for one in statements.split(statement):
            async for piece in store.stream(statements.with_where(one), fmt):
                # A terminal would obey what a text of the API holds; a program gets every byte.
                shown = terminal.visible_bytes(piece) if sys.stdout.isatty() else piece
                sys.stdout.buffer.write(shown)
        sys.stdout.flush()


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
        print(f"serving {address.data_dir} at {store.url}  (Ctrl-C ends it)", flush=True)
        with signals.watched(stop):
            await stop.wait()
    finally:
        await store.close()
