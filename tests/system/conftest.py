"""One small sandbox for all system tests of a session, and a fresh ground for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[harness.Sandbox]:
    """About 8,000 trade rows of 60 wallets in 60 markets, all hard cases included."""
    with harness.sandbox(trades=8_000) as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: harness.Sandbox) -> harness.Sandbox:
    """The shared sandbox without faults, its counters at zero."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def ground(tmp_path: Path, sandbox: harness.Sandbox) -> Iterator[harness.Ground]:
    """A user's empty folder with settings that point at the sandbox."""
    with harness.ground(tmp_path, sandbox.url) as made:
        yield made
    sandbox.reset()  # requests that hang end with their client; rules must not outlive the test
