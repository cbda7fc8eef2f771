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
        daemon = ground.start("run", "--json")
        _wait_for(sandbox, daemon, *WHILE_LISTING)
        found = _window("lists and plan", WHILE_LISTING, seconds, sandbox, daemon)
        sandbox.faults()
        _wait_for(sandbox, daemon, "resolutions")
        found += _window("lists read", AFTERWARDS, seconds, sandbox, daemon)
        last = budgets.read(sandbox)
        daemon.kill()
    over, refused = last.total("violations"), last.total("refused")
    return [
        *found,
        Figure("requests over any window", str(over), "0", over == 0),
        Figure("refused with 429", str(refused), "0", refused == 0),
    ]


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
    sandbox: harness.Sandbox,
    daemon: harness.Daemon,
) -> list[Figure]:
    with figures.noise() as noise:
        before = budgets.read(sandbox)
        budgets.wait_s(seconds, daemon)
        after = budgets.read(sandbox)
    found = []
    for name, limit in limits.items():
        used = after.rate(before, name) / (limit / endpoints.WINDOW_S)
        fullest = after.budgets[name]["fullest_window"]
        text = f"{when}: {NAMES.get(name, name)}, use of {limit} per 10 s over {seconds:.0f} s"
        text += f" (fullest window {fullest})"
        found.append(Figure(text, f"{used:.1%}", ">= 95 %", used >= 0.95))
    return [*found, Figure("  cores taken by others meanwhile", f"{noise.others:.1f}")]
