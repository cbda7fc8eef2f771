"""The endpoint of a real run: it says what the run does, while it starts, works, and fails."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import parser
from tests import harness
from tests.integration.monitoring import promql, test_shipped_files

from polybackfill import errors

_NOTICE = "health, metrics and status: "


class Answer(NamedTuple):
    """What the endpoint sent back."""

    status: int
    body: str


class Watched:
    """A run that listens, and who asks it."""

    def __init__(self, ground: harness.Ground, *words: str) -> None:
        self.token_file = ground.data / "status" / "main.token"
        self.daemon = ground.start("run", *words)
        harness.until(lambda: _NOTICE in self.daemon.err() or not self.daemon.running, "the URL")
        self.url = self.daemon.err().partition(_NOTICE)[2].partition("/health")[0]
        self.token = ground.environment.get("BACKFILL_LISTEN_TOKEN") or self.token_file.read_text()

    def open(self, path: str, **headers: str) -> Any:
        """The response to a request with the token, to be read and closed."""
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - ours
        return urllib.request.urlopen(request, timeout=30)  # noqa: S310

    def ask(self, path: str, **headers: str) -> Answer:
        """All of a response; ConnectionError once nobody listens."""
        try:
            with self.open(path, **headers) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())
        except urllib.error.URLError as error:
            raise ConnectionError from error

    def state(self) -> str:
        """What `/health` says."""
        return str(json.loads(self.ask("/health").body)["state"])

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one metric by their label values."""
        families = parser.text_string_to_metric_families(self.ask("/metrics").body)
        return {
            tuple(sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"polybackfill_{name}"
        }


@pytest.fixture
def listening(ground: harness.Ground) -> harness.Ground:
    """A ground whose runs listen, and take some seconds."""
    ground.set(listen="127.0.0.1:0", sleep_ms=150)
    return ground


def test_a_run_says_what_it_does_until_it_ends(
    listening: harness.Ground, sandbox: harness.Sandbox
) -> None:
    keys = listening.write_keys(sandbox)
    watched = Watched(listening, *keys)
    assert stat.S_IMODE(watched.token_file.stat().st_mode) == 0o600
    harness.until(lambda: watched.state() == "running", "a run that works")
    assert watched.ask("/health/ready").status == 200
    pages = harness.until(
        lambda: watched.samples("pages_total").get(("wallets",)), "a page of a wallet"
    )
    document = json.loads(watched.ask("/status.json").body)
    assert document["parts"]["wallets"]["pages"] >= pages
    assert document["machine"]["memory_bytes"] > 10_000_000
    assert set(document["machine"]["disks"]) == {"data", "checkpoint"}
    # The machine is looked at every few seconds, the first time before there is a checkpoint.
    ages = harness.until(lambda: watched.samples("checkpoint_age_seconds"), "the checkpoint's age")
    assert ages[()] < 60
    outcomes = watched.samples("requests_total")
    assert outcomes["response", "/v2/activity"] >= pages
    assert set(watched.samples("budget_violations_total").values()) == {0.0}
    assert watched.ask("/status.json", Authorization="Bearer wrong").status == 401
    assert watched.ask("/health", Host="evil.example").status == 421
    watched.daemon.end().expect(0)
    with pytest.raises(ConnectionError):
        watched.ask("/health")
    assert not watched.token_file.exists()
    assert "monitor.picture_refused" not in _log(listening)


def test_the_dashboard_shows_a_real_run(
    listening: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Each query of config/grafana.json over the scrapes of one run, but for what did not come, and
    what only a run that follows has.
    """
    watched = Watched(listening, *listening.write_keys(sandbox))
    scrapes: list[promql.Scrape] = []
    shown: set[str] = set()
    queries = {query for query in test_shipped_files.QUERIES if "_following_" not in query}
    while watched.daemon.running and shown < queries:
        try:
            exposition = watched.ask("/metrics").body
        except ConnectionError:
            break
        if exposition and (not scrapes or exposition != scrapes[-1].exposition):
            scrapes.append(promql.make_scrape(time.time(), exposition))
            shown |= {query for query in queries if promql.evaluate(query, scrapes)}
    watched.daemon.end().expect(0)
    assert len(scrapes) >= 3
    missing = {re.findall(r"polybackfill_\w+", query)[0] for query in queries - shown}
    assert missing <= {"polybackfill_host_pause_seconds", "polybackfill_source_lag_seconds"}


def _log(ground: harness.Ground) -> str:
    return "".join(file.read_text() for file in (ground.data / "log").glob("*.jsonl"))


def test_events_go_on_to_the_end_and_none_is_held_up_by_who_does_not_read(
    listening: harness.Ground, sandbox: harness.Sandbox
) -> None:
    watched = Watched(listening, *listening.write_keys(sandbox))
    with watched.open("/events") as read, watched.open("/events"):
        states = [json.loads(line[6:])["state"] for line in read if line.startswith(b"data: ")]
    assert states[0] in {"starting", "running"}
    assert states[-1] == "finished"
    watched.daemon.end().expect(0)


def test_a_run_without_progress_says_so_and_that_it_failed(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    token = "t0ken-0f-the-user-himself"
    ground.set(
        listen="127.0.0.1:0",
        listen_token=token,
        no_progress_s=3,
        stall_s=60,
        request_deadline_s=30,
    )
    sandbox.faults({"kind": "hang", "route": "data"})
    watched = Watched(ground, *ground.write_keys(sandbox))
    assert not watched.token_file.exists()
    harness.until(lambda: watched.samples("no_progress_seconds").get((), 0) > 1, "no progress")
    seen: set[str] = set()
    while watched.daemon.running:
        try:
            seen.add(watched.state())
        except ConnectionError:
            break
    ended = watched.daemon.end()
    ended.expect(errors.EXIT_NO_PROGRESS)
    assert "failed" in seen
    texts = ended.out + ended.err + _log(ground)
    assert token not in texts


def test_a_stop_while_somebody_reads_is_as_quick_as_ever(
    listening: harness.Ground, sandbox: harness.Sandbox
) -> None:
    watched = Watched(listening, *listening.write_keys(sandbox))
    harness.until(lambda: watched.state() == "running", "a run that works")
    with watched.open("/events"):
        watched.daemon.signal(signal.SIGTERM)
        watched.daemon.end(within_s=20).expect(0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "9464x"}, "BACKFILL_LISTEN = '9464x'"),
        ({"listen": "[::]:0"}, "set BACKFILL_LISTEN_TOKEN"),
        ({"listen": "127.0.0.1:0", "listen_token": "sh0rtS3cret"}, "is too short"),
        ({"listen": "192.0.2.1:9464", "listen_token": "0123456789abcdef"}, "cannot be listened on"),
    ],
)
def test_what_no_run_could_use_is_refused_before_anything_is_written(
    bare_ground: harness.Ground, settings: dict[str, str], said: str
) -> None:
    bare_ground.set(**settings)
    ended = bare_ground.run("run", "markets")
    ended.expect(errors.EXIT_CONFIG)
    assert said in ended.err
    assert "sh0rtS3cret" not in ended.err
    assert os.listdir(bare_ground.data) == [] if bare_ground.data.exists() else True


def test_a_second_run_leaves_the_token_of_the_first_alone(
    listening: harness.Ground, sandbox: harness.Sandbox
) -> None:
    watched = Watched(listening, *listening.write_keys(sandbox))
    second = listening.run("run", "markets")
    second.expect(errors.EXIT_UNAVAILABLE)
    assert watched.token_file.read_text() == watched.token
    assert watched.ask("/status.json").status == 200
    watched.daemon.kill()
    assert watched.token_file.exists()  # what a kill leaves is of no use to anybody
    Watched(listening, "markets").daemon.end().expect(0)
    assert not watched.token_file.exists()


def test_a_dry_run_does_not_listen(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    ground.set(listen="127.0.0.1:0")
    ended = ground.run("run", "--dry-run", "--wallet", sandbox.wallets[0])
    ended.expect(0)
    assert _NOTICE not in ended.err
    assert not Path(ground.data / "status").exists()
