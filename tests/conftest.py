"""What all tests share: which tests run, how hypothesis searches, and a few opt-in fixtures."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import aioresponses
import blockbuster
import hypothesis
import pytest
import structlog
from tests import forks, harness, keeper, real_server

ROOT = Path(__file__).resolve().parent.parent
# Real responses kept beside the repository; they are too big to ship and not ours to publish.
RECORDED = ROOT.parent / "shared" / "data" / "polymarket-recorded"

hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


# Whole programs first: with the small tests at the end no worker is left with a long one.
_SLOW_FIRST = (
    "system",
    "crash",
    "docs",
    "commands",
    "sandbox",
    "store",
    "integration",
    "property",
    "unit",
)


def pytest_configure() -> None:
    """Settings of the person who runs the tests must not reach the tests.

    A shell starts `make test &` with SIGINT ignored, and so would be every command of the tests.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith(("BACKFILL_", "CLICKHOUSE_", "NOTIFY_", "WATCHDOG_", "MAKE", "MFLAGS")):
            del os.environ[name]
    harness.Daemon.forks = forks.Forks()


def _weight(item: pytest.Item) -> int:
    folder = item.path.relative_to(ROOT / "tests").parts[0]
    return _SLOW_FIRST.index(folder) if folder in _SLOW_FIRST else len(_SLOW_FIRST)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out `long` unless -m names it, and `recorded` where the recordings are not there.

    What takes long comes first.
    """
    items.sort(key=_weight)
    unwanted = set()
    if "long" not in config.option.markexpr:
        unwanted.add("long")
    if not RECORDED.is_dir():
        unwanted.add("recorded")
    left_out = [item for item in items if unwanted & {mark.name for mark in item.iter_markers()}]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def recorded_dir() -> Path:
    """The folder of recorded responses; a test that asks for it is marked `recorded`."""
    assert RECORDED.is_dir(), "a test that uses recorded_dir needs pytest.mark.recorded"
    return RECORDED


class MockedResponse(aiohttp.ClientResponse):
    """A response that needs no connection.

    aiohttp 3.14 gave the constructor a required `stream_writer`, which aioresponses 0.7.9 does not
    know (its issue 289). Good for bodies up to 64 kB; more needs a real server.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", mock.Mock(output_size=0))
        super().__init__(*args, **kwargs)


class MockedHttp(aioresponses.aioresponses):
    """aioresponses whose replies are MockedResponse."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("response_class", MockedResponse)
        super().add(*args, **kwargs)


@pytest.fixture
def mocked_http() -> Iterator[MockedHttp]:
    """Single canned replies to aiohttp sessions; requests to loopback servers pass through."""
    with MockedHttp(passthrough=["http://127.0.0.1", "http://localhost"]) as mocked:
        yield mocked


@pytest.fixture
def no_blocking_calls() -> Iterator[blockbuster.BlockBuster]:
    """A call that blocks the event loop raises BlockingError at the place of the call."""
    with blockbuster.blockbuster_ctx() as watcher:
        yield watcher


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[harness.Sandbox]:
    """About 8,000 trade rows of 60 wallets in 60 markets, all hard cases included."""
    with harness.sandbox(trades=8_000) as running:
        yield running


@pytest.fixture
def sandbox(shared_sandbox: harness.Sandbox) -> Iterator[harness.Sandbox]:
    """The shared sandbox without faults, its counters at zero."""
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.reset()  # requests that hang end with their client; no rule outlives the test


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> harness.PreparedStore:
    """The tables of an embedded store, made once for all processes of this session."""
    folder = tmp_path_factory.getbasetemp()
    return harness.PreparedStore(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture
def ground(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    """A user's folder with settings that point at the sandbox, and a store without rows."""
    with harness.ground(tmp_path, sandbox.url, prepared=prepared) as made:
        yield made


@pytest.fixture
def bare_ground(tmp_path: Path, sandbox: harness.Sandbox) -> Iterator[harness.Ground]:
    """The same where nobody has made a store yet."""
    with harness.ground(tmp_path, sandbox.url) as made:
        yield made


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_server.Server]:
    """A real ClickHouse server for the tests of this session; each makes a database of its own."""
    with real_server.running(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def running_keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[keeper.Keeper]:
    """A Keeper for the tests of this session; who stops it starts it again."""
    with keeper.running(tmp_path_factory.mktemp("keeper")) as running:
        yield running


@pytest.fixture(scope="session")
def server_with_keeper(
    running_keeper: keeper.Keeper, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[real_server.Server]:
    """A real ClickHouse server with a Keeper; each test makes a database of its own."""
    folder = tmp_path_factory.mktemp("clickhouse-keeper")
    with real_server.running(folder, keeper_port=running_keeper.port) as server:
        yield server


@pytest.fixture(scope="session")
def two_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_server.Cluster]:
    """A cluster of two real servers; each test makes a database of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.closing(real_server.Cluster(folder, 2)) as running:
        yield running


@pytest.fixture
def events() -> Iterator[list[structlog.typing.EventDict]]:
    """What is logged meanwhile."""
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as captured:
        yield captured
