"""The published limits, used by the whole daemon: how much of them, never more, and what happens
when they change without a word.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill.polymarket import endpoints

LATENCY_MS = 600.0
WARM_UP_S = 5.0
SETTLE_S = 30.0
SETTLED_FOR_S = 20.0
HANDFUL = 5
# name at the sandbox → requests per 10 s, as published
ROUTES = {"activity": 200, "trades": 300}
# Arrivals squeezed together by 200 ms fit a window (polymarket/budget_limiter.py). A sandbox that
# stood still for nearly as long counted its own delay.
EXACT_MS = 150.0
TRIES = 3
SHARES = (0.7, 0.3)


@dataclass(frozen=True)
class Reading:
    """The sandbox's counters at one moment, by budget."""

    at: float
    budgets: dict[str, dict[str, Any]]
    held_up_ms: float

    def rate(self, since: Reading, name: str) -> float:
        """Requests a second that were not refused."""
        served = self._served(name) - since._served(name)
        return served / (self.at - since.at)

    def total(self, counter: str) -> int:
        """One counter, all budgets together."""
        return sum(budget[counter] for budget in self.budgets.values())

    def _served(self, name: str) -> int:
        return int(self.budgets[name]["requests"] - self.budgets[name]["refused"])


def read(sandbox: harness.Sandbox) -> Reading:
    """Ask the sandbox now."""
    stats = sandbox.ask("stats")
    return Reading(time.monotonic(), stats["budgets"], stats["held_up_ms"])


class Meter:
    """What the sandbox counted, span by span; those in which it stood still are told apart."""

    def __init__(self, sandbox: harness.Sandbox, daemon: harness.Daemon) -> None:
        self._sandbox = sandbox
        self._daemon = daemon
        self._over = self._refused = 0
        self._inexact: list[str] = []

    def span(self, seconds: float) -> tuple[Reading, Reading]:
        """The counters before and after so many seconds, of a span that was counted exactly if
        there is one in three.
        """
        for _ in range(TRIES):
            self.close()
            before = read(self._sandbox)
            wait_s(seconds, self._daemon)
            after = read(self._sandbox)
            if after.held_up_ms <= EXACT_MS:
                break
        return before, after

    def close(self) -> None:
        """End the span that goes on and begin another one; what fills the windows stays in them."""
        last = read(self._sandbox)
        self._sandbox.ask("stats/reset", {})
        if last.held_up_ms <= EXACT_MS:
            self._over += last.total("violations")
            self._refused += last.total("refused")
            return
        over = last.total("violations")
        self._inexact.append(f"{last.held_up_ms:.0f} ms: {over} over")

    def figures(self) -> list[Figure]:
        """Requests over any window and refusals, since the beginning."""
        self.close()
        found = [
            Figure("requests over any window", str(self._over), "0", self._over == 0),
            Figure("refused with 429", str(self._refused), "0", self._refused == 0),
        ]
        if self._inexact:
            told = "; ".join(self._inexact)
            found.append(Figure("  not counted exactly, the sandbox stood still", told))
        return found


def wait_s(seconds: float, daemon: harness.Daemon) -> None:
    """Let the daemon run on; AssertionError when it ends, since then it had too little to do."""
    until = time.monotonic() + seconds
    harness.until(lambda: time.monotonic() >= until or not daemon.running, "the clock", seconds + 5)
    assert daemon.running, f"the daemon ran out of work\n{daemon.err()[-2000:]}"


def plan_of_many_requests(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    """Every wallet and market a unit of its own: much asking, few rows."""
    file = ground.folder / "plan.txt"
    size = bench_whole.ALONE_ROWS
    keys = [f"{key},{size},1" for key in (*sandbox.wallets, *sandbox.conditions)]
    file.write_text("\n".join(keys))
    ground.run("plan", "build", "--from", str(file)).expect(0)


def _sandbox() -> AbstractContextManager[harness.Sandbox]:
    return harness.sandbox(trades=120_000, wallets=2_600, markets=3_800, latency_ms=LATENCY_MS)


def shares(seconds: float) -> list[Figure]:
    """Use of the published limits by two runs that share them, each with a store of its own."""
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(_sandbox())
        grounds = []
        for share in SHARES:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            ground = stack.enter_context(bench_whole.as_shipped(folder, sandbox))
            ground.set(limits="{}", share=share)
            plan_of_many_requests(ground, sandbox)
            grounds.append(ground)
        sandbox.ask("limits", {"factor": 1.0})
        sandbox.reset()
        daemons = [ground.start("run", "conditions", "wallets") for ground in grounds]
        harness.until(lambda: sandbox.requests() > 0, "a request", 60.0)
        wait_s(2 * WARM_UP_S, daemons[0])
        meter = Meter(sandbox, daemons[0])
        with figures.noise() as noise:
            before, after = meter.span(seconds)
        counted = meter.figures()
        running = [daemon.running for daemon in daemons]
        for daemon in daemons:
            daemon.kill()
    assert all(running), "a daemon ran out of work"
    return [*_published(before, after), *counted, *_noise(noise)]


def whole_daemon(seconds: float) -> list[Figure]:
    """Use of the published limits over `seconds`, then of half of them."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        _sandbox() as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
        bench_whole.held_store(ground),
    ):
        ground.set(limits="{}")
        plan_of_many_requests(ground, sandbox)
        sandbox.ask("limits", {"factor": 1.0})
        sandbox.reset()
        daemon = ground.start("run", "conditions", "wallets", "--json")
        harness.until(lambda: sandbox.requests() > 0, "a request", 60.0)
        wait_s(WARM_UP_S, daemon)
        meter = Meter(sandbox, daemon)
        with figures.noise() as noise:
            before, after = meter.span(seconds)
        counted = meter.figures()
        changed = read(sandbox)
        sandbox.ask("limits", {"factor": 0.5})
        wait_s(SETTLE_S, daemon)
        settled = read(sandbox)
        wait_s(SETTLED_FOR_S, daemon)
        late = read(sandbox)
        status = ground.status()
        daemon.kill()
    assert status is not None
    return [*_published(before, after), *counted, *_noise(noise), *_halved(changed, settled, late)]


def _published(before: Reading, after: Reading) -> list[Figure]:
    took_s = after.at - before.at
    found = []
    for name, limit in ROUTES.items():
        used = after.rate(before, name) / (limit / endpoints.WINDOW_S)
        fullest = after.budgets[name]["fullest_window"]
        text = f"{name}: use of {limit} per 10 s over {took_s:.0f} s (fullest window {fullest})"
        found.append(Figure(text, f"{used:.1%}", ">= 97 %", used >= 0.97))
    return found


def _noise(noise: figures.Noise) -> list[Figure]:
    return [Figure("  cores taken by others meanwhile", f"{noise.others:.1f}")]


def _halved(changed: Reading, settled: Reading, late: Reading) -> list[Figure]:
    found = []
    for name, limit in ROUTES.items():
        used = late.rate(settled, name) / (limit / 2 / endpoints.WINDOW_S)
        text = f"{name}: use of {limit // 2} per 10 s, {SETTLE_S:.0f} s after a silent halving"
        found.append(Figure(text, f"{used:.1%}", ">= 90 %", used >= 0.90))
    refused = late.total("refused") - changed.total("refused")
    found.append(Figure("  refused with 429 since", str(refused), "<= 5", refused <= HANDFUL))
    return found
