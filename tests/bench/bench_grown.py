"""Inserts into the embedded store: an empty table against one with millions of rows."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.bench import bench_figures as figures
from tests.bench import bench_store
from tests.bench.bench_figures import Figure

from chdb_http import endpoint_file
from polybackfill import clocks
from polybackfill.store import client, migrate

BATCH_ROWS = 50_000  # as the daemon cuts them
BATCHES = 8
MAKERS = {
    "markets": bench_store.of_conditions,
    "wallets": bench_store.of_wallets,
    "mixed": bench_store.of_both,
}
Rates = dict[str, tuple[float, float]]


async def rates(store: client.Store, child: psutil.Process) -> Rates:
    """Rows a second and processor seconds per million rows, by kind of batch."""
    found = {}
    for name, make in MAKERS.items():
        await bench_store.merged(store)
        found[name] = await _rate(store, child, make)
    return found


async def _rate(
    store: client.Store, child: psutil.Process, make: Callable[[random.Random, int], bytes]
) -> tuple[float, float]:
    rng = random.Random(time.time())
    bodies = [make(rng, BATCH_ROWS) for _ in range(BATCHES)]
    used_s, began_at = figures.cpu_s(child), time.perf_counter()
    for lines in bodies:
        await store.insert("external_trades_raw", lines, rows=BATCH_ROWS)
    took_s = time.perf_counter() - began_at
    rows = BATCH_ROWS * BATCHES
    return rows / took_s, (figures.cpu_s(child) - used_s) / rows * 1e6


async def _both(folder: Path, existing: int) -> tuple[Rates, Rates, float]:
    store = await client.open(client.Address(data_dir=folder), clock=clocks.SystemClock())
    child = None
    try:
        await migrate.up(store)
        endpoint = endpoint_file.read(folder)
        assert endpoint is not None
        assert endpoint.pid is not None
        child = psutil.Process(endpoint.pid)
        await _rate(store, child, bench_store.of_conditions)  # the engine is warm from here on
        await store.command("TRUNCATE TABLE external_trades_raw")
        empty = await rates(store, child)
        await bench_store.fill(store, existing)
        grown = await rates(store, child)
        sized = await store.rows(
            "SELECT sum(bytes_on_disk) / sum(rows) AS per_row FROM system.parts "
            "WHERE active AND table = 'external_trades_raw'"
        )
        return empty, grown, float(sized[0]["per_row"])
    finally:
        await store.close()
        if child is not None:
            child.wait(60)  # the store ends after its last user


def inserts(existing: int) -> list[Figure]:
    """The insert rate with `existing` rows there, of the rate into an empty table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, figures.noise() as noise:
        empty, grown, per_row = asyncio.run(_both(Path(folder), existing))
    found = []
    for name in MAKERS:
        part = grown[name][0] / empty[name][0]
        found += [
            Figure(f"{name}: rows/s into the empty table", f"{empty[name][0]:,.0f}"),
            Figure(
                f"{name}: rows/s with {existing:,} rows there",
                f"{grown[name][0]:,.0f} = {part:.0%}",
                ">= 80 %",
                part >= 0.8,
            ),
            Figure(
                f"{name}: store CPU per million rows, empty and then",
                f"{empty[name][1]:.1f} s, {grown[name][1]:.1f} s",
            ),
        ]
    per_million = f"{per_row:.0f} = {per_row:.0f} MB a million"
    return [
        *found,
        Figure("bytes a row on disk, every hash random as on chain", per_million),
        Figure("  cores taken by others meanwhile", f"{noise.others:.1f}"),
    ]
