"""A run of everything, killed again and again, ends with the tables of an undisturbed one."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from tests import harness

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


@pytest.mark.parametrize(
    ("kills", "trades"),
    [
        pytest.param(3, 7_000, id="short"),
        pytest.param(30, 40_000, id="long", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_a_run_of_everything_survives_its_kills(tmp_path: Path, kills: int, trades: int) -> None:
    """Seed 002, supervisor: any number of restarts, one row per key, nothing lost, receipts
    complete.
    """
    print("CRASH_SEED =", SEED)
    rng, pause = random.Random(SEED), threading.Event()
    with (
        harness.sandbox(trades=trades, wallets=80, markets=80, latency_ms=40) as sandbox,
        harness.ground(tmp_path, sandbox.url, batch_rows=2_000, reports="true") as ground,
    ):
        for _ in range(kills):
            daemon = ground.start("run")
            pause.wait(rng.uniform(0.8, 3.0))
            daemon.kill()
        ground.run("run", within_s=200).expect(0)
        ground.prove_everything(sandbox)
        checked = ground.run("validate", "--offline", "--json", within_s=60)
        assert checked.code == 0, checked.out[:9_000]
