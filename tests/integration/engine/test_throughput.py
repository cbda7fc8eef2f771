"""More workers fetch faster, until the limit of the route says no."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from tests import harness
from tests.integration.engine import conftest

from polybackfill.polymarket import endpoints, http, rate_limiter

LATENCY_MS = 150.0
UNITS = 16
BINDING = endpoints.Budget(40)  # requests in 10 s: the 16 take 4 s, whoever sends them


@pytest.fixture(scope="module")
def slow_sandbox() -> Iterator[harness.Sandbox]:
    """One whose every answer takes its time."""
    with harness.sandbox(trades=2_000, latency_ms=LATENCY_MS) as running:
        yield running


async def took_s(small_run: conftest.SmallRun, sandbox: harness.Sandbox, workers: int) -> float:
    """Seconds for all units."""
    small_run.workers = workers
    began_at = time.monotonic()
    assert await small_run.supervise(conftest.wallets(sandbox, UNITS)).run() == 0
    return time.monotonic() - began_at


async def test_workers_help_until_the_limit_binds(
    slow_sandbox: harness.Sandbox, new_small_run: conftest.NewSmallRun
) -> None:
    """Seed 001, supervisor: N workers; throughput grows with N until the limiter binds."""
    free = {}
    for workers in (1, 4):
        small_run = new_small_run(f"free-{workers}", url=slow_sandbox.url)
        free[workers] = await took_s(small_run, slow_sandbox, workers)
    assert free[1] > UNITS * LATENCY_MS / 1000
    assert free[4] < free[1] / 2, free

    async def bound_s(workers: int) -> float:
        small_run = new_small_run(f"bound-{workers}", url=slow_sandbox.url)
        budgets = {name: endpoints.Budget(1_000_000) for name in endpoints.PUBLISHED}
        budgets["/v2/activity"] = BINDING
        small_run.limits = rate_limiter.RateLimiter(budgets, clock=small_run.clock)
        await small_run.client.close()
        small_run.client = http.Client(
            base_urls={"data": f"{small_run.url}/data"},
            limits=small_run.limits,
            clock=small_run.clock,
            deadline_s=5.0,
            refusal_pause_s=0.2,
        )
        return await took_s(small_run, slow_sandbox, workers)

    bound = await asyncio.gather(bound_s(4), bound_s(8))
    least_s = (UNITS - 1) * BINDING.window_s / BINDING.requests
    assert all(least_s * 0.97 < seconds < least_s * 1.5 for seconds in bound), bound
