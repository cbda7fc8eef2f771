"""A small sandbox for the tests of modules beside real servers, and a way to ask it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from tests import harness

from polybackfill import clocks, worker_progress
from polybackfill.polymarket import endpoints, http, pagination, rate_limiter


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[harness.Sandbox]:
    """The smallest universe there is, without latency and limits."""
    with harness.sandbox(trades=6_500, wallets=40, markets=40) as running:
        yield running


async def until(met: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    """Return when `met` is true; AssertionError naming `what` when that does not come in time."""
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain for: {what}"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def fetching(sandbox: harness.Sandbox) -> AsyncIterator[pagination.Fetch]:
    """One request of a walk, without limits and without a second try."""
    clock = clocks.SystemClock()
    budgets = {name: endpoints.Budget(1_000_000) for name in endpoints.PUBLISHED}
    client = http.Client(
        base_urls={host: f"{sandbox.url}/{host}" for host in ("data", "gamma", "clob")},
        limits=rate_limiter.RateLimiter(budgets, clock=clock),
        clock=clock,
        refusal_pause_s=0.0,
    )

    async def ask(feed: pagination.FeedQuery, cursor: str | None) -> http.Response:
        return await client.get(
            feed.route, feed.request_params(cursor), worker_progress.Progress(clock)
        )

    try:
        yield ask
    finally:
        await client.close()


@pytest_asyncio.fixture
async def fetch(sandbox: harness.Sandbox) -> AsyncIterator[pagination.Fetch]:
    """The same, of the shared sandbox."""
    async with fetching(sandbox) as ask:
        yield ask
