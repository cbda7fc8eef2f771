"""Start, memory, and rows a second of the sandbox, which must not be what a benchmark measures.

Run: python tests/bench/bench_sandbox.py
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass

import aiohttp
import psutil

SERVE = (
    "from polymarket_sandbox import app, options\n"
    "app.serve(options.SandboxOptions(latency_ms=0, limits='off', **{asked}))\n"
)
UNIVERSES = (
    {},
    {"trades": 300_000},
    {"trades": 1_000_000, "markets": 2_000, "wallets": 3_000},
)
WALKERS = 8


@dataclass
class Tally:
    rows: int = 0
    body_bytes: int = 0
    pages: int = 0


async def walk(session: aiohttp.ClientSession, url: str, tally: Tally) -> None:
    """Follow a feed to its end; the cursor is cut from the tail of the page, not parsed."""
    cursor = ""
    while True:
        async with session.get(url + cursor) as reply:
            body = await reply.read()
        tail = json.loads(b"{" + body[body.rindex(b'"pagination"') :])
        tally.rows += body.count(b'"transaction_hash"')
        tally.body_bytes += len(body)
        tally.pages += 1
        following = tail["pagination"]["next_cursor"]
        if following is None:
            return
        cursor = f"&cursor={following}"


async def measure(base: str, server: psutil.Process, kind: str) -> None:
    """Walk the same feed from several walkers and print what a row costs the server."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/_sandbox/universe") as reply:
            special = (await reply.json())["special"]
        urls = {
            "activity": f"{base}/data/v2/activity?user={special['wallet_big']}&start=1&limit=1000",
            "trades": f"{base}/data/v2/trades?taker_only=false&limit=1000",
        }
        tally = Tally()
        spent_before, started = cpu_s(server), time.perf_counter()
        await asyncio.gather(*(walk(session, urls[kind], tally) for _ in range(WALKERS)))
        took_s = time.perf_counter() - started
        cost_us = (cpu_s(server) - spent_before) / tally.rows * 1e6
        print(
            f"  {kind:9} {tally.rows:9,} rows {tally.rows / took_s:10,.0f} rows/s "
            f"{cost_us:6.2f} us CPU/row {tally.body_bytes / tally.rows:6.0f} bytes/row"
        )


async def truth_s(base: str) -> float:
    """Seconds of the first question for the whole truth."""
    started = time.perf_counter()
    async with aiohttp.ClientSession() as session, session.get(f"{base}/_sandbox/truth") as reply:
        await reply.read()
    return time.perf_counter() - started


def cpu_s(server: psutil.Process) -> float:
    times = server.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """One line of start and memory per universe, and one per feed."""
    for asked in UNIVERSES:
        command = [sys.executable, "-c", SERVE.format(asked=asked)]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            base = process.stdout.readline().split()[-1]
            ready_s = time.perf_counter() - started
            server = psutil.Process(process.pid)
            rss_mb = server.memory_info().rss / 1e6
            print(f"{asked or 'default'}: ready in {ready_s:.2f} s, {rss_mb:.0f} MB")
            for kind in ("activity", "trades"):
                asyncio.run(measure(base, server, kind))
            first_s = asyncio.run(truth_s(base))
            rss_mb = server.memory_info().rss / 1e6
            print(f"  truth in {first_s:.2f} s, {rss_mb:.0f} MB at the end")
            process.terminate()


if __name__ == "__main__":
    main()
