"""Daemons of one job that are killed, suspended, cut off, and whose clocks are ahead: nothing is
there twice, nothing is lost, and the job ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests import cut_proxy, harness, keeper, real_server

from polybackfill import errors
from polybackfill.checks import table_digest
from polybackfill.polymarket import endpoints

SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
TAKEN_OVER_S = 120.0
JOB = "events"
HOSTS = 3


class Daemon:
    """One host of the job: it is started again whenever it has ended but by the end of the job."""

    def __init__(self, ground: harness.Ground, wire: cut_proxy.CutProxy) -> None:
        self.ground = ground
        self.wire = wire
        self.process = ground.start("run")
        self.ends: list[int] = []
        self.is_through = False

    @property
    def name(self) -> str:
        """Of its run."""
        return self.ground.environment["BACKFILL_RUN_NAME"]

    @property
    def member(self) -> str:
        """The place in the job of its present start, "" before it has one."""
        try:
            file = self.ground.data / "status" / f"{self.name}.json"
            picture = json.loads(file.read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return ""
        is_present = picture["pid"] == self.process.pid and picture["job"]
        return str(picture["job"]["member"]) if is_present else ""

    def tend(self) -> None:
        """Start it again where another took over; AssertionError when it ended otherwise."""
        if self.is_through or self.process.running:
            return
        ended = self.process.end()
        ended.expect(errors.EXIT_OK, errors.EXIT_UNAVAILABLE)
        self.ends.append(ended.code)
        self.is_through = ended.code == errors.EXIT_OK
        if not self.is_through:
            self.process = self.ground.start("run")

    def kill(self) -> None:
        self.process.kill()
        self.process = self.ground.start("run")


class Job:
    """The daemons of a job, what befalls them, and whether a row is ever seen twice."""

    def __init__(
        self,
        daemons: list[Daemon],
        server: real_server.Server,
        own_keeper: keeper.Keeper,
        *,
        lease_s: float,
        rng: random.Random,
    ) -> None:
        self.daemons = daemons
        self._server = server
        self._keeper = own_keeper
        self._lease_s = lease_s
        self._rng = rng
        self.events: dict[str, Callable[[Daemon], None]] = {
            "kill": Daemon.kill,
            "suspend": self._suspend,
            "keeper": self._cut_keeper,
            "store": self._cut_store,
            "clock": self._set_clock,
        }

    def schedule(self, count: int) -> Iterator[tuple[str, Daemon]]:
        """So many events, of each kind as many, in any order."""
        kinds = [kind for kind in self.events if kind != "clock" or FAKETIME.exists()]
        names = [kinds[number % len(kinds)] for number in range(count)]
        self._rng.shuffle(names)
        for name in names:
            yield name, self._rng.choice(self.daemons)

    def tend(self) -> None:
        for daemon in self.daemons:
            daemon.tend()

    @property
    def is_through(self) -> bool:
        self.tend()
        return all(daemon.is_through for daemon in self.daemons)

    def count_twice(self) -> int:
        """Fills that a plain SELECT shows more than once."""
        counted = f"SELECT count() FROM ({table_digest.DUPLICATES})"
        return int(self._server.sql(counted, database=JOB) or 0)

    def await_place(self, daemon: Daemon) -> None:
        """Until its present start has a place in the job, or all is done."""

        def has_place() -> bool:
            self.tend()
            return daemon.is_through or self._state(daemon.member) == "alive"

        harness.until(has_place, f"{daemon.name} at work", TAKEN_OVER_S, every_s=0.2)

    def _state(self, member: str) -> str:
        """How it stands in Keeper; "" while that is away."""
        stands = f"SELECT state FROM backfill_members WHERE member = '{member}'"
        try:
            return self._server.sql(stands, database=JOB).strip()
        except urllib.error.HTTPError:
            return ""

    def _suspend(self, daemon: Daemon) -> None:
        """For longer than its lease: the others take over, it wakes, and ends."""
        member = daemon.member
        daemon.process.signal(signal.SIGSTOP)
        try:
            harness.until(
                lambda: self._state(member) == "gone", "a take-over", TAKEN_OVER_S, every_s=0.2
            )
        finally:
            daemon.process.signal(signal.SIGCONT)
        harness.until(lambda: not daemon.process.running, "the end of the woken one", TAKEN_OVER_S)
        self.tend()
        assert daemon.ends[-1] == errors.EXIT_UNAVAILABLE

    def _cut_keeper(self, _daemon: Daemon) -> None:
        """The Keeper is away, for all of them, sometimes longer than a lease."""
        self._keeper.stop()
        self._pause(self._rng.uniform(0.2, 1.5) * self._lease_s)
        self._keeper.start()

    def _cut_store(self, daemon: Daemon) -> None:
        """One of them does not reach the store, which hears nothing or is reset."""
        daemon.wire.cut(silent=self._rng.random() < 0.5)
        self._pause(self._rng.uniform(0.2, 2.5) * self._lease_s)
        daemon.wire.mend()

    def _set_clock(self, daemon: Daemon) -> None:
        """It ends in order, and comes again with a clock that is ahead by up to a day."""
        daemon.process.signal(signal.SIGTERM)
        daemon.process.end().expect(errors.EXIT_OK, errors.EXIT_UNAVAILABLE)
        daemon.ground.environment |= {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": f"+{self._rng.randint(60, 86_400)}s",
            "DONT_FAKE_MONOTONIC": "1",
        }
        daemon.process = daemon.ground.start("run")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        harness.until(lambda: time.monotonic() >= until, "the clock", seconds + 5, every_s=0.1)


class Watcher:
    """Counts rows that are there twice, again and again until it is stopped."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ended = threading.Event()
        self.looks: list[int] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)
        if self.error is not None:
            raise self.error

    def _watch(self) -> None:
        try:
            while not self._ended.wait(0.5):
                self.looks.append(self._job.count_twice())
        except Exception as error:
            self.error = error


