"""SIGTERM ends the daemon cleanly from any state, and what was acknowledged is not asked again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors

GRACE_S = 15  # half of it must be enough for the end of a process on a busy machine
LATENCY_MS = 60
WORKERS = 4
PAGES_BEFORE_STOP = 40

pytestmark = pytest.mark.timeout(300)  # whole runs on a busy machine; each wait has its own end


@pytest.fixture(scope="module")
def slow_sandbox() -> Iterator[harness.Sandbox]:
    """A sandbox whose pages take long enough to stop a run in the middle."""
    with harness.sandbox(trades=10_000, latency_ms=LATENCY_MS) as running:
        yield running


@pytest.fixture(scope="module")
def pages_of_one_run(
    slow_sandbox: harness.Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
    prepared: harness.PreparedStore,
) -> int:
    """Pages an undisturbed run acknowledges."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with harness.ground(folder, slow_sandbox.url, prepared=prepared, workers=WORKERS) as ground:
        ended = ground.run("run", *ground.write_keys(slow_sandbox))
        ended.expect(0)
        return ground.acknowledged_pages()


@pytest.fixture
def ground(
    tmp_path: Path, slow_sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    """A user's folder with settings that point at the slow sandbox, and a store without rows."""
    slow_sandbox.reset()
    settings = {"workers": WORKERS, "grace_s": GRACE_S}
    with harness.ground(tmp_path, slow_sandbox.url, prepared=prepared, **settings) as made:
        yield made
    slow_sandbox.reset()


def _start(ground: harness.Ground, sandbox: harness.Sandbox) -> harness.Daemon:
    """A run that has pages acknowledged and much left to do."""
    daemon = ground.start("run", *ground.write_keys(sandbox))
    harness.until(lambda: sandbox.pages() >= PAGES_BEFORE_STOP, "pages under way")
    return daemon


def _terminate(daemon: harness.Daemon) -> harness.Finished:
    """SIGTERM; the end must come inside the grace period."""
    assert daemon.running, daemon.err()
    began_at = time.monotonic()
    daemon.signal(signal.SIGTERM)
    ended = daemon.end(GRACE_S + 1)
    assert time.monotonic() - began_at <= GRACE_S
    ended.expect(0)
    return ended


def _continue(ground: harness.Ground, sandbox: harness.Sandbox, pages_of_one_run: int) -> None:
    """The next start fetches what is missing, and no page that was acknowledged."""
    acknowledged, begun = ground.acknowledged_pages(), ground.open_units()
    sandbox.reset()
    ended = ground.run("run", *ground.write_keys(sandbox))
    ended.expect(0)
    ground.prove(sandbox)
    # The page in which the last whole second of an open unit ends is read once more: rows of a
    # second that was not complete were not stored.
    assert sandbox.pages() <= pages_of_one_run - acknowledged + begun


def test_under_load(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, pages_of_one_run: int
) -> None:
    """Seed 001, supervisor: SIGTERM exits cleanly within the limit."""
    daemon = _start(ground, slow_sandbox)
    ended = _terminate(daemon)
    served = slow_sandbox.pages()
    assert "stopped" in ended.out
    # What was in flight was finished or given back, what was fetched was stored.
    assert 0 < ground.acknowledged_pages() < pages_of_one_run
    assert served - ground.acknowledged_pages() <= 2 * 2 * WORKERS
    _continue(ground, slow_sandbox, pages_of_one_run)


def test_while_the_store_is_away(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, pages_of_one_run: int
) -> None:
    daemon = _start(ground, slow_sandbox)
    harness.until(lambda: ground.acknowledged_pages() > 0, "a page acknowledged")
    store_pid = ground.store_pid()
    assert store_pid is not None
    os.kill(store_pid, signal.SIGSTOP)
    try:
        stopped_at = slow_sandbox.pages()
        harness.until(lambda: slow_sandbox.pages() > stopped_at + 10, "pages that cannot be stored")
        _terminate(daemon)
    finally:
        os.kill(store_pid, signal.SIGCONT)
    assert ground.acknowledged_pages() > 0
    _continue(ground, slow_sandbox, pages_of_one_run)


@pytest.mark.long
def test_during_a_back_off(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, pages_of_one_run: int
) -> None:
    slow_sandbox.faults(
        {
            "kind": "429_json",
            "route": "data",
            "after": PAGES_BEFORE_STOP + 10,
            "retry_after_s": 30,
        }
    )
    daemon = _start(ground, slow_sandbox)
    harness.until(lambda: slow_sandbox.fired()["429_json"] > 0, "a refusal")
    began_at = time.monotonic()
    _terminate(daemon)
    # Nobody sits the 30 s out, nor the grace period.
    assert time.monotonic() - began_at < GRACE_S / 2
    _continue(ground, slow_sandbox, pages_of_one_run)


def test_during_the_start(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, pages_of_one_run: int
) -> None:
    daemon = ground.start("run", *ground.write_keys(slow_sandbox))
    harness.until((ground.checkpoint / "owner.json").exists, "the lock")
    daemon.signal(signal.SIGTERM)
    ended = daemon.end(GRACE_S)
    ended.expect(0)
    _continue(ground, slow_sandbox, pages_of_one_run)


@pytest.mark.long
def test_during_a_start_that_waits_for_the_store(
    ground: harness.Ground, slow_sandbox: harness.Sandbox
) -> None:
    ground.serve()
    store_pid = ground.store_pid()
    assert store_pid is not None
    os.kill(store_pid, signal.SIGSTOP)
    try:
        daemon = ground.start("run", *ground.write_keys(slow_sandbox))
        harness.until((ground.checkpoint / "owner.json").exists, "the lock")
        daemon.signal(signal.SIGTERM)
        ended = daemon.end(GRACE_S)
    finally:
        os.kill(store_pid, signal.SIGCONT)
    ended.expect(0)
    ground.run("run", *ground.write_keys(slow_sandbox)).expect(0)
    ground.prove(slow_sandbox)


@pytest.mark.long
def test_twice_leaves_at_once_and_loses_nothing(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, pages_of_one_run: int
) -> None:
    daemon = _start(ground, slow_sandbox)
    store_pid = ground.store_pid()
    assert store_pid is not None
    os.kill(store_pid, signal.SIGSTOP)  # so that the first signal cannot end it quickly
    try:
        daemon.signal(signal.SIGTERM)
        harness.until(lambda: "run.draining" in daemon.err(), "the drain")
        began_at = time.monotonic()
        daemon.signal(signal.SIGTERM)
        ended = daemon.end(2)
        assert time.monotonic() - began_at < 1
    finally:
        os.kill(store_pid, signal.SIGCONT)
    ended.expect(errors.EXIT_FORCED)
    _continue(ground, slow_sandbox, pages_of_one_run)
