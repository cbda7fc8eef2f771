"""A run of everything, killed again and again, ends with the tables of an undisturbed one."""

from __future__ import annotations

import os
import random
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
    rng = random.Random(SEED)
    with (
        harness.sandbox(trades=trades, wallets=80, markets=80, latency_ms=40) as sandbox,
        harness.ground(tmp_path, sandbox.url, batch_rows=2_000, reports="true") as ground,
    ):
        for number in range(kills):
            # Of some 600 requests in all, so that work is left at the last kill.
            requests = sandbox.requests() + rng.randint(1, 360 // kills)
            daemon = ground.start("run")
            harness.until(
                lambda n=requests: sandbox.requests() >= n or not daemon.running,  # noqa: B023
                f"the requests before kill {number}",
                120,
            )
            assert daemon.running, daemon.err()[-3_000:]
            daemon.kill()
        ground.run("run", within_s=200).expect(0)
        ground.prove_everything(sandbox)
        checked = ground.run("validate", "--offline", "--json", within_s=60)
        assert checked.code == 0, checked.out[:9_000]
