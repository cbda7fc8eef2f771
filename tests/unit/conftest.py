"""A small sandbox for all unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import harness


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[harness.Sandbox]:
    """The smallest universe there is, without latency and limits."""
    with harness.sandbox(trades=6_500, wallets=40, markets=40) as running:
        yield running
