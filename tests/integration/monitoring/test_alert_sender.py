"""Alerts to a loopback server that also fails, hangs, redirects and is not there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from tests.integration import conftest as integration_conftest

from polybackfill import cli, clocks, errors, redaction
from polybackfill.monitoring import (
    alert_forms,
    alert_history,
    alert_rules,
    alert_sender,
    run_alerts,
)


class Receiver:
    """A server that answers requests in turn with what stands in `answers`, then with 200."""

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        document = await request.json() if request.can_read_body else None
        self.requests.append((request.method, request.path_qs, document))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await asyncio.sleep(60)
        if answer == "redirect":
            raise web.HTTPFound(f"{self.url}/elsewhere")
        if answer == "reset":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=answer if isinstance(answer, int) else 200)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


class QuickClock(clocks.SystemClock):
    """Back-offs take no time here; how long they are is noted."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> QuickClock:
    return QuickClock()


@pytest.fixture
async def sender(clock: QuickClock) -> AsyncIterator[alert_sender.AlertSender]:
    made = alert_sender.AlertSender(clock)
    yield made
    await made.close(0.0)


async def test_alerts_are_posted_in_their_order(
    receiver: Receiver, sender: alert_sender.AlertSender
) -> None:
    url = redaction.Url(f"{receiver.url}/hook?key=abcdefgh")
    for number in range(3):
        sender.post(url, {"number": number})
    sender.call(redaction.Url(f"{receiver.url}/ping"))
    await sender.close(5.0)
    posts = [("POST", "/hook?key=abcdefgh", {"number": number}) for number in range(3)]
    assert receiver.requests == [*posts, ("GET", "/ping", None)]


@pytest.mark.parametrize("failure", [500, 503, 429, "reset"])
async def test_what_fails_is_sent_again(
    receiver: Receiver, sender: alert_sender.AlertSender, clock: QuickClock, failure: int | str
) -> None:
    receiver.answers = [failure, failure]
    sender.post(redaction.Url(f"{receiver.url}/hook"), {})
    await sender.close(5.0)
    assert len(receiver.requests) == 3
    assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize("refusal", [400, 401, 404, "redirect"])
async def test_what_is_refused_is_not_asked_again_and_no_redirect_is_followed(
    receiver: Receiver,
    sender: alert_sender.AlertSender,
    events: list[dict[str, Any]],
    refusal: int | str,
) -> None:
    receiver.answers = [refusal]
    sender.post(redaction.Url(f"{receiver.url}/s3cretHook"), {})
    await sender.close(5.0)
    assert [path for _, path, _ in receiver.requests] == ["/s3cretHook"]
    (event,) = events
    assert event["event"] == "alert.not_delivered"
    assert "s3cretHook" not in str(event)


async def test_a_dead_target_is_given_up_and_the_next_alert_gets_its_turn(
    receiver: Receiver, sender: alert_sender.AlertSender, events: list[dict[str, Any]]
) -> None:
    sender.post(redaction.Url("http://127.0.0.1:9/s3cretHook"), {})
    sender.post(redaction.Url(f"{receiver.url}/hook"), {})
    await sender.close(5.0)
    assert len(receiver.requests) == 1
    assert [event["event"] for event in events] == ["alert.not_delivered"]
    assert "s3cretHook" not in str(events)


async def test_an_end_at_the_moment_of_a_time_out_is_not_held_up(receiver: Receiver) -> None:
    """Then the time-out swallows the cancel, and a second attempt has begun."""
    receiver.answers = ["hang"] * 200
    senders = [
        alert_sender.AlertSender(clocks.SystemClock(), answer_s=3.0 + number / 20_000)
        for number in range(40)
    ]
    for sender in senders:
        sender.post(redaction.Url(f"{receiver.url}/hook"), {})
    began_at = time.monotonic()
    await asyncio.gather(*(sender.close(3.0) for sender in senders))
    assert time.monotonic() - began_at < 5.5


