"""All parts side by side at the published limits: every busy route, and `/v2/*` as a whole.

The lists and the plan of an earlier run are at work together first; then the lists have ended and
the resolutions take what the others leave of `/v2/*`.
"""

from __future__ import annotations

import tempfile

from tests import harness
from tests.bench import bench_budgets as budgets
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill.polymarket import endpoints

# Small pages, so that 60,000 markets keep Gamma's routes busy for minutes.
SMALL_PAGES = [
    {"kind": "clamped", "route": "markets", "limit": 10},
    {"kind": "clamped", "route": "events", "limit": 6},
]
# name at the sandbox → requests per 10 s, as published
WHILE_LISTING = {"markets": 300, "events": 500, "trades": 300, "activity": 200, "positions": 200}
AFTERWARDS = {"trades": 300, "activity": 200, "positions": 200, "data": 800}
NAMES = {"data": "all of /v2/*"}
SOON_S = 300.0


def all_parts(seconds: float) -> list[Figure]:
    """Use of every budget over `seconds`, twice."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(
            trades=300_000, wallets=5_000, markets=60_000, latency_ms=budgets.LATENCY_MS
        ) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
        bench_whole.held_store(ground),
    ):
        ground.set(limits="{}")
        budgets.plan_of_many_requests(ground, sandbox)
        sandbox.ask("limits", {"factor": 1.0})
        sandbox.reset()
        sandbox.faults(*SMALL_PAGES)
        daemon = ground.start("run", "--everything", "--json")
        meter = budgets.Meter(sandbox, daemon)
        _wait_for(sandbox, daemon, *WHILE_LISTING)
        found = _window("lists and plan", WHILE_LISTING, seconds, meter)
        sandbox.faults()
        _wait_for(sandbox, daemon, "resolutions")
        found += _window("lists read", AFTERWARDS, seconds, meter)
        found += meter.figures()
        daemon.kill()
    return found


def _wait_for(sandbox: harness.Sandbox, daemon: harness.Daemon, *routes: str) -> None:
    def asked() -> bool:
        assert daemon.running, daemon.err()[-2000:]
        seen = sandbox.ask("stats")["routes"]
        return all(name in seen for name in routes)

    harness.until(asked, "requests of every part", SOON_S)
    budgets.wait_s(endpoints.WINDOW_S, daemon)


def _window(
    when: str,
    limits: dict[str, int],
    seconds: float,
    meter: budgets.Meter,
) -> list[Figure]:
    with figures.noise() as noise:
        before, after = meter.span(seconds)
    found = []
    for name, limit in limits.items():
        used = after.rate(before, name) / (limit / endpoints.WINDOW_S)
        fullest = after.budgets[name]["fullest_window"]
        text = f"{when}: {NAMES.get(name, name)}, use of {limit} per 10 s over {seconds:.0f} s"
        text += f" (fullest window {fullest})"
        found.append(Figure(text, f"{used:.1%}", ">= 95 %", used >= 0.95))
    return [*found, Figure("  cores taken by others meanwhile", f"{noise.others:.1f}")]
