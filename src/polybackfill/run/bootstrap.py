"""What every command needs: settings from the flags, an event loop, an open store."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

from polybackfill import clocks, errors, redaction, settings, terminal
from polybackfill.filesystem import files
from polybackfill.polymarket import endpoints, proxies
from polybackfill.store import client, cluster, embedded, inflation, migrate

T = TypeVar("T")

# Flags that stand for a setting of the same name.
_FLAGS = (
    "data_dir",
    "checkpoint_dir",
    "run_name",
    "limit",
    "skip",
    "sleep_ms",
    "workers",
    "listen",
)


def settings_of(arguments: argparse.Namespace, *, server: str | None = None) -> settings.Settings:
    """The settings in force for a command, or those for a typed CLICKHOUSE_HOST; raises errors.Stop
    naming what is wrong.
    """
    typed = {name: getattr(arguments, name, None) for name in _FLAGS}
    flags = {name: value for name, value in typed.items() if value is not None}
    chosen = settings.load(flags, arguments.config, server=server)
    for text in chosen.unknown:
        print(f"warning: {text}", file=sys.stderr)
    return chosen


def run(main: Coroutine[Any, Any, T], *, uvloop: bool = True) -> T:
    """Run a command's coroutine, on uvloop where it is installed and wanted; in a thread of its own
    on the loop of the standard library, which can start a child process there.
    """
    is_main = threading.current_thread() is threading.main_thread()
    with asyncio.Runner(loop_factory=_loop_factory() if uvloop and is_main else None) as runner:
        return runner.run(main)


def print_json(document: object) -> None:
    """One JSON document on stdout, for a script."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    text = orjson.dumps(document, default=str, option=option).decode()
    sys.stdout.buffer.write(terminal.visible_json(redaction.redact(text)).encode())
    sys.stdout.flush()


def print_json_line(document: object) -> None:
    """One JSON document on one line of stdout, for a script that reads line by line."""
    text = orjson.dumps(document, default=str, option=orjson.OPT_APPEND_NEWLINE).decode()
    sys.stdout.buffer.write(terminal.visible_json(redaction.redact(text)).encode())
    sys.stdout.flush()


def make_folder(folder: Path, setting: str) -> None:
    """Create a folder; raises errors.Stop naming it and the setting when that is impossible."""
    try:
        files.make_folder(folder)
        probe = folder / f".writable-{os.getpid()}"  # another run may try the folder right now
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise errors.Stop(
            f"{setting} {folder} cannot be written ({error.strerror}): "
            f"give the user of this program the right to, or set {setting} to another folder",
            exit_code=errors.exit_code_of(error),
        ) from error


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415  (optional: not on every platform)
    except ImportError:
        return None
    return uvloop.new_event_loop


def store_address(chosen: settings.Settings) -> client.Address:
    """Where the store is, by the settings."""
    server = chosen.clickhouse
    embedded.bound_logs(chosen.backfill.log_bytes, chosen.backfill.log_files)
    return client.Address(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database=server.database,
        secure=server.secure,
        data_dir=store_folder(chosen.backfill.data_dir),
        cluster=server.cluster,
    )


def log_file(chosen: settings.Settings) -> Path:
    """Where a run writes its log."""
    backfill = chosen.backfill
    return backfill.log_file or backfill.data_dir / "log" / f"{backfill.run_name}.jsonl"


def store_folder(data_dir: Path) -> Path:
    """Where the embedded store of a data folder lies."""
    return data_dir / "clickhouse"


def budgets(chosen: settings.Settings) -> dict[str, endpoints.Budget]:
    """The published budgets, lowered where the settings say so; errors.Stop for nonsense."""
    return endpoints.budgets(chosen.backfill.limits, own_server=is_local(chosen))


def is_local(chosen: settings.Settings) -> bool:
    """The API is on this machine: a sandbox."""
    backfill = chosen.backfill
    hosts = (backfill.data_url, backfill.gamma_url, backfill.clob_url)
    return all(proxies.is_loopback(url.host) for url in hosts)


def require_store(chosen: settings.Settings) -> None:
    """Refuse to read from an embedded store that nobody has made yet."""
    address = store_address(chosen)
    if address.embedded and not address.data_dir.exists():
        raise errors.Stop(
            f"there is no store under {chosen.backfill.data_dir} yet: "
            "polybackfill init, then polybackfill plan build"
        )


async def check_server(chosen: settings.Settings) -> None:
    """Raise errors.Stop when the server of the settings is not there or refuses us.

    Nothing is written for that, here or there. The embedded store is not touched.
    """
    address = store_address(chosen)
    if address.embedded:
        return
    store = client.Store(address, clock=clocks.SystemClock())
    try:
        await store.ping()
    except errors.Retry as error:
        raise _unreachable(error) from error
    finally:
        await store.close()


def _unreachable(error: errors.Retry) -> errors.Stop:
    """At boot neither names nor servers are there yet, so a service must come back."""
    return errors.Stop(
        f"{error}. Start that ClickHouse server, or correct CLICKHOUSE_HOST and CLICKHOUSE_PORT; "
        "without CLICKHOUSE_HOST the embedded store is used",
        exit_code=errors.EXIT_UNAVAILABLE,
    )


async def declare_inflated(chosen: settings.Settings, store: client.Store) -> None:
    """Tell the store's views which sources are inflated, as the settings say now."""
    await inflation.declare(store, chosen.backfill.inflated_sources)


@asynccontextmanager
async def open_store(
    chosen: settings.Settings, *, migrated: bool = False
) -> AsyncIterator[client.Store]:
    """The store, with `migrated` brought to this version's schema first.

    Raises errors.Stop naming the place when it cannot be reached or refuses.
    """
    address = store_address(chosen)
    try:
        store = await cluster.open_store(address, clock=clocks.SystemClock())
    except errors.Retry as error:
        if address.embedded:
            raise
        raise _unreachable(error) from error
    try:
        if migrated:
            await migrate.up(store)
            await declare_inflated(chosen, store)
        yield store
    finally:
        await store.close()