@contextlib.contextmanager
def started(
    home: Path, sandbox: harness.Sandbox, server: real_server.Server, **settings: object
) -> Iterator[Daemon]:
    """A daemon with a folder and a wire of its own."""
    home.mkdir()
    with (
        harness.ground(home, sandbox.url, job=JOB, run_name=home.name, **settings) as ground,
        cut_proxy.before(server.port) as wire,
    ):
        ground.use_server(wire.port, JOB)
        yield Daemon(ground, wire)


class Size(NamedTuple):
    """How much befalls how many rows; `limit`: of each host's requests in 10 s, so that all of it
    comes to pass before the end.
    """

    events: int
    trades: int
    keys: int
    limit: int
    lease_s: float


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(
            Size(40, 300_000, 1_300, 60, 6),
            id="long",
            marks=[pytest.mark.long, pytest.mark.timeout(3_000)],
        ),
    ],
)
def test_a_job_survives_what_befalls_its_daemons(tmp_path: Path, size: Size) -> None:
    """Digests equal, no row twice to a plain SELECT at any moment, an end without help."""
    print("CRASH_SEED =", SEED)
    rng = random.Random(SEED)
    (tmp_path / "keeper").mkdir()
    with (
        harness.sandbox(trades=size.trades, wallets=size.keys, markets=size.keys) as sandbox,
        keeper.running(tmp_path / "keeper") as own_keeper,
        real_server.running(tmp_path / "server", keeper_port=own_keeper.port) as server,
        contextlib.ExitStack() as stack,
    ):
        server.database(JOB)
        settings = {"job_lease_s": size.lease_s, "job_shards": 24, "job_slices": 4}
        settings |= {"limits": json.dumps(dict.fromkeys(endpoints.PUBLISHED, size.limit))}
        daemons = [
            stack.enter_context(
                started(
                    tmp_path / f"host{number}",
                    sandbox,
                    server,
                    source_address=f"127.0.0.{number + 2}",
                    **settings,
                )
            )
            for number in range(HOSTS)
        ]
        job = Job(daemons, server, own_keeper, lease_s=size.lease_s, rng=rng)
        harness.until(
            lambda: len(sandbox.ask("stats")["addresses"]) == HOSTS, "requests of each", 120
        )
        befallen: Counter[str] = Counter()
        with Watcher(job) as watcher:
            for name, daemon in job.schedule(size.events):
                job.await_place(daemon)
                assert not any(one.is_through for one in daemons), f"over after {befallen}"
                job.events[name](daemon)
                befallen[name] += 1
                print(f"{time.strftime('%X')} {name} {daemon.name}: {sandbox.requests()} requests")
            harness.until(lambda: job.is_through, "the end of the job", 1_800, every_s=0.5)
        print(f"{dict(befallen)}, {len(watcher.looks)} looks, ends {[one.ends for one in daemons]}")
        assert sum(befallen.values()) == size.events
        assert max(watcher.looks) == 0
        for one in daemons:
            one.wire.mend()
        daemons[0].ground.environment.pop("LD_PRELOAD", None)
        daemons[0].ground.prove_tables(sandbox)
        checked = daemons[0].ground.run("validate", "--offline", "--json", within_s=300)
        assert checked.code == 0, checked.out[:9_000]
