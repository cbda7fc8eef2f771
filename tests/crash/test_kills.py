"""Killed at random moments, again and again, a run ends as if it had never been killed.

The moments are random by a printed seed, and spread the whole work over all lives: most kills come
after a random number of further pages were recorded, some after pages were served and mostly not
recorded yet, some while the daemon is still starting.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests import harness

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


@dataclass(frozen=True)
class KillPlan:
    """How much work, and how often it is interrupted. `rows`: trades to be stored at least.
    `latency_ms` a page takes keeps the work longer than the interruptions."""

    rows: int
    trades: int
    wallets: int
    markets: int
    latency_ms: float
    daemon_kills: int
    store_kills: int


SHORT = KillPlan(
    rows=8_000,
    trades=24_000,
    wallets=120,
    markets=120,
    latency_ms=120,
    daemon_kills=6,
    store_kills=2,
)
LONG = KillPlan(
    rows=300_000,
    trades=440_000,
    wallets=500,
    markets=400,
    latency_ms=120,
    daemon_kills=52,
    store_kills=12,
)

# No fault often enough to stop the work. Those that cost a pause or a deadline are rarer.
_QUICK = ("408", "500", "502", "504", "520", "reset", "truncated", "cut_json", "invalid_json")
_ODD = ("wrong_rows", "cursor_repeat", "cursor_refused")
_SLOW = ("429_json", "429_html", "403_html", "503", "hang", "drip")
FAULTS = [
    {"kind": kind, "route": "data", "probability": 0.003 if kind in _SLOW else 0.01}
    for kind in (*_QUICK, *_ODD, *_SLOW)
]


@dataclass
class Tally:
    """What was done to the run."""

    daemon_kills: int = 0
    store_kills: int = 0
    looks: int = 0
    recorded: list[int] = field(default_factory=list)


class RandomKiller:
    """Runs the daemon and kills it, or its store, until it has had enough."""

    def __init__(
        self, kill_plan: KillPlan, ground: harness.Ground, sandbox: harness.Sandbox, seed: int
    ) -> None:
        self._kill_plan = kill_plan
        self._ground = ground
        self._sandbox = sandbox
        self._rng = random.Random(seed)
        self._pause = threading.Event()
        # About so many pages: those of the wallets, and of the conditions if all were full. The
        # kills must not outlast them.
        rows = {row["wallet"]: row["all_rows"] for row in sandbox.ask("wallets?top=1000000")}
        of_wallets = sum(rows[wallet] // 1_000 + 1 for wallet in sandbox.wallets)
        found = {row["condition_id"]: row["rows"] for row in sandbox.ask("conditions?top=1000000")}
        of_conditions = sum(found[key] for key in sandbox.conditions) // 1_000
        self._pages = round(0.85 * (of_wallets + of_conditions))
        self.tally = Tally()

    def kill_all(self) -> None:
        """All kills of the plan, in a random order."""
        kills = ["daemon"] * self._kill_plan.daemon_kills + ["store"] * self._kill_plan.store_kills
        self._rng.shuffle(kills)
        daemon = self._begin()
        for number, victim in enumerate(kills):
            self._let_work(daemon, len(kills) - number)
            assert daemon.running, f"the work was over after {self.tally}: {daemon.err()[-3000:]}"
            self._look_for_duplicates()
            if victim == "daemon":
                daemon.kill()
                self.tally.daemon_kills += 1
                daemon = self._begin()
            else:
                self._kill_store()
        daemon.kill()

    def _begin(self) -> harness.Daemon:
        return self._ground.start("run", "conditions", "wallets")

    def _let_work(self, daemon: harness.Daemon, kills_left: int) -> None:
        """Return at a random moment of the daemon's life."""
        recorded = self._ground.acknowledged_pages()
        self.tally.recorded.append(recorded)
        share = (self._pages - recorded) / (kills_left + 1) * self._rng.uniform(0.2, 1.4)
        moment = self._rng.random()
        if moment < 0.7:
            self._until(daemon, self._ground.acknowledged_pages, recorded + max(1, round(share)))
        elif moment < 0.9:
            served = self._sandbox.pages()
            self._until(daemon, self._sandbox.pages, served + max(1, round(share)))
        else:
            self._pause.wait(self._rng.uniform(0, 0.9))
        self._pause.wait(self._rng.uniform(0, 0.1))

    def _until(self, daemon: harness.Daemon, counted: Callable[[], int], pages: int) -> None:
        harness.until(
            lambda: counted() >= pages or not daemon.running,
            f"{pages} pages; {self.tally}",
            within_s=60,
            every_s=0.1,  # reading the checkpoint takes time the daemon needs
        )

    def _look_for_duplicates(self) -> None:
        if self._rng.random() < 0.5:
            return
        found = self._ground.duplicates()
        if found is not None:  # the store may be down just now
            assert found == 0
            self.tally.looks += 1

    def _kill_store(self) -> None:
        # The daemon may be starting, or its store: both are waited for.
        harness.until(self._killed_store, "a store to kill", within_s=60)
        self.tally.store_kills += 1

    def _killed_store(self) -> bool:
        pid = self._ground.store_pid()
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it was ending by itself
            return False
        return True


@pytest.fixture
def kill_plan(request: pytest.FixtureRequest) -> KillPlan:
    """How much work this test does, and how often it is killed."""
    asked: KillPlan = request.param
    return asked


@pytest.fixture
def sandbox(kill_plan: KillPlan) -> Iterator[harness.Sandbox]:
    """A sandbox of the plan's size."""
    size = {"trades": kill_plan.trades, "wallets": kill_plan.wallets, "markets": kill_plan.markets}
    with harness.sandbox(**size, latency_ms=kill_plan.latency_ms, half=True) as running:
        yield running


@pytest.mark.parametrize(
    "kill_plan",
    [
        # Nine starts, of many seconds each on a loaded machine; what must not take long has a
        # deadline of its own.
        pytest.param(SHORT, id="short", marks=pytest.mark.timeout(600)),
        pytest.param(LONG, id="long", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
    indirect=True,
)
def test_killed_at_random_moments(
    kill_plan: KillPlan, ground: harness.Ground, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    """Seed 001, worker: crash at any point, then resume gives the rows of an uninterrupted run."""
    print("CRASH_SEED =", SEED)
    ground.set(batch_rows=2_000, request_deadline_s=2, host_pause_s=0.3)
    ground.plan(sandbox)
    sandbox.faults(*FAULTS)
    killer = RandomKiller(kill_plan, ground, sandbox, SEED)
    killer.kill_all()
    print(killer.tally)
    assert killer.tally.daemon_kills >= kill_plan.daemon_kills
    assert killer.tally.store_kills >= kill_plan.store_kills
    assert sandbox.truth()["trades"]["rows"] >= kill_plan.rows
    ended = ground.run("run", "conditions", "wallets", within_s=600)
    ended.expect(0)
    ground.prove(sandbox)
    assert ground.statuses() == {"done": len(sandbox.wallets)}
    pending = ground.sql("SELECT count() AS n FROM condition_backfill_plan WHERE status != 'done'")
    assert pending == [{"n": 0}]
    assert ground.open_units() == 0
