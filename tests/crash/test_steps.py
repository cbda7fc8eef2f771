"""A kill between any two steps of the work loses nothing and doubles nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness
from tests.crash import stepkill

DRIVER = Path(stepkill.__file__)
# The first call, and one in the middle of the run.
CALLS = {
    "fetched": (1, 30),
    "parsed": (1, 30),
    "batched": (1, 5),
    "sent": (1, 5),
    "acknowledged": (1, 5),
    "written": (2, 20),
    # The first calls are those of the start.
    "untold": (3, 6),
    "told": (3, 6),
    "taken": (1, 25),
}


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[harness.Sandbox]:
    """Small: each step is killed twice, and then all of it is fetched."""
    with harness.sandbox(trades=3_000, wallets=40, markets=40) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Server]:
    """A ClickHouse server that survives all these deaths; each test has a database of its own."""
    with harness.ground(tmp_path_factory.mktemp("server"), "http://127.0.0.1:9") as ground:
        yield ground.serve()


@pytest.mark.parametrize("step", stepkill.STEPS)
def test_killed_between_two_steps(
    step: str, server: harness.Server, ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Seed 001, external_trades_raw: 0 duplicate trade ids after any crash and resume. Seed 002,
    supervisor: kill -9 between insert and checkpoint loses and duplicates nothing.
    """
    ground.use_server(server, "default")
    ground.query(f"CREATE DATABASE killed_{step}")
    ground.use_server(server, f"killed_{step}")
    ground.set(batch_rows=300, plan_refresh_s=0.1)
    keys = ground.write_keys(sandbox)
    for call in CALLS[step]:
        killed = ground.run(step, str(call), "run", *keys, driver=DRIVER)
        killed.expect(-signal.SIGKILL)
        assert ground.duplicates() == 0
    ended = ground.run("run", *keys)
    ended.expect(0)
    ground.prove(sandbox)
