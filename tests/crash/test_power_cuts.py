"""After a power cut the next run ends with every row, and claims nothing before it has.

The moments are random by a printed seed. What is asked of each: after the cut a run to the end
leaves the tables of an undisturbed run, and the checks of `validate` hold.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import harness
from tests.crash import power

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
LONG = [pytest.mark.long, pytest.mark.timeout(3_000)]


@dataclass(frozen=True)
class Site:
    """A disk, what is on it, and the API."""

    disk: power.Disk
    ground: harness.Ground
    sandbox: harness.Sandbox

    def cut(self, daemon: harness.Daemon | None = None) -> None:
        """The power goes."""
        store = self.ground.store_pid()
        self.disk.cut(pid for pid in (daemon and daemon.pid, store) if pid)
        if daemon is not None:
            daemon.process.wait(timeout=10)

    def prove(self, *words: str) -> None:
        """The next run to its end brings everything, and what it says holds."""
        self.ground.run("run", *words, within_s=200).expect(0)
        if words:
            self.ground.prove(self.sandbox)
        else:
            self.ground.prove_everything(self.sandbox)
        checked = self.ground.run("validate", "--offline", "--json")
        assert checked.code == 0, checked.out[:9_000]

    def until_stopped(self) -> None:
        """The embedded store has ended by itself."""
        harness.until(lambda: self.ground.store_pid() is None, "the end of the store")


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A fresh disk; the parameter: how many trades the sandbox has, and its latency."""
    trades, latency_ms = getattr(request, "param", (9_000, 25))
    if why := power.available():
        pytest.skip(why)
    with (
        power.disk(tmp_path) as disk,
        harness.sandbox(trades=trades, wallets=120, markets=80, latency_ms=latency_ms) as sandbox,
    ):
        if disk is None:
            pytest.skip("no loop device can be mounted here")
        with harness.ground(tmp_path, sandbox.url, batch_rows=1_000, fold_every=20) as ground:
            ground.data, ground.checkpoints = disk.mount / "data", disk.mount / "checkpoints"
            ground.set(data_dir=ground.data, checkpoint_dir=ground.checkpoints)
            yield Site(disk, ground, sandbox)


def _after_pages(site: Site, rng: random.Random) -> Callable[[], bool]:
    """Whether a random share of the work was served."""
    pages = rng.uniform(0.02, 0.9) * (len(site.sandbox.wallets) + len(site.sandbox.conditions) / 20)
    return lambda: site.sandbox.pages() >= pages


def _last_steps(site: Site) -> int:
    return len(site.ground.events("run.last_step"))


def _await(daemon: harness.Daemon, met: Callable[[], bool], what: str) -> None:
    harness.until(lambda: met() or not daemon.running, what, 120)


@pytest.mark.parametrize("cuts", [1, pytest.param(20, marks=LONG, id="long")])
def test_the_power_goes_at_random_moments_of_a_first_night(site: Site, cuts: int) -> None:
    """Nothing is synced by anybody but the program: not the tables, not the plan."""
    print("CRASH_SEED =", SEED)
    rng, pause = random.Random(SEED), threading.Event()
    site.ground.run("init").expect(0)
    site.ground.plan(site.sandbox)
    site.until_stopped()
    start = site.disk.keep("start.img") if cuts > 1 else None
    for number in range(cuts):
        if start is not None:
            site.disk.put_back(start)
        site.sandbox.reset()
        daemon = site.ground.start("run", "conditions", "wallets")
        _await(daemon, _after_pages(site, rng), f"cut {number}")
        pause.wait(rng.uniform(0, 0.3))
        site.cut(daemon)
        site.prove("conditions", "wallets")


@pytest.mark.parametrize(
    "early",
    [
        pytest.param("init", marks=pytest.mark.long),
        "plan",
        pytest.param("start", marks=pytest.mark.long),
    ],
)
def test_the_power_goes_before_anything_was_fetched(site: Site, early: str) -> None:
    """What a command that ended has made is there, or is made again; no store is refused."""
    site.ground.run("init").expect(0)
    if early == "init":
        site.cut()
        site.ground.run("init").expect(0)
    site.ground.plan(site.sandbox)
    if early == "plan":
        site.cut()
    if early == "start":
        daemon = site.ground.start("run", "wallets")
        harness.until(lambda: site.ground.store_pid() or not daemon.running, "the store", 60)
        site.cut(daemon)
    counted = "SELECT count() AS n FROM wallet_backfill_plan"
    assert site.ground.sql(counted) == [{"n": len(site.sandbox.wallets)}]
    site.prove("conditions", "wallets")


@pytest.mark.parametrize(
    ("cuts", "moment"),
    [
        pytest.param(1, "lists", marks=pytest.mark.long),
        pytest.param(6, "lists", marks=LONG, id="long-lists"),
        pytest.param(6, "last steps", marks=LONG, id="long-last-steps"),
    ],
)
@pytest.mark.parametrize("site", [(5_000, 10)], indirect=True)
def test_the_power_goes_in_a_run_of_everything(site: Site, cuts: int, moment: str) -> None:
    """Lists, positions, resolutions, and what is made of them when the last unit has ended."""
    print("CRASH_SEED =", SEED)
    rng, pause = random.Random(SEED), threading.Event()
    site.ground.set(reports="true")
    for _ in range(cuts):
        before = _last_steps(site)
        daemon = site.ground.start("run")
        if moment == "lists":
            pause.wait(rng.uniform(2.0, 7.0))
        else:
            steps = before + rng.randint(1, 4)
            _await(daemon, lambda n=steps: _last_steps(site) >= n, "the last steps")
        site.cut(daemon)
    site.prove()


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_the_power_goes_on_the_second_evening(site: Site) -> None:
    """A run that ended cleanly is not harmed by the cut of the next one."""
    print("CRASH_SEED =", SEED)
    rng, pause = random.Random(SEED), threading.Event()
    site.ground.run("run", within_s=200).expect(0)
    for _ in range(5):
        site.until_stopped()
        daemon = site.ground.start("run")
        pause.wait(rng.uniform(1.0, 6.0))
        site.cut(daemon)
    site.prove()