async def test_a_target_that_hangs_is_left_after_the_time_of_an_attempt(
    receiver: Receiver, clock: QuickClock, events: list[dict[str, Any]]
) -> None:
    receiver.answers = ["hang"] * 10
    sender = alert_sender.AlertSender(clock, answer_s=0.2)
    sender.post(redaction.Url(f"{receiver.url}/s3cretHook"), {})
    await sender.close(5.0)
    assert len(receiver.requests) == 3
    (event,) = events
    assert (event["event"], event["error"]) == ("alert.not_delivered", "no answer within 0.2 s")


async def test_a_target_that_hangs_does_not_hold_up_the_end_of_a_run(
    receiver: Receiver, sender: alert_sender.AlertSender, events: list[dict[str, Any]]
) -> None:
    receiver.answers = ["hang"] * 10
    began = time.monotonic()
    for _ in range(5):
        sender.post(redaction.Url(f"{receiver.url}/s3cretHook"), {})
    assert time.monotonic() - began < 0.1
    await integration_conftest.until(lambda: receiver.requests, "the first attempt")
    await sender.close(0.3)
    assert time.monotonic() - began < 3.0
    assert [event["event"] for event in events] == ["alert.not_delivered", "alert.left_behind"]
    assert events[1]["alerts"] == 4
    assert "s3cretHook" not in str(events)


async def test_what_waits_is_bounded(
    receiver: Receiver, sender: alert_sender.AlertSender, events: list[dict[str, Any]]
) -> None:
    receiver.answers = ["hang"]
    for number in range(50):
        sender.post(redaction.Url(f"{receiver.url}/hook"), {"number": number})
    dropped = [event for event in events if event["event"] == "alert.dropped"]
    assert len(dropped) == 50 - 32


async def test_after_the_log_has_closed_it_is_said_on_standard_error(
    receiver: Receiver, sender: alert_sender.AlertSender, capsys: pytest.CaptureFixture[str]
) -> None:
    cli._warn_on_stderr()
    receiver.answers = [404]
    sender.post(redaction.Url(f"{receiver.url}/s3cretHook"), {})
    await sender.close(5.0)
    structlog.reset_defaults()
    said = capsys.readouterr()
    assert "alert.not_delivered" in said.err
    assert "to=http://127.0.0.1:" in said.err
    assert "HTTP 404" in said.err
    assert "s3cretHook" not in said.err
    assert said.out == ""


async def test_a_proxy_of_an_odd_kind_is_no_reason_to_end(
    sender: alert_sender.AlertSender,
    events: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    sender.post(redaction.Url("https://alerts.example/hook"), {})
    await sender.close(5.0)
    assert "only http:// and https:// proxies" in events[0]["error"]


PATHS = {"ntfy": "/base/?chat_id=-42", "telegram": "/base/topic"}


@pytest.mark.parametrize("form", sorted(alert_forms.FORMS))
async def test_each_form_arrives_after_a_failure_and_a_silence_and_follows_no_redirect(
    receiver: Receiver,
    clock: QuickClock,
    events: list[dict[str, Any]],
    tmp_path: Path,
    form: str,
) -> None:
    """As a run sends it: to where its receiver reads, with the text in it, as often as it takes."""
    sender = alert_sender.AlertSender(clock, answer_s=0.3)
    alerts = run_alerts.RunAlerts(
        "main",
        run_alerts.AlertTargets(
            redaction.Url(f"{receiver.url}/base/topic?chat_id=-42"), form, None
        ),
        rules=alert_rules.AlertRules(alert_rules.Thresholds(600.0, 10)),
        history=alert_history.AlertHistory(tmp_path / "alerts.json"),
        sender=sender,
        clock=clock,
    )
    receiver.answers = [503, "hang", 204, "redirect"]
    alerts.note_failure(errors.Stop("the disk is full: make room"))
    alerts.note_failure(errors.Stop("the store is away: start it"))
    await alerts.close(5.0)
    path = PATHS.get(form, "/base/topic?chat_id=-42")
    assert [(method, asked) for method, asked, _ in receiver.requests] == [("POST", path)] * 4
    bodies = [str(document) for _, _, document in receiver.requests]
    assert all("the disk is full: make room" in body for body in bodies[:3])
    assert "the store is away: start it" in bodies[3]
    assert [(event["event"], event["error"]) for event in events] == [
        ("alert.not_delivered", "HTTP 302")
    ]
