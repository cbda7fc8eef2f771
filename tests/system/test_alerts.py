"""A run alerts about what befell it, pings after a good night alone, and waits for nobody."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator

import pytest
from tests import harness
from tests.system import receiver as receivers

from polybackfill import errors


@pytest.fixture
def receiver() -> Iterator[receivers.Receiver]:
    with receivers.receiving() as running:
        yield running


@pytest.fixture
def alerting(ground: harness.Ground, receiver: receivers.Receiver) -> harness.Ground:
    """A ground whose runs alert; the URLs hold keys."""
    ground.set(
        alert_url=f"{receiver.url}/Al3rtK3y?token=Qu3ryK3y", ping_url=f"{receiver.url}/P1ngK3y"
    )
    return ground


def test_a_good_night_says_so_and_pings(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    alerting.run("run", *alerting.write_keys(sandbox)).expect(0)
    (alert,) = receiver.alerts
    assert (alert["kind"], alert["severity"]) == ("end", "info")
    assert alert["title"] == "polybackfill main: finished"
    assert "proven complete" in alert["text"]
    assert receiver.pings == ["/P1ngK3y"]


def test_a_night_with_errors_says_which_and_does_not_ping(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    alerting.set(alert_errors=2, sleep_ms=50)
    sandbox.faults(*({"kind": "400", "match": wallet} for wallet in sandbox.wallets[:2]))
    ended = alerting.run("run", *alerting.write_keys(sandbox))
    ended.expect(errors.EXIT_UNITS_IN_ERROR)
    assert receiver.kinds() == ["errors", "end"]
    assert "wallets" in receiver.alerts[0]["text"]
    assert receiver.alerts[1]["title"].endswith("finished, exit code 3")
    assert receiver.pings == []
    secrets = ("Al3rtK3y", "Qu3ryK3y", "P1ngK3y")
    files = [file for file in alerting.folder.rglob("*") if file.is_file()]
    for text in (ended.out, ended.err, *map(str, receiver.alerts)):
        assert not any(secret in text for secret in secrets)
    for file in files:
        content = file.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), file


def test_drift_is_told_once_for_many_nights(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    sandbox.faults({"kind": "unknown_field", "route": "activity"})
    for wallet in sandbox.wallets[:2]:
        alerting.run("run", "--wallet", wallet).expect(0)
    assert receiver.kinds().count("drift") == 1
    assert receiver.kinds().count("end") == 2


def test_a_stall_and_the_failure_that_follows_are_told(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    alerting.set(alert_stall_s=1, no_progress_s=4, request_deadline_s=30)
    sandbox.faults({"kind": "hang", "route": "data"})
    alerting.run("run", *alerting.write_keys(sandbox)).expect(errors.EXIT_NO_PROGRESS)
    assert receiver.kinds() == ["stall", "end"]
    assert receiver.alerts[1]["severity"] == "critical"
    assert "failed: no progress" in receiver.alerts[1]["title"]
    assert receiver.pings == []


def test_a_disk_that_fills_is_told(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    """More than half of what is free is the bound, so the disk is low and the run goes on."""
    free = shutil.disk_usage(alerting.folder).free
    alerting.set(min_free_bytes=int(free * 0.7), sleep_ms=50)
    alerting.run("run", *alerting.write_keys(sandbox)).expect(0)
    assert receiver.kinds() == ["disk", "end"]


def test_a_start_that_fails_is_told_once_however_often_it_is_tried(
    alerting: harness.Ground, receiver: receivers.Receiver
) -> None:
    alerting.environment["CLICKHOUSE_HOST"] = "http://127.0.0.1:9"
    for _ in range(2):
        alerting.run("run", "markets").expect(errors.EXIT_UNAVAILABLE)
    (alert,) = receiver.alerts
    assert alert["severity"] == "critical"


@pytest.mark.parametrize("answer", [500, "redirect", "hang"])
def test_a_target_that_is_dead_holds_no_run_up(
    alerting: harness.Ground,
    sandbox: harness.Sandbox,
    receiver: receivers.Receiver,
    answer: int | str,
) -> None:
    """It ends as ever; the alert of the end alone is waited for, ten seconds at most."""
    receiver.answer = answer
    daemon = alerting.start("run", "--wallet", ",".join(sandbox.wallets[:3]))
    harness.until(lambda: "run.ended" in daemon.err(), "the end of the run")
    ended_at = time.monotonic()
    ended = daemon.end(within_s=30)
    assert time.monotonic() - ended_at < 20
    ended.expect(0)
    assert receiver.alerts
    assert "/elsewhere" not in receiver.pings
    assert "alert" in ended.err
    assert "Al3rtK3y" not in ended.err


def test_a_stop_is_not_held_up_by_a_target_that_hangs(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    receiver.answer = "hang"
    alerting.set(sleep_ms=200, grace_s=10)
    daemon = alerting.start("run", *alerting.write_keys(sandbox))
    harness.until(lambda: "run.started" in daemon.err(), "a run that works")
    daemon.signal(signal.SIGTERM)
    daemon.end(within_s=10).expect(0)
    assert receiver.alerts
    assert receiver.pings == []


def test_a_dry_run_alerts_nobody(
    alerting: harness.Ground, sandbox: harness.Sandbox, receiver: receivers.Receiver
) -> None:
    alerting.run("run", "--dry-run", "--wallet", sandbox.wallets[0]).expect(0)
    assert (receiver.alerts, receiver.pings) == ([], [])
