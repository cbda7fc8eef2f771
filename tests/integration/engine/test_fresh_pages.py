"""A first page the edge has kept for minutes does not hide the newest fills."""

from __future__ import annotations

import asyncio
import random

import aiohttp

from polybackfill import clocks, units, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import source_lag, store_writer, unit_queue, worker
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints, http, rate_limiter, retry, trade_feed
from polymarket_sandbox import app, options


async def test_rows_newer_than_the_cached_first_page_are_fetched(tmp_path) -> None:  # type: ignore[no-untyped-def]
    clock = clocks.SystemClock()
    asked = options.SandboxOptions(
        markets=40, wallets=40, trades=7_000, latency_ms=0, limits="off",
        cache=True, late_rows=300, late_after_s=2.0,
    )  # fmt: skip
    sandbox = await app.start(asked)
    async with aiohttp.ClientSession() as session:
        url = f"{sandbox.url}/data/v2/trades"
        head = await (await session.get(url, params={"limit": "1000", "_": "head"})).json()
        keys = list(dict.fromkeys(row["condition_id"][2:] for row in head["data"]))[:5]
        feed = trade_feed.build_condition_query(keys)
        early = await (await session.get(url, params=feed.params)).json()
        deadline = clock.monotonic() + 30
        while clock.monotonic() < deadline:  # until the late rows are there
            unseen = ("x", str(clock.monotonic()))
            fresh = await (await session.get(url, params=[*feed.params, unseen])).json()
            if fresh["data"] != early["data"]:
                break
            await asyncio.sleep(0.2)
        cached = await (await session.get(url, params=feed.params)).json()
        assert cached["data"] == early["data"] != fresh["data"]
    client = http.Client(
        base_urls={"data": f"{sandbox.url}/data"},
        limits=rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock),
        clock=clock,
    )
    book = run_checkpoint.Checkpoint.open(tmp_path)
    unit = units.Unit(units.CONDITIONS, tuple(keys))
    leases = unit_queue.Queue(units.CONDITIONS, feed=[unit], checkpoint=book, clock=clock)
    buffer = store_writer.WriteBuffer(
        cut_rows=10**6, cut_bytes=10**9, cut_age_s=60, buffer_bytes=10**9, clock=clock
    )
    runner = worker.UnitRunner(
        registry.KINDS[units.CONDITIONS],
        client=client, buffer=buffer, queue=leases, pacer=worker.Pacer(0, clock),
        retries=retry.PageRetries(3, clock, random.Random(1), 1), clock=clock,
        lag=source_lag.SourceLag(client, clock),
    )  # fmt: skip
    lease = await leases.lease_next("w")
    assert lease is not None
    await runner.run_unit(lease, worker_progress.Progress(clock))
    await buffer.close()
    insert = await buffer.next_insert()
    assert insert is not None
    newest = max(page.last_second or 0 for page in insert.pages)
    assert newest == fresh["data"][0]["timestamp"]
    stored = b"".join(page.lines["external_trades_landing"] for page in insert.pages)
    missing = [row for row in fresh["data"] if row["transaction_hash"][2:].encode() not in stored]
    assert missing == []
    await leases.close()
    await client.close()
    await sandbox.stop()
    book.close()
