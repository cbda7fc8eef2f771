"""A small sandbox for all tests of modules beside real servers and processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from tests import harness


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
