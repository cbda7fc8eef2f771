"""What an insert of fills saves that does not merge its block with itself."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import aiohttp
import psutil
from tests.bench import bench_figures as figures
from tests.bench import bench_store
from tests.bench.bench_figures import Figure

from chdb_http import endpoint_file, secret
from polybackfill import clocks
from polybackfill.store import client, migrate

ROWS, BATCHES = 50_000, 8  # as a run inserts them; of each


def merging() -> list[Figure]:
    """CPU of the store for a million fills, by ClickHouse's default and as inserts set it
    (`optimize_on_insert`).
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        cpu_s = asyncio.run(_insert_in_turns(Path(folder)))
    ratio = cpu_s["0"] / cpu_s["1"]
    million = ROWS * BATCHES / 1e6
    return [
        Figure("CPU of a million fills, blocks merged", f"{cpu_s['1'] / million:.1f} s"),
        Figure("  as inserts have it", f"{cpu_s['0'] / million:.1f} s"),
        Figure("  of the former", f"{ratio:.2f} x", "< 1", ratio < 1),
    ]


async def _insert_in_turns(folder: Path) -> dict[str, float]:
    """By value of the setting; one batch each in turns, so that both meet the same table."""
    rng, cpu_s = random.Random(1), {"0": 0.0, "1": 0.0}
    store = await client.open(client.Address(data_dir=folder), clock=clocks.SystemClock())
    try:
        await migrate.up(store)
        endpoint, key = endpoint_file.read(folder), secret.read(folder)
        assert endpoint is not None
        assert key is not None
        child = psutil.Process(endpoint.pid)
        login = aiohttp.BasicAuth(secret.USER, key.text)
        async with aiohttp.ClientSession(auth=login) as session:
            for number in range(-2, 2 * BATCHES):  # the first two warm the engine
                value = str(number % 2)
                query = "INSERT INTO external_trades_landing FORMAT JSONEachRow"
                lines = bench_store.of_both(rng, ROWS)
                before = figures.cpu_s(child)
                async with session.post(
                    store.url, params={"query": query, "optimize_on_insert": value}, data=lines
                ) as response:
                    assert response.status == 200, await response.text()
                cpu_s[value] += (figures.cpu_s(child) - before) * (number >= 0)
                await bench_store.merged(store)
    finally:
        await store.close()
    return cpu_s
