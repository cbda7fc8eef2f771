"""What an answer, or the lack of one, means: fine, or one of the error classes.

`translate` is the only place that looks at a status code. Sources: docs.polymarket.com (errors of
the Data API v2: `error`, `code`, `parameter`, `retryable`, `trace_id`; Retry-After on 429 and 503),
Cloudflare's pages in front of it (HTML bodies, 520-524), both as read in October 2026.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from polybackfill import errors, redaction
from polybackfill.polymarket import endpoints

LONGEST_RETRY_AFTER_S = 600.0
LONGEST_TEXT = 300
FORBIDDEN, TOO_MANY, UNAVAILABLE = 403, 429, 503
LATER = (408, 425, TOO_MANY)  # besides all of 5xx
TIMED_OUT = (408, 504, 522, 524)  # 522, 524: Cloudflare waited for the origin in vain
GEO_BLOCKED = (451, 453)  # 453: Polymarket's own "restricted region"
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Response:
    """One whole answer. `ttfb_s`: seconds until its head; `url`: with the query."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    ttfb_s: float
    url: str

    @property
    def is_page(self) -> bool:
        """A web page where JSON was asked for: the edge answered, not the API."""
        kind = self.headers.get("Content-Type", "")
        return "html" in kind.lower() or self.body[:64].lstrip()[:1] == b"<"

    @property
    def server_time(self) -> float | None:
        """What time it is by the server, epoch seconds; None where it does not say, or where a
        cache has kept the answer.
        """
        if self.headers.get("Age", "0").strip() != "0":
            return None
        server_time = _date(self.headers.get("Date", ""))
        return None if server_time is None else server_time.timestamp()


# One request outside of a walk: a route and its parameters, to an answer or an error class.
Get = Callable[[endpoints.Route, Sequence[tuple[str, str]]], Awaitable[Response]]


def translate(
    outcome: Response | Exception, url: str, *, now: float, refusal_pause_s: float
) -> Response | errors.BackfillError:
    """The answer if it is worth reading, else the error to raise.

    `now`: seconds since the epoch, for a Retry-After that is a date. `refusal_pause_s`: how long a
    host pauses that refuses with a web page and no Retry-After.
    """
    if isinstance(outcome, Exception):
        text = str(outcome) or "no answer in time"
        return errors.Retry(
            f"GET {url}: {type(outcome).__name__}: {_short(text)}",
            timed_out=isinstance(outcome, TimeoutError),
        )
    status = outcome.status
    if status == 200 and outcome.body and not outcome.is_page:
        return outcome
    message = f"GET {url} answered {status}: {_text(outcome)}"
    if status in GEO_BLOCKED:
        where = "This network's region may not ask this service; run the program elsewhere"
        return errors.Stop(f"{message}. {where}", exit_code=errors.EXIT_UNAVAILABLE)
    if status == FORBIDDEN and outcome.is_page:
        return errors.Retry(message, pause_host_s=refusal_pause_s, split=True)
    if status in LATER or 200 <= status < 300 or status >= 500:
        after_s = retry_after_s(outcome, now)
        pause_s = after_s if status in (TOO_MANY, UNAVAILABLE) else None
        if status == TOO_MANY and after_s is None and outcome.is_page:
            pause_s = refusal_pause_s
        return errors.Retry(
            message, after_s=after_s, pause_host_s=pause_s, timed_out=status in TIMED_OUT
        )
    return errors.GiveUp(message, status=status)


def retry_after_s(response: Response, now: float) -> float | None:
    """Seconds the server asked for: header (seconds or date) or body; None when it said nothing."""
    wait_s = _header_seconds(response, now)
    if wait_s is None:
        wait = _fields(response).get("retry_after_seconds")
        wait_s = float(wait) if isinstance(wait, int | float) else None
    return None if wait_s is None else min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def _header_seconds(response: Response, now: float) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    with contextlib.suppress(ValueError):  # then it is a date
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until = _date(value)
    if until is None:
        return None
    # Against the server's own clock where it tells it: ours may be wrong.
    server_time = _date(response.headers.get("Date", ""))
    return until.timestamp() - (now if server_time is None else server_time.timestamp())


def _date(value: str) -> datetime.datetime | None:
    try:
        parsed = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=datetime.UTC)


def _fields(response: Response) -> dict[str, object]:
    try:
        fields = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _text(response: Response) -> str:
    """What the answer says about itself, on one short line."""
    if response.is_page:
        title = _TITLE.search(response.body[:4096])
        return "a web page: " + _short(title[1] if title else response.body[:LONGEST_TEXT])
    if response.status == 200:
        return "an empty body"
    fields = _fields(response)
    parts = [str(fields[name]) for name in ("error", "message", "type") if fields.get(name)][:1]
    parts += [f"{name} {fields[name]}" for name in ("parameter", "trace_id") if fields.get(name)]
    return _short(", ".join(parts) or response.body[:LONGEST_TEXT] or "an empty body")


def _short(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    line = redaction.redact(" ".join(text.split()))  # errors repeat what was asked
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
