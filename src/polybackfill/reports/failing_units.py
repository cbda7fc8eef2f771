"""The raw answer at which a unit fails, fetched again."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from polybackfill import clocks, errors, worker_progress
from polybackfill.checkpoint import unit_states
from polybackfill.kinds import registry
from polybackfill.polymarket import http, pagination

Failing = unit_states.FailedUnit | unit_states.OpenUnit

_PAGES = 5  # a unit that fails later than that is told by its error alone
_ROWS = 200
_TEXT_CHARS = 65_536


class _EnoughError(Exception):
    """As many pages as are wanted have come."""


class LastResponse:
    """The last answer of a walk that is followed for a few pages."""

    def __init__(self, client: http.Client) -> None:
        self._clock = clocks.SystemClock()
        self._client = client
        self._pages = 0
        self._response: http.Response | None = None

    async def fetch(self, feed: pagination.FeedQuery, cursor: str | None) -> http.Response:
        """One request of the walk."""
        if self._pages == _PAGES:
            raise _EnoughError
        self._pages += 1
        query = feed.request_params(cursor)
        self._response = await self._client.get(
            feed.route, query, worker_progress.Progress(self._clock)
        )
        return self._response

    async def describe_failure(self, failing: Failing) -> dict[str, Any]:
        """The unit, what is wrong with it now, and the last answer that came."""
        document: dict[str, Any] = {"unit": failing.unit.id, "error": getattr(failing, "error", "")}
        resume = getattr(failing, "resume", None)
        resume_point = None if resume is None else msgspec.convert(resume, pagination.Resume)
        context = pagination.RequestContext(self.fetch, self._clock, failing.unit.id)
        try:
            async for _ in registry.KINDS[failing.unit.kind].walk(
                failing.unit, resume_point, context
            ):
                pass
            document["now"] = "it does not fail any more"
        except _EnoughError:
            document["now"] = f"{_PAGES} pages are in order"
        except errors.BackfillError as problem:
            document["now"] = f"{type(problem).__name__}: {problem}"
        if self._response is not None:
            document["url"] = self._response.url
            document["headers"] = dict(self._response.headers)
            document["body"] = _cut(self._response.body)
        return document


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
