"""A run of everything, killed again and again, ends with the tables of an undisturbed one."""

from __future__ import annotations

import contextlib
import os
import random
from functools import partial
from pathlib import Path

import pytest
from tests import harness, real_server

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


def _so_far(
    daemon: harness.Daemon,
    ground: harness.Ground,
    sandbox: harness.Sandbox,
    share: float,
    requests: int,
) -> bool:
    """The run shows that share, and has asked so much since it began; or it has ended."""
    if not daemon.running or sandbox.requests() < requests:
        return not daemon.running
    return not share or ((ground.status() or {}).get("share") or 0.0) >= share


@pytest.mark.parametrize(
    ("kills", "trades", "last"),
    [
        pytest.param(3, 7_000, 0.0, id="short"),
        pytest.param(
            30, 40_000, 0.8, id="long", marks=[pytest.mark.long, pytest.mark.timeout(900)]
        ),
    ],
)
def test_a_run_of_everything_survives_its_kills(
    tmp_path: Path, kills: int, trades: int, last: float
) -> None:
    """Seed 002, supervisor: any number of restarts, one row per key, nothing lost, receipts
    complete. `last`: the share of the run at its last kill, at least. A unit may be under way at
    twenty deaths without a page gained: of thirty, some must come after a gain.
    """
    print("CRASH_SEED =", SEED)
    rng = random.Random(SEED)
    shares = sorted(rng.uniform(0.0, last) for _ in range(kills))
    with (
        harness.sandbox(trades=trades, wallets=80, markets=80, latency_ms=40) as sandbox,
        harness.ground(tmp_path, sandbox.url, batch_rows=2_000, reports="true") as ground,
    ):
        for share in shares:
            # Of some 600 requests in all, so that work is left at the last kill.
            requests = sandbox.requests() + rng.randint(1, 360 // kills)
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


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kills", "trades"), [(4, 7_000)])
def test_a_run_survives_its_kills_and_those_of_a_real_server(
    tmp_path: Path, kills: int, trades: int
) -> None:
    """So many of each. The daemon outlives its server, which comes back over the same folder."""
    print("CRASH_SEED =", SEED)
    rng = random.Random(SEED)
    victims = ["daemon", "server"] * kills
    rng.shuffle(victims)
    with (
        harness.sandbox(trades=trades, wallets=80, markets=80, latency_ms=40) as sandbox,
        harness.ground(tmp_path, sandbox.url, batch_rows=2_000) as ground,
        contextlib.ExitStack() as life,
    ):
        server = life.enter_context(real_server.running(tmp_path / "server"))
        listening = real_server.Listening(port=server.port)
        ground.use_server(server.port, server.database("killed"))
        daemon = ground.start("run")
        for victim in victims:
            # Of some 600 requests in all, so that work is left at the last kill.
            requests = sandbox.requests() + rng.randint(1, 360 // len(victims))
            reached = partial(_so_far, daemon, ground, sandbox, 0.0, requests)
            harness.until(reached, f"{requests} requests", 120)
            assert daemon.running, daemon.err()[-3_000:]
            if victim == "daemon":
                daemon.kill()
                daemon = ground.start("run")
            else:
                life.close()  # SIGKILL
                life.enter_context(real_server.running(tmp_path / "server", listening=listening))
                assert ground.duplicates() == 0
        daemon.end().expect(0)
        ground.prove_everything(sandbox)
        checked = ground.run("validate", "--offline", "--json", within_s=60)
        assert checked.code == 0, checked.out[:9_000]
