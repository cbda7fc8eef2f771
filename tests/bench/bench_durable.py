"""What it costs that an acknowledged row survives a power cut: the same inserts, synced and not.

Both kinds alternate batch by batch in one run, so that what else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import psutil
from tests.bench import bench_store
from tests.bench.bench_figures import Figure

from chdb_http import endpoint_file
from polybackfill import clocks
from polybackfill.store import client, migrate

ROWS = (10_000, 50_000)
BATCHES = 12
_OFF = (
    "ALTER TABLE external_trades_raw MODIFY SETTING fsync_after_insert = 0, "
    "fsync_part_directory = 0, min_rows_to_fsync_after_merge = 0, "
    "min_compressed_bytes_to_fsync_after_merge = 0"
)


async def _store(folder: Path, database: str, *, synced: bool) -> client.Store:
    address = client.Address(data_dir=folder, database=database)
    store = await client.open(address, clock=clocks.SystemClock())
    await migrate.up(store)
    if not synced:
        await store.command(_OFF)
    return store


async def _ratios(folder: Path) -> dict[int, tuple[float, float]]:
    stores = {
        synced: await _store(folder, f"s{synced:d}", synced=synced) for synced in (True, False)
    }
    rng = random.Random(1)
    found = {}
    try:
        for rows in ROWS:
            took = {True: 0.0, False: 0.0}
            for number in range(BATCHES):
                lines = bench_store.of_both(rng, rows)
                for synced in (True, False) if number % 2 else (False, True):
                    began_at = time.perf_counter()
                    await stores[synced].insert("external_trades_raw", lines, rows=rows)
                    took[synced] += time.perf_counter() - began_at
            found[rows] = (rows * BATCHES / took[True], rows * BATCHES / took[False])
    finally:
        endpoint = endpoint_file.read(folder)
        for store in stores.values():
            await store.close()
        if endpoint is not None and endpoint.pid is not None:
            psutil.Process(endpoint.pid).wait(60)  # the store ends after its last user
    return found


def durable() -> list[Figure]:
    """Rows a second with and without syncing, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_ratios(Path(folder)))
    figures = []
    for rows, (synced, unsynced) in found.items():
        part = synced / unsynced
        figures.append(
            Figure(
                f"batches of {rows:,} rows: rows/s synced, of not synced",
                f"{synced:,.0f} of {unsynced:,.0f} = {part:.0%}",
                ">= 60 %",
                part >= 0.6,
            )
        )
    return figures
