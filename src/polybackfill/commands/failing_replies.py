"""The raw answer at which a unit fails, fetched again."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from polybackfill import clocks, errors, worker_progress
from polybackfill.engine import kinds
from polybackfill.polymarket import http, walk
from polybackfill.work import transitions

Failing = transitions.FailedUnit | transitions.OpenUnit

_PAGES = 5  # a unit that fails later than that is told by its error alone
_ROWS = 200
_TEXT_CHARS = 65_536


class _EnoughError(Exception):
    """As many pages as are wanted have come."""


class LastReply:
    """The last answer of a walk that is followed for a few pages. The ground of that walk."""

    def __init__(self, client: http.Client) -> None:
        self.clock: clocks.Clock = clocks.SystemClock()
        self.with_retries: walk.RetryPolicy = walk.without_retry
        self._client = client
        self._pages = 0
        self._reply: http.Response | None = None

    async def fetch(self, feed: walk.FeedQuery, cursor: str | None) -> http.Response:
        """One request of the walk."""
        if self._pages == _PAGES:
            raise _EnoughError
        self._pages += 1
        query = feed.request_params(cursor)
        self._reply = await self._client.get(
            feed.route, query, worker_progress.Progress(self.clock)
        )
        return self._reply

    async def of(self, held: Failing) -> dict[str, Any]:
        """The unit, what is wrong with it now, and the last answer that came."""
        told: dict[str, Any] = {"unit": held.unit.id, "error": getattr(held, "error", "")}
        resume = getattr(held, "resume", None)
        place = None if resume is None else msgspec.convert(resume, walk.Resume)
        try:
            async for _ in kinds.KINDS[held.unit.kind].walk(held.unit, place, self):
                pass
            told["now"] = "it does not fail any more"
        except _EnoughError:
            told["now"] = f"{_PAGES} pages are in order"
        except errors.BackfillError as problem:
            told["now"] = f"{type(problem).__name__}: {problem}"
        if self._reply is not None:
            told["url"] = self._reply.url
            told["headers"] = dict(self._reply.headers)
            told["body"] = _cut(self._reply.body)
        return told


def _cut(body: bytes) -> Any:
    """The JSON of an answer with the first of its rows; its text where it is no JSON."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")[:_TEXT_CHARS]
    if isinstance(document, dict):
        return {name: _few(value) for name, value in document.items()}
    return _few(document)


def _few(value: Any) -> Any:
    return value[:_ROWS] if isinstance(value, list) else value
