"""A probe of a sandbox, with the program's own client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest_asyncio
from tests import harness

from polybackfill import clocks, worker_progress
from polybackfill.polymarket import endpoints, http, rate_limiter
from polybackfill.probe import assumption_list, runner
from polybackfill.probe.assumption import Finding

Probe = Callable[..., Awaitable[tuple[dict[str, Finding], int]]]


@contextlib.asynccontextmanager
async def probing(url: str, *, deadline_s: float = 5.0) -> AsyncIterator[Probe]:
    """Looks at all assumptions, or at those named: the findings by name, and the requests."""
    clock = clocks.SystemClock()
    client = http.Client(
        base_urls={host: f"{url}/{host}" for host in ("data", "gamma", "clob")},
        limits=rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock),
        clock=clock,
        deadline_s=deadline_s,
        refusal_pause_s=0.0,
    )

    async def get(route: endpoints.Route, query: Sequence[tuple[str, str]]) -> http.Response:
        return await client.get(route, query, worker_progress.Progress(clock))

    async def look(*names: str, longest_s: float = 60.0) -> tuple[dict[str, Finding], int]:
        wanted = [one for one in assumption_list.ASSUMPTIONS if not names or one.name in names]
        findings, requests = await runner.look(wanted, get, clock=clock, longest_s=longest_s)
        return {one.name: one for one in findings}, requests

    try:
        yield look
    finally:
        await client.close()


@pytest_asyncio.fixture
async def probe(sandbox: harness.Sandbox) -> AsyncIterator[Probe]:
    """A probe of the shared sandbox."""
    async with probing(sandbox.url) as look:
        yield look
