"""The time left, as the run itself says it, beside the truth: at one third, half and two thirds.

Runs of half a minute or more at limits that are on: of everything from nothing, the same killed in
the middle and started again; a plan of chosen wallets with `--limit`, wallets of which nobody knows
the size, and one part alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import harness
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill.polymarket import endpoints

LATENCY_MS = 300.0
RUN_S = 900.0
SAMPLE_S = 0.5
WITHIN = 0.25
MOMENTS = {"one third": 1 / 3, "half": 1 / 2, "two thirds": 2 / 3}
KILLED_AT = 0.4
TRACES = os.environ.get("BENCH_TRACES")  # a folder to keep every sample in


@dataclass
class Trace:
    """What one run said of itself: (seconds since its start, its picture)."""

    took_s: float = 0.0
    samples: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def at(self, moment: float) -> tuple[float, dict[str, Any]]:
        """The first picture after this part of the run."""
        return next(found for found in self.samples if found[0] >= moment * self.took_s)


def whole(seed: int, scale: float = 1.0) -> list[Figure]:
    """Everything, from nothing and resumed, on a universe of this size."""
    with _place(seed, scale) as (_, ground):
        fresh = _traced(ground, "run")
    found = _figures("from nothing", fresh)
    with _place(seed, scale) as (_, ground):
        _killed_after(ground, fresh.took_s * KILLED_AT, "run")
        return found + _figures("killed and started again", _traced(ground, "run"))


def chosen(seed: int, scale: float = 1.0) -> list[Figure]:
    """Wallets of known and of unknown size, and one part alone."""
    limit = str(round(700 * scale))
    with _place(seed, scale) as (sandbox, ground):
        _plan(ground, sandbox)
        words = ("run", "wallets", "positions", "--limit", limit)
        found = _figures(f"{limit} of a plan", _traced(ground, *words))
        found += _figures("one part", _traced(ground, "run", "positions"))
    with _place(seed, scale) as (sandbox, ground):
        ids = ground.folder / "ids.txt"
        ids.write_text("\n".join(sorted(sandbox.wallets)), encoding="utf-8")
        words = ("run", "wallets", "--wallet", str(ids), "--limit", limit)
        # What nobody knows need not be told, but what is told must be right.
        return found + _figures(f"{limit} of unknown size", _traced(ground, *words), needed=False)


@contextlib.contextmanager
def _place(seed: int, scale: float) -> Iterator[tuple[harness.Sandbox, harness.Ground]]:
    factor = 2
    limits = {name: budget.requests * factor for name, budget in endpoints.PUBLISHED.items()}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(
            trades=round(80_000 * scale),
            wallets=round(1_200 * scale),
            markets=round(4_000 * scale),
            latency_ms=LATENCY_MS,
            seed=seed,
        ) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
    ):
        ground.set(limits=json.dumps(limits))
        sandbox.ask("limits", {"factor": factor})
        sandbox.ask("stats/reset", {})
        yield sandbox, ground
        harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)


def _traced(ground: harness.Ground, *words: str) -> Trace:
    """Run it to its end and look at its status file meanwhile."""
    trace, began_at = Trace(), time.monotonic()
    daemon = ground.start(*words)
    while daemon.running:
        _sample(trace, ground.data / "status" / "main.json", daemon.pid, began_at)
        assert time.monotonic() - began_at < RUN_S, daemon.err()[-3000:]
        threading.Event().wait(SAMPLE_S)
    daemon.end().expect(0)
    trace.took_s = time.monotonic() - began_at
    return trace


def _sample(trace: Trace, file: Path, pid: int, began_at: float) -> None:
    """The newest picture, if it is this process's own."""
    try:
        picture = json.loads(file.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return
    if picture["pid"] == pid:
        trace.samples.append((time.monotonic() - began_at, picture))


def _killed_after(ground: harness.Ground, seconds: float, *words: str) -> None:
    daemon = ground.start(*words)
    threading.Event().wait(seconds)
    assert daemon.running, daemon.err()[-3000:]
    daemon.kill()
    harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)


def _plan(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    """Chosen wallets by volume, with the number of rows that each is expected to have."""
    ranked = [row for row in sandbox.ask("wallets?top=1000000") if not row["contract"]]
    file = ground.folder / "plan.txt"
    lines = (f"{row['wallet']},{row['rows']},{row['notional']}" for row in ranked)
    file.write_text("\n".join(lines), encoding="utf-8")
    ground.run("plan", "build", "--from", str(file)).expect(0)


def _figures(name: str, trace: Trace, *, needed: bool = True) -> list[Figure]:
    """The time left beside the truth at each moment; how far the share ever fell. `needed`: no
    figure at all is a miss too.
    """
    if TRACES:
        kept = {"took_s": trace.took_s, "samples": trace.samples}
        (Path(TRACES) / f"{name.replace(' ', '-')}.json").write_text(json.dumps(kept))
    found = [Figure(name, f"{trace.took_s:.0f} s")]
    for moment, part in MOMENTS.items():
        at, picture = trace.at(part)
        left_s, told_s = trace.took_s - at, picture["eta_s"]
        told = "unknown" if told_s is None else f"{told_s:.0f} s"
        holds = not needed if told_s is None else abs(told_s - left_s) <= WITHIN * left_s
        share = "unknown" if picture["share"] is None else f"{picture['share']:.0%}"
        text = f"{told} (true: {left_s:.0f} s; share {share})"
        found.append(Figure(f"  time left at {moment}", text, "within 25 %", holds))
    shares = [picture["share"] or 0.0 for _, picture in trace.samples]
    fell = max(high - low for high, low in zip(_highest(shares), shares, strict=True))
    found.append(Figure("  the share fell by", f"{fell:.1%}", "0.0%", fell < 0.001))
    return found


def _highest(shares: list[float]) -> Iterator[float]:
    highest = 0.0
    for share in shares:
        highest = max(highest, share)
        yield highest
