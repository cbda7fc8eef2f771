"""What the endpoint costs a run at the published limits: a scrape, and all that Prometheus asks.

Windows in which it is asked ten times a second, with a reader of events, take turns with windows in
which nobody asks; what the process needs more in the first is the endpoint's.
"""

from __future__ import annotations

import http.client
import statistics
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable

import psutil
from tests import harness
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

ASKED_PER_S = 10
SHIPPED_EVERY_S = 15  # config/prometheus.yml
NOTICE = "health, metrics and status: "


class Asker:
    """Who asks the endpoint of a run, over one connection that stays open."""

    def __init__(self, ground: harness.Ground, daemon: harness.Daemon) -> None:
        harness.until(lambda: NOTICE in daemon.err(), "the URL")
        url = daemon.err().partition(NOTICE)[2].partition("/health")[0]
        self._host = urllib.parse.urlsplit(url).netloc
        token = (ground.data / "status" / "main.token").read_text()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._connection = http.client.HTTPConnection(self._host, timeout=10)

    def scrape(self) -> tuple[float, bytes]:
        """Seconds that one took, and what it brought."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=self._headers)
        body = self._connection.getresponse().read()
        return time.perf_counter() - began, body

    def follow(self) -> Callable[[], None]:
        """Begin to read events; what is returned ends it."""
        connection = http.client.HTTPConnection(self._host, timeout=10)
        connection.request("GET", "/events", headers=self._headers)
        reading = threading.Thread(target=self._read, args=(connection,), daemon=True)
        reading.start()
        return connection.close

    @staticmethod
    def _read(connection: http.client.HTTPConnection) -> None:
        try:
            response = connection.getresponse()
            while response.readline():
                pass
        except (OSError, ValueError, AttributeError):
            return  # it was closed


def endpoint(seconds: float) -> list[Figure]:
    """Figures of a run that is asked for half of `seconds`."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        harness.sandbox(trades=300_000, wallets=5_000, markets=5_000, latency_ms=600) as sandbox,
        bench_whole.as_shipped(folder, sandbox) as ground,
        bench_whole.held_store(ground),
        figures.noise() as noise,
    ):
        ground.set(limits="{}", listen="127.0.0.1:0", probe="never")
        sandbox.ask("limits", {"factor": 1.0})
        daemon = ground.start("run", "--everything")
        asker = Asker(ground, daemon)
        harness.until(lambda: b'state="running"} 1' in asker.scrape()[1], "a run that works")
        found = _windows(psutil.Process(daemon.pid), asker, seconds / 8)
        daemon.kill()
    return [*found, Figure("  cores taken by others meanwhile", f"{noise.others:.1f}")]


def _windows(process: psutil.Process, asker: Asker, length_s: float) -> list[Figure]:
    quiet: list[float] = []
    busy: list[float] = []
    took: list[float] = []
    series = 0
    for _ in range(4):
        quiet.append(_cpu_per_s(process, length_s, lambda: None))

        def ask() -> None:
            nonlocal series
            seconds, body = asker.scrape()
            took.append(seconds)
            series = sum(not line.startswith(b"#") for line in body.splitlines())

        stop = asker.follow()
        busy.append(_cpu_per_s(process, length_s, ask))
        stop()
    run, more = statistics.median(quiet), statistics.median(busy) - statistics.median(quiet)
    share = max(0.0, more) / ASKED_PER_S / SHIPPED_EVERY_S / run
    median_ms = statistics.median(took) * 1_000
    return [
        Figure("a scrape of a run, over HTTP", f"{median_ms:.1f} ms", "< 10 ms", median_ms < 10),
        Figure("series of a run of everything", f"{series:,}"),
        Figure(
            f"the endpoint, of a run's processor time (asked every {SHIPPED_EVERY_S} s)",
            f"{share:.2%}",
            "< 1 %",
            share < 0.01,
        ),
    ]


def _cpu_per_s(process: psutil.Process, length_s: float, ask: Callable[[], None]) -> float:
    """Processor seconds a second while `ask` is called ten times a second."""
    began, used = time.monotonic(), figures.cpu_s(process)
    pause = threading.Event()
    while time.monotonic() - began < length_s:
        ask()
        pause.wait(1 / ASKED_PER_S)
    return (figures.cpu_s(process) - used) / (time.monotonic() - began)
