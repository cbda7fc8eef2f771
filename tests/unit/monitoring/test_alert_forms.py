"""What each receiver is sent: nothing that it would obey, and no secret."""

from __future__ import annotations

import json

import pytest

from polybackfill import redaction
from polybackfill.monitoring import alert, alert_forms

RAISED = alert.Alert(
    "drift", alert.Severity.CRITICAL, "the API has changed", "<!channel> @everyone\n*a* & b"
)


def build(form: str, url: str, raised: alert.Alert = RAISED) -> alert_forms.AlertRequest:
    return alert_forms.build_request(redaction.Url(url), form, "main", raised)


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://api.telegram.org/bot1:x/sendMessage?chat_id=2", "telegram"),
        ("https://ntfy.sh/topic", "ntfy"),
        ("https://alerts.example/hook", "plain"),
        ("https://hooks.slack.com.evil.example/x", "plain"),
    ],
)
def test_a_receiver_is_known_by_its_host(url: str, form: str) -> None:
    assert alert_forms.find_form(redaction.Url(url)) == form


def test_plain() -> None:
    request = build("plain", "https://alerts.example/hook?key=abcdefgh")
    assert request.url == "https://alerts.example/hook?key=abcdefgh"
    assert request.document == {
        "kind": "drift",
        "severity": "critical",
        "title": "polybackfill main: the API has changed",
        "text": "<!channel> @everyone\n*a* & b",
    }


def test_slack_takes_away_what_it_would_obey() -> None:
    request = build("slack", "https://hooks.slack.com/services/T0/B0/xyzxyz")
    text = "polybackfill main: the API has changed\n&lt;!channel&gt; @everyone\n*a* &amp; b"
    assert request.document == {"text": text, "mrkdwn": False}


def test_discord_mentions_nobody() -> None:
    request = build("discord", "https://discord.com/api/webhooks/1/xyzxyz")
    assert request.document["allowed_mentions"] == {"parse": []}
    assert request.document["content"].startswith("polybackfill main: the API has changed\n")


def test_telegram_has_its_chat_in_the_document() -> None:
    request = build("telegram", "https://api.telegram.org/bot1:xyzxyz/sendMessage?chat_id=-42")
    assert request.url == "https://api.telegram.org/bot1:xyzxyz/sendMessage"
    assert request.document["chat_id"] == "-42"
    assert "parse_mode" not in request.document
    assert "*a* & b" in request.document["text"]


@pytest.mark.parametrize(
    ("severity", "priority"),
    [(alert.Severity.INFO, 3), (alert.Severity.WARNING, 4), (alert.Severity.CRITICAL, 5)],
)
def test_ntfy_has_its_topic_in_the_document(severity: alert.Severity, priority: int) -> None:
    raised = alert.Alert("end", severity, "finished", "all is proven")
    request = build("ntfy", "https://me:secret77@push.example/base/my%20topic?x=1", raised)
    assert request.url == "https://me:secret77@push.example/base/?x=1"
    assert request.document == {
        "topic": "my topic",
        "title": "polybackfill main: finished",
        "message": "all is proven",
        "priority": priority,
    }


@pytest.mark.parametrize("form", sorted(alert_forms.FORMS))
def test_no_secret_and_no_control_character_leaves(form: str) -> None:
    redaction.remember(["Pl4ntedS3cret"])
    text = "refused by https://x/Pl4ntedS3cret \x1b[31m\x00" + "y" * 100_000
    raised = alert.Alert("end", alert.Severity.INFO, "Pl4ntedS3cret", text)
    sent = json.dumps(build(form, "https://alerts.example/topic", raised).document)
    assert "Pl4ntedS3cret" not in sent
    assert "\\u001b" not in sent
    assert len(sent) < 2_000
