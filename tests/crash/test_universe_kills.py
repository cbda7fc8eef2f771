"""A run of everything, killed again and again, ends with the tables of an undisturbed one."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import pytest
from tests import harness

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


def _so_far(
    daemon: harness.Daemon,
    ground: harness.Ground,
    sandbox: harness.Sandbox,
    share: float,
    requests: int,
) -> bool:
    """The run shows that share, and has asked so much since it began; or it has ended."""
    shown = (ground.status() or {}).get("share") or 0.0
    return not daemon.running or (shown >= share and sandbox.requests() >= requests)


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
    shares = sorted(rng.uniform(0.0, 0.8) for _ in range(kills))
    with (
        harness.sandbox(trades=trades, wallets=80, markets=80, latency_ms=40) as sandbox,
        harness.ground(tmp_path, sandbox.url, batch_rows=2_000, reports="true") as ground,
    ):
        for share in shares:
            requests = sandbox.requests() + rng.randint(1, 40)
            daemon = ground.start("run")
            harness.until(
                partial(_so_far, daemon, ground, sandbox, share, requests), f"share {share}", 120
            )
            assert daemon.running, daemon.err()[-3_000:]
            daemon.kill()
        ground.run("run", within_s=200).expect(0)
        ground.prove_everything(sandbox)
        checked = ground.run("validate", "--offline", "--json", within_s=60)
        assert checked.code == 0, checked.out[:9_000]
