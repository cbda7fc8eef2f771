"""The database `default` of the embedded store, the one that people use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

from tests.store.conftest import insert, trade

from chdb_http.engine import Engine, Query
from polybackfill import clocks
from polybackfill.store import client, definitions, migrate


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[client.Store]:
    store = await client.open(client.Address(data_dir=folder), clock=clocks.SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def test_views_are_made_again_without_a_gap(tmp_path: Path) -> None:
    """Seed 001, pm_trades_with_external: many readers, and none of them misses a view."""
    (views,) = [one for one in definitions.known() if one.name == "006_views.sql"]
    async with AsyncExitStack() as stack:
        writer, *readers = [await stack.enter_async_context(opened(tmp_path)) for _ in range(4)]
        await migrate.up(writer)
        await insert(writer, [trade(0)])
        reads: list[int] = []
        written = False

        async def read(store: client.Store) -> None:
            while not written:
                found = await store.rows("SELECT count() AS n FROM pm_trades_with_external")
                reads.append(found[0]["n"])

        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(read(reader))
            for statement in 4 * views.statements(None):
                await writer.command(statement)
            written = True
        assert len(reads) > len(readers)
        assert set(reads) == {1}
        assert await migrate.missing(writer) == []


async def test_several_programs_set_the_store_up_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(tmp_path)) for _ in range(3)]
        await asyncio.gather(*(migrate.up(store) for store in stores))
        for store in stores:
            assert await migrate.missing(store) == []
            assert await migrate.up(store) == []


def test_a_folder_keeps_its_tables_however_it_was_made(tmp_path: Path) -> None:
    """Opened twice while it is empty; and one whose tables chDB's own `default` took in."""
    for name in ("fresh", "overlay"):
        (tmp_path / name).mkdir()
    table = "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a"
    plain = (
        f"from chdb import session; session.Session({str(tmp_path)!r} + '/overlay/engine').query("
    )
    for sql in (table, "INSERT INTO t VALUES (7)"):
        subprocess.run([sys.executable, "-c", f"{plain}{sql!r})"], check=True)
    assert run(tmp_path / "overlay", "SELECT a FROM t") == "7"
    assert run(tmp_path / "fresh", "SELECT 1") == "1"
    run(tmp_path / "fresh", table)
    run(tmp_path / "fresh", "INSERT INTO t VALUES (8)")
    assert run(tmp_path / "fresh", "SELECT a FROM t") == "8"
    for name in ("fresh", "overlay"):
        engine = "SELECT engine FROM system.databases WHERE name = 'default'"
        assert run(tmp_path / name, engine) == "Atomic"


def run(folder: Path, sql: str) -> str:
    """What the engine answers after a start of its own."""
    with closing(Engine(folder, str(folder / "engine"))) as engine:
        return engine.execute(Query(sql, ""))[0].decode().strip()
