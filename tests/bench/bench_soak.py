"""A long run under faults: memory, open files and logs of the daemon and of the store's child.

The sandbox enforces the published limits, fails one request in ten in changing ways, is out for
twenty seconds every three minutes; every five minutes the store's child is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tests import harness
from tests.bench import bench_figures as figures
from tests.bench.bench_figures import Figure

SAMPLE_S = 5.0
FAULTS_S, OUTAGE_EVERY_S, OUTAGE_S, KILL_EVERY_S = 20.0, 180.0, 20.0, 300.0
LOG_BYTES, LOG_FILES = 2_000_000, 3
MB_A_MINUTE = 3.0  # over the second half: caches that fill
# Connections of the daemon; of the child 400 threads with three files each (`engine_config`), and
# parts that are read. It starts anew after each kill, so that its files have no slope to speak of.
FILES_MOST = {"daemon": 400, "store's child": 1_300}
TROUBLE = (
    ("503", "reset", "truncated"),
    ("429_json", "cut_json", "502"),
    ("500", "invalid_json", "drip"),
    ("hang", "empty", "408"),
)
OUTAGE = [{"kind": "503", "route": "*"}]


@dataclass
class Series:
    """What one process held: (seconds, value) samples; a new child of the store goes on with it."""

    rss: list[tuple[float, float]] = field(default_factory=list)
    files: list[tuple[float, float]] = field(default_factory=list)

    def sample(self, at_s: float, pid: int | None) -> None:
        """Look at the process, if there is one just now."""
        with contextlib.suppress(psutil.Error):
            if pid is not None:
                process = psutil.Process(pid)
                self.rss.append((at_s, process.memory_info().rss / 1e6))
                self.files.append((at_s, float(process.num_fds())))


def soak(minutes: float) -> list[Figure]:
    """Figures of a run of that length."""
    with tempfile.TemporaryDirectory() as name, _sandbox() as sandbox:
        folder = Path(name)
        with harness.ground(folder, sandbox.url) as ground:
            for setting in ("LIMITS", "WORKERS", "HOST_PAUSE_S", "BACKOFF_CAP_S"):
                ground.environment.pop(f"BACKFILL_{setting}", None)
            ground.set(log_bytes=LOG_BYTES, log_files=LOG_FILES, request_deadline_s=20)
            return _figures(ground, sandbox, minutes * 60)


@contextlib.contextmanager
def _sandbox() -> Iterator[harness.Sandbox]:
    command = [*harness.COMMAND, "sandbox", "--port", "0", "--latency-ms", "200"]
    command += ["--trades", "300000", "--wallets", "40000", "--markets", "60000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield harness.Sandbox(process.stdout.readline().split()[-1].rstrip("/"))
        finally:
            process.kill()


def _figures(ground: harness.Ground, sandbox: harness.Sandbox, length_s: float) -> list[Figure]:
    run = ground.start("run")
    harness.until(lambda: sandbox.requests() > 10, "requests", 60)
    daemon, child, logs = Series(), Series(), list[tuple[float, float]]()
    began_at, kills = time.monotonic(), 0
    while run.running and (at_s := time.monotonic() - began_at) < length_s:
        _trouble(sandbox, at_s)
        if at_s > (kills + 1) * KILL_EVERY_S and (pid := ground.store_pid()):
            os.kill(pid, signal.SIGKILL)
            kills += 1
        daemon.sample(at_s, run.pid)
        child.sample(at_s, ground.store_pid())
        logs.append((at_s, _size(ground.data / "log") + _size(ground.store, "store.log*")))
        time.sleep(SAMPLE_S)
    sandbox.faults()
    rows = (ground.status() or {}).get("rows", {})
    failed = sandbox.fired()
    run.signal(signal.SIGTERM)
    ended = run.end(60)
    bound_mb = 2 * LOG_BYTES * LOG_FILES / 1e6
    last_mb = logs[-1][1] / 1e6
    return [
        Figure(
            "minutes, exit code of the stop", f"{at_s / 60:.1f}, {ended.code}", "", ended.code == 0
        ),
        Figure("requests, rows stored", f"{sandbox.requests():,}, {sum(rows.values()):,}"),
        Figure(
            "faults of the last seconds, kills of the store", f"{sum(failed.values())}, {kills}"
        ),
        *_series("daemon", daemon),
        *_series("store's child", child),
        Figure("logs", f"{last_mb:.1f} MB", f"≤ {bound_mb:.0f} MB", last_mb <= bound_mb),
    ]


def _series(name: str, held: Series) -> Iterator[Figure]:
    yield Figure(f"{name}: memory, MB, at a tenth, half, the end", _marks(held.rss))
    a_minute = figures.slope(held.rss[len(held.rss) // 2 :]) * 60
    yield Figure(
        f"{name}: … growth a minute, second half",
        f"{a_minute:+.2f}",
        f"≤ {MB_A_MINUTE}",
        a_minute <= MB_A_MINUTE,
    )
    most = max(value for _, value in held.files)
    yield Figure(
        f"{name}: open files at a tenth, half, the end",
        _marks(held.files),
        f"≤ {FILES_MOST[name]}",
        most <= FILES_MOST[name],
    )


def _marks(points: list[tuple[float, float]]) -> str:
    marks = [points[int(part * (len(points) - 1))][1] for part in (0.1, 0.5, 1)]
    most = max(value for _, value in points)
    return f"{', '.join(f'{value:.0f}' for value in marks)}; most {most:.0f}"


def _trouble(sandbox: harness.Sandbox, at_s: float) -> None:
    """The rules for this moment, put in force when they change."""
    rules: list[dict[str, Any]] = OUTAGE
    if at_s % OUTAGE_EVERY_S < OUTAGE_EVERY_S - OUTAGE_S:
        kinds = TROUBLE[int(at_s / FAULTS_S) % len(TROUBLE)]
        rules = [{"kind": kind, "route": "*", "probability": 0.033} for kind in kinds]
    sandbox.faults(*rules)


def _size(folder: Path, pattern: str = "*") -> float:
    return float(sum(path.stat().st_size for path in folder.glob(pattern)))
