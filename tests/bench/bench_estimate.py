"""The plan with hours, and the start of a run, over a plan of the size of the whole exchange."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time

from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill import clocks
from polybackfill.store import client, migrate

COMMAND_S = 200.0
PLANS = (
    """
    INSERT INTO api_market_rows
        (source, condition_id, market_id, question, token_ids, active, closed, volume)
    SELECT 'gamma', lower(hex(SHA256(toString(number)))), toString(number),
        concat('Question number ', toString(number), '?'), ['1', '2'], true, number % 3 > 0, 1000
    FROM numbers({conditions})
    """,
    """
    INSERT INTO condition_backfill_plan (condition_id, trade_count, notional, priority_rank, source)
    SELECT lower(hex(SHA256(toString(number)))), 1600, 1000, number + 1, 'bench'
    FROM numbers({conditions})
    """,
    """
    INSERT INTO wallet_backfill_plan (wallet_address, trade_count, notional, priority_rank, source)
    SELECT substring(lower(hex(SHA256(toString(number)))), 1, 40), 2400, 1000, number + 1, 'bench'
    FROM numbers({wallets})
    """,
)


async def fill(ground: harness.Ground, conditions: int, wallets: int) -> None:
    """Both plans pending, and the list of markets that one of them was made from."""
    store = await client.open(client.Address(data_dir=ground.store), clock=clocks.SystemClock())
    try:
        await migrate.up(store)
        for statement in PLANS:
            await store.command(statement.format(conditions=conditions, wallets=wallets))
    finally:
        await store.close()


def plan(conditions: int, wallets: int) -> list[Figure]:
    """Time and memory of `plan estimate` and of a run up to its first request."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(trades=20_000) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
    ):
        asyncio.run(fill(ground, conditions, wallets))
        estimated = _estimate(ground, conditions, wallets)
        started = _start(ground, sandbox)
        harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)
    return [*estimated, *started]


def _estimate(ground: harness.Ground, conditions: int, wallets: int) -> list[Figure]:
    began_at = time.monotonic()
    command = ground.start("plan", "estimate", "--json")
    with (
        figures.watching(lambda: command.pid) as own,
        figures.watching(ground.store_pid) as store,
    ):
        ended = command.end(COMMAND_S)
    took_s = time.monotonic() - began_at
    ended.expect(0)
    parts = {part["kind"]: part["units"] for part in json.loads(ended.out)["parts"]}
    assert (parts["conditions"], parts["wallets"]) == (conditions, wallets)
    return [
        Figure(
            f"plan estimate over {conditions:,} conditions and {wallets:,} wallets",
            f"{took_s:.1f} s",
            "<= 20 s",
            took_s <= 20,
        ),
        Figure("  memory of the command", f"{own.peak_mb:.0f} MB", "<= 500 MB", own.peak_mb <= 500),
        Figure("  memory of the store", f"{store.peak_mb:.0f} MB"),
    ]


def _start(ground: harness.Ground, sandbox: harness.Sandbox) -> list[Figure]:
    """From the start of the process to its first request, and ten seconds beyond."""
    sandbox.reset()
    began_at = time.monotonic()
    daemon = ground.start("run", "conditions", "wallets", "--json")
    with (
        figures.watching(lambda: daemon.pid) as own,
        figures.watching(ground.store_pid) as store,
    ):
        harness.until(lambda: sandbox.requests() > 0, "a request", COMMAND_S)
        took_s = time.monotonic() - began_at
        time.sleep(10.0)
        requests = sandbox.requests()
        daemon.signal(signal.SIGTERM)
        daemon.end().expect(0)
    return [
        Figure(
            "run with that plan: to the first request", f"{took_s:.1f} s", "<= 20 s", took_s <= 20
        ),
        Figure("  requests in the ten seconds after it", f"{requests:,}"),
        Figure("  memory of the daemon", f"{own.peak_mb:.0f} MB", "<= 500 MB", own.peak_mb <= 500),
        Figure("  memory of the store", f"{store.peak_mb:.0f} MB"),
    ]
