"""An alert in the form that its receiver reads: plain JSON, Slack, Discord, Telegram, ntfy.

The receiver of a URL is known by its host; `BACKFILL_ALERT_FORM` names it for one of one's own.
Texts may hold what an API sent, so each form takes away what its receiver would obey: mentions,
links and markup.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from polybackfill import redaction, terminal
from polybackfill.monitoring import alert

_TEXT_CHARACTERS = 1_500  # below what each of them takes: Discord 2,000, ntfy 4,096 bytes
_HOSTS = {
    "hooks.slack.com": "slack",
    "discord.com": "discord",
    "discordapp.com": "discord",
    "api.telegram.org": "telegram",
    "ntfy.sh": "ntfy",
}
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_NTFY_PRIORITY = {
    alert.Severity.INFO: 3,
    alert.Severity.WARNING: 4,
    alert.Severity.CRITICAL: 5,
}


@dataclass(frozen=True)
class AlertRequest:
    """What is posted: JSON to a URL, which may hold a key and is shown to nobody."""

    url: str
    document: dict[str, Any]


def find_form(url: redaction.Url) -> str:
    """The form that a host reads, plain where it is not known."""
    return _HOSTS.get(url.host, "plain")


def build_request(
    url: redaction.Url, form: str, run_name: str, raised: alert.Alert
) -> AlertRequest:
    """The request for one alert. `form`: a key of `FORMS`."""
    title = _clean(f"polybackfill {run_name}: {raised.title}")
    return FORMS[form](url.secret, title, _clean(raised.text), raised)


def _clean(text: str) -> str:
    """Without secrets and control characters, and not too long; lines are kept."""
    lines = redaction.redact(text).splitlines()
    text = "\n".join(terminal.visible_line(line) for line in lines)
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"


def _plain(url: str, title: str, text: str, raised: alert.Alert) -> AlertRequest:
    severity = raised.severity.name.lower()
    document = {"kind": raised.kind, "severity": severity, "title": title, "text": text}
    return AlertRequest(url, document)


def _slack(url: str, title: str, text: str, _raised: alert.Alert) -> AlertRequest:
    return AlertRequest(url, {"text": f"{title}\n{text}".translate(_SLACK), "mrkdwn": False})


def _discord(url: str, title: str, text: str, _raised: alert.Alert) -> AlertRequest:
    return AlertRequest(
        url, {"content": f"{title}\n{text}", "allowed_mentions": {"parse": []}, "flags": 4}
    )


def _telegram(url: str, title: str, text: str, _raised: alert.Alert) -> AlertRequest:
    """`…/bot<token>/sendMessage?chat_id=…`; the chat is named in the document, as they ask for."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    bare = urllib.parse.urlunsplit(parts._replace(query=""))
    preview = {"is_disabled": True}
    return AlertRequest(
        bare, {**query, "text": f"{title}\n{text}", "link_preview_options": preview}
    )


def _ntfy(url: str, title: str, text: str, raised: alert.Alert) -> AlertRequest:
    """`…/topic`; a document goes to the server's root and names the topic."""
    parts = urllib.parse.urlsplit(url)
    root, _, topic = parts.path.rpartition("/")
    document = {
        "topic": urllib.parse.unquote(topic),
        "title": title,
        "message": text,
        "priority": _NTFY_PRIORITY[raised.severity],
    }
    return AlertRequest(urllib.parse.urlunsplit(parts._replace(path=f"{root}/")), document)


FORMS: dict[str, Callable[[str, str, str, alert.Alert], AlertRequest]] = {
    "plain": _plain,
    "slack": _slack,
    "discord": _discord,
    "telegram": _telegram,
    "ntfy": _ntfy,
}
