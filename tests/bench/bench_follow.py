"""What a run costs that follows while nothing happens, and how fresh it is."""

from __future__ import annotations

import tempfile
import threading
import time

import psutil
from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill.run import morning_report

LAG_S = 4.0  # what the sandbox's status route says


def idle(seconds: float) -> list[Figure]:
    """Figures of so many seconds as shipped, with the published limits, behind the reports that are
    made when all is read, and then once a day: longer than a round's period (900 s), a round is
    among what is measured.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(trades=20_000, wallets=300, markets=300, now=int(time.time())) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
        figures.noise() as noise,
    ):
        ground.set(limits="{}", probe="never")
        daemon = ground.start("run", "--follow")

        def behind_s() -> float | None:
            followed = (ground.status() or {}).get("following")
            return None if followed is None else followed["lag_s"] - LAG_S

        harness.until(lambda: behind_s() is not None, "the first window", 600, every_s=1)
        harness.until((ground.data / morning_report.FILE).exists, "the reports", 600)
        store_pid = ground.store_pid()
        assert store_pid is not None
        run, store = psutil.Process(daemon.pid), psutil.Process(store_pid)
        before = (figures.cpu_s(run), figures.cpu_s(store), sandbox.requests())
        began_at, pause = time.monotonic(), threading.Event()
        seen: list[float] = []
        while time.monotonic() < began_at + seconds:
            pause.wait(1.0)
            seen.append(behind_s() or 0.0)
        took_s = time.monotonic() - began_at
        shares = [
            (figures.cpu_s(process) - used) / took_s
            for process, used in zip((run, store), before, strict=False)
        ]
        requests = (sandbox.requests() - before[2]) / took_s
        daemon.kill()
    both = sum(shares)
    return [
        Figure("processor of the run, of a core", f"{shares[0]:.1%}"),
        Figure("  and of the embedded store", f"{shares[1]:.1%}"),
        Figure("  together", f"{both:.1%}", "< 5 %", both < 0.05),
        Figure(
            "most seconds behind what the API calls fresh",
            f"{max(seen):.1f}",
            "< 10",
            max(seen) < 10,
        ),
        Figure("requests a second", f"{requests:.2f}"),
        Figure("  cores taken by others meanwhile", f"{noise.others:.1f}"),
    ]
