"""A whole run without its command: the real parts over a real sandbox, quick to build, to bend."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio
from tests import harness

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import (
    intake,
    source_lag,
    store_writer,
    supervisor,
    systemd_notify,
    unit_queue,
    worker,
    worker_pool,
)
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints, http, rate_limiter, retry, route_health

QUICK = {"page_attempts": 2, "backoff_cap_s": 0.05, "max_attempts": 3, "stall_s": 30.0}


@dataclass
class SmallRun:
    """One part over one checkpoint; every argument can be changed before `supervise`."""

    url: str
    folder: Path
    kind: str = units.WALLETS
    sink: store_writer.Sink = field(default_factory=store_writer.DryRunSink)
    workers: int = 3
    sleep_s: float = 0.0
    deadline_s: float = 5.0
    no_progress_s: float = 30.0
    grace_s: float = 5.0
    cut_rows: int = 2_000
    cut_age_s: float = 0.2
    options: dict[str, float] = field(default_factory=lambda: dict(QUICK))
    sync_plan: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.clock = clocks.SystemClock()
        self.stop = asyncio.Event()
        self.checkpoint = run_checkpoint.Checkpoint.open(self.folder)
        self._lines: list[unit_queue.Queue] = []
        self.limits = rate_limiter.RateLimiter(
            {name: endpoints.Budget(1_000_000) for name in endpoints.PUBLISHED}, clock=self.clock
        )
        self.client = http.Client(
            base_urls={"data": f"{self.url}/data"},
            limits=self.limits,
            clock=self.clock,
            deadline_s=self.deadline_s,
            refusal_pause_s=0.2,
            controls=route_health.CONTROLS,
        )

    def supervise(self, feed: intake.Feed) -> supervisor.Supervisor:
        """The parts put together as a run does it; `feed`: its units."""
        self.line = unit_queue.Queue(
            self.kind,
            feed=feed,
            checkpoint=self.checkpoint,
            max_attempts=int(self.options["max_attempts"]),
            clock=self.clock,
        )
        self._lines.append(self.line)
        self.buffer = store_writer.WriteBuffer(
            cut_rows=self.cut_rows,
            cut_bytes=10**7,
            cut_age_s=self.cut_age_s,
            buffer_bytes=10**7,
            clock=self.clock,
        )
        self.runner = worker.UnitRunner(
            registry.KINDS[self.kind],
            client=self.client,
            buffer=self.buffer,
            queue=self.line,
            pacer=worker.Pacer(self.sleep_s, self.clock),
            retries=retry.PageRetries(
                int(self.options["page_attempts"]),
                self.clock,
                random.Random(1),
                self.options["backoff_cap_s"],
            ),
            clock=self.clock,
            lag=source_lag.SourceLag(self.client, self.clock),
        )
        self.pool = worker_pool.WorkerPool(
            self.kind,
            queue=self.line,
            runner=self.runner,
            size=lambda: self.workers,
            stall_s=self.options["stall_s"],
            clock=self.clock,
        )
        self.writer = store_writer.StoreWriter(
            buffer=self.buffer,
            sink=self.sink,
            checkpoint=self.checkpoint,
            queues_by_kind={self.kind: self.line},
            clock=self.clock,
            rng=random.Random(2),
        )
        return supervisor.Supervisor(
            pools_by_kind={self.kind: self.pool},
            buffer=self.buffer,
            writer=self.writer,
            checkpoint=self.checkpoint,
            sync_plan=self.sync_plan or _nothing_to_sync,
            outage=self._outage,
            notifier=systemd_notify.Notifier(None, None),
            stop=self.stop,
            bounds=supervisor.Bounds(
                no_progress_s=self.no_progress_s, grace_s=self.grace_s, plan_refresh_s=0.1
            ),
            clock=self.clock,
        )

    def _outage(self) -> str | None:
        silent = self.client.answers.silent_s(endpoints.ACTIVITY) > self.no_progress_s / 2
        return "/v2/activity" if silent else None

    async def close(self) -> None:
        """Let everything go."""
        for line in self._lines:
            await line.close()
        await self.client.close()
        self.checkpoint.close()


async def _nothing_to_sync() -> None:
    return


NewSmallRun = Callable[..., SmallRun]


@pytest_asyncio.fixture
async def new_small_run(tmp_path: Path, sandbox: harness.Sandbox) -> AsyncIterator[NewSmallRun]:
    """Makes small runs, closed afterwards, all on the same checkpoint unless named otherwise."""
    made: list[SmallRun] = []

    def make(name: str = "run", url: str = sandbox.url, **changes: object) -> SmallRun:
        made.append(SmallRun(url, tmp_path / name, **changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for small_run in made:
        await small_run.close()


def wallets(sandbox: harness.Sandbox, count: int) -> list[units.Unit]:
    """Units of the `count` wallets with the fewest rows: a page each at most."""
    return [
        units.Unit(units.WALLETS, (key.removeprefix("0x"),)) for key in sandbox.wallets[-count:]
    ]
