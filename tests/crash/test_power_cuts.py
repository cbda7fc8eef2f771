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
from functools import partial
from pathlib import Path

import pytest
from tests import harness, holds
from tests.crash import power

from polybackfill import errors
from polybackfill.checkpoint import run_checkpoint

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

    def done(self) -> set[str]:
        """The units of which the log says that they are done: by then the checkpoint is synced."""
        return {event["unit"] for event in self.ground.events("unit.done")}

    def kept(self) -> set[str]:
        """The units that the checkpoint calls done."""
        return {
            receipt.unit.id
            for receipt in run_checkpoint.Checkpoint.view(self.ground.checkpoint).receipts()
        }

    def prove(self, *words: str) -> None:
        """The next run to its end misses nothing of what the checkpoint knows, and brings the rest;
        what it says holds.
        """
        ended = self.ground.run("run", *words, within_s=200)
        ended.expect(0)
        assert "rows are missing" not in ended.err, "the checkpoint knew more than the disk held"
        if words:
            self.ground.prove(self.sandbox)
        else:
            self.ground.prove_everything(self.sandbox)
        checked = self.ground.run("validate", "--offline", "--json")
        assert checked.code == 0, checked.out[:9_000]

    def mutating(self) -> bool:
        """A mutation of a table has begun, or a table is about to take another's place."""
        stored = self.ground.store / "engine" / "store"
        marks = ("*/*/mutation_*.txt", "*/*/tmp_mut*", "*/*/wallet_backfill_plan_fresh.sql")
        return any(True for mark in marks for _ in stored.glob(mark))

    def plan(self) -> list[tuple[str, str]]:
        """Wallets in rank order, each as often as a plain SELECT shows it, and their status."""
        planned = (
            "SELECT wallet_address AS key, toString(status) AS status FROM wallet_backfill_plan "
            "ORDER BY priority_rank, key"
        )
        return [(f"0x{row['key']}", row["status"]) for row in self.ground.sql(planned)]

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
            ground.data = disk.mount / "not yet" / "made" / "data"
            ground.checkpoints = disk.mount / "nor this" / "checkpoints"
            ground.set(data_dir=ground.data, checkpoint_dir=ground.checkpoints)
            yield Site(disk, ground, sandbox)


def _after_pages(site: Site, rng: random.Random) -> Callable[[], bool]:
    """Whether a random share of the work was served."""
    pages = rng.uniform(0.02, 0.9) * (len(site.sandbox.wallets) + len(site.sandbox.conditions) / 20)
    return lambda: site.sandbox.pages() >= pages


def _after_requests(site: Site, rng: random.Random) -> Callable[[], bool]:
    """Whether a random number of further requests was answered; most of the first are for lists."""
    requests = site.sandbox.requests() + rng.randint(1, 150)
    return lambda: site.sandbox.requests() >= requests


def _last_steps(site: Site) -> int:
    return len(site.ground.events("run.last_step"))


def _has_steps(site: Site, steps: int) -> bool:
    return _last_steps(site) >= steps


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
        done = site.done()
        site.cut(daemon)
        assert done <= site.kept()
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
        password = holds.password_of(site.ground.store)
        site.cut()
        site.ground.run("init").expect(0)
        assert holds.password_of(site.ground.store) == password
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
    rng = random.Random(SEED)
    site.ground.set(reports="true")
    for _ in range(cuts):
        before, met = _last_steps(site), _after_requests(site, rng)
        daemon = site.ground.start("run")
        if moment == "last steps":
            steps = before + rng.randint(1, 4)
            met = partial(_has_steps, site, steps)
        _await(daemon, met, moment)
        site.cut(daemon)
    site.prove()


CHANGES = [
    ("plan", "reset", "--all"),
    ("plan", "build", "--from", "plan.txt"),
    ("plan", "regenerate", "--from", "external_trades_raw"),
    ("sql", "UPDATE wallet_backfill_plan SET status = 'pending' WHERE status = 'done'"),
]


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(change[:2]))
@pytest.mark.parametrize("site", [(3_000, 0)], indirect=True)
def test_the_power_goes_amid_a_change_of_the_plan(site: Site, change: tuple[str, ...]) -> None:
    """The plan is the old one or the new one, each key once; what a command has done stays done."""
    print("CRASH_SEED =", SEED)
    rng, pause = random.Random(SEED), threading.Event()
    site.ground.plan(site.sandbox)
    site.ground.run("run", "conditions", "wallets").expect(0)
    for _ in range(3):
        daemon = site.ground.start(*change)
        _await(daemon, site.mutating, "the change of the table")
        pause.wait(rng.uniform(0, 0.1))
        site.cut(daemon)
        assert sorted(key for key, _ in site.plan()) == sorted(site.sandbox.wallets)
    site.ground.run(*change).expect(0)
    changed = site.plan()
    site.cut()
    assert site.plan() == changed
    site.prove("conditions", "wallets")


# What makes rows and checkpoint reach the disk, taken away; the program is started like this.
UNSYNCED = {
    "tables": """
from polybackfill.store import definitions
definitions.SYNC_SETTINGS = "fsync_after_insert = 0"
""",
    "checkpoint": """
import os
os.fsync = lambda descriptor: None
""",
}
MAIN = """
import sys
from polybackfill import cli
sys.exit(cli.main(sys.argv[1:]))
"""
TRIES = 6


@pytest.mark.long
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("what", UNSYNCED)
def test_a_sync_that_is_left_out_is_seen(site: Site, what: str, tmp_path: Path) -> None:
    """What these tests compare fails after some cut, when one of the two does not sync."""
    print("CRASH_SEED =", SEED)
    rng, pause = random.Random(SEED), threading.Event()
    driver = tmp_path / "unsynced.py"
    driver.write_text(UNSYNCED[what] + MAIN)
    site.ground.run("init", driver=driver).expect(0)
    site.ground.plan(site.sandbox)
    site.until_stopped()
    start, seen = site.disk.keep("start.img"), ""
    for number in range(TRIES):
        site.disk.put_back(start)
        site.sandbox.reset()
        daemon = site.ground.start("run", "conditions", "wallets", driver=driver)
        _await(daemon, _after_pages(site, rng), f"cut {number}")
        pause.wait(rng.uniform(0, 0.3))
        done = site.done()
        site.cut(daemon)
        try:
            assert done <= site.kept()
            site.prove("conditions", "wallets")
        except (AssertionError, errors.Stop) as failure:
            seen = str(failure)[:200]
            print(seen)
            break
    assert seen


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_the_power_goes_on_the_second_evening(site: Site) -> None:
    """A run that ended cleanly is not harmed by the cut of the next one."""
    print("CRASH_SEED =", SEED)
    rng = random.Random(SEED)
    site.ground.run("run", within_s=200).expect(0)
    for _ in range(5):
        site.until_stopped()
        met = _after_requests(site, rng)
        daemon = site.ground.start("run")
        _await(daemon, met, "requests")
        site.cut(daemon)
    site.prove()
