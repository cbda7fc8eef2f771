"""`--sleep-ms`: wallets start so far apart, as the server sees it, with any number of workers."""

from __future__ import annotations

import http.server
import itertools
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from tests import harness

from .conftest import NewDesk

# A start that reaches the server late shortens the gap to the next one by as much.
LATE_S = 0.3


class Watch(http.server.ThreadingHTTPServer):
    """Stands before the sandbox and notes when each feed is asked."""

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = url
        self.asked_at: list[float] = []

    @property
    def url(self) -> str:
        """Where the program is to look for the API."""
        return f"http://127.0.0.1:{self.server_port}"

    def gaps(self) -> list[float]:
        """Seconds from one request to the next."""
        return [later - earlier for earlier, later in itertools.pairwise(self.asked_at)]


class _Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Watch

    def do_GET(self) -> None:
        if "/v2/activity" in self.path:
            self.server.asked_at.append(time.monotonic())
        url = self.server.target + self.path
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  (loopback)
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def watches(sandbox: harness.Sandbox) -> Iterator[list[Watch]]:
    """Three of them."""
    made = [Watch(sandbox.url) for _ in range(3)]
    threads = [threading.Thread(target=watch.serve_forever, name="watch") for watch in made]
    for thread in threads:
        thread.start()
    yield made
    for watch, thread in zip(made, threads, strict=True):
        watch.shutdown()
        watch.server_close()
        thread.join()


@pytest.fixture(scope="module")
def small(shared_sandbox: harness.Sandbox) -> list[str]:
    """Wallets of one page each."""
    ranked = shared_sandbox.ask("wallets?top=1000000&by=rows")
    return [row["wallet"] for row in ranked if not row["contract"] and row["all_rows"] < 900]


def test_starts_keep_their_distance(
    new_desk: NewDesk, watches: list[Watch], small: list[str]
) -> None:
    """Seed 001, worker: --sleep-ms."""
    watch = watches[0]
    desk = new_desk(watch.url, workers=6)
    desk.plan_keys(*small[:12])
    desk.call("run", "wallets", "--limit", 6, "--sleep-ms", 500)
    assert len(watch.asked_at) == 6
    assert min(watch.gaps()) > 0.5 - LATE_S
    assert sum(watch.gaps()) > 5 * 0.5 - LATE_S
    watch.asked_at.clear()
    desk.call("run", "wallets")
    assert len(watch.asked_at) == 6
    assert min(watch.gaps()) < LATE_S, "and only when asked to"


@pytest.mark.long
def test_presets_of_12_30_and_60_wallets_a_minute(
    new_desk: NewDesk, watches: list[Watch], small: list[str]
) -> None:
    """Seed 001, worker: BACKFILL_SLEEP_MS; 12, 30 and 60 wallets a minute."""
    presets = (5000, 2000, 1000)
    daemons = []
    for watch, sleep_ms in zip(watches, presets, strict=True):
        desk = new_desk(watch.url, sleep_ms=sleep_ms)  # BACKFILL_SLEEP_MS
        desk.move_out()  # a data folder has one run at a time
        words = ["--wallet", ",".join(small[: 5000 // sleep_ms + 1])]
        daemons.append(desk.start("run", *words))
    for daemon in daemons:
        ended = daemon.end()
        ended.expect(0)
    for watch, sleep_ms in zip(watches, presets, strict=True):
        assert len(watch.asked_at) == 5000 // sleep_ms + 1
        assert min(watch.gaps()) > sleep_ms / 1000 - LATE_S
