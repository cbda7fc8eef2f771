"""What the probe sees: answers of the API, each asked for once, however many checks look at it.

A check raises Broken when an answer contradicts it, Unseen when there is nothing to see it on, and
lets pass what `get` raises. Transport trouble is errors.Retry and never contradicts anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from polybackfill import clocks, errors
from polybackfill.polymarket import endpoints, http, pagination, parsing

# An answer to a question that is wrong, or to one that is right and no longer understood.
_CONTRADICTS = (400, 404, 405, 410, 422)
_URL = re.compile(r"^GET \S+?:? (?=answered |\w+:)")
_LONGEST_WAIT_S = 3.0
_TRIES = 2

Json = Mapping[str, object]


class Broken(Exception):
    """The API does not do what the program takes for granted; the text says what was seen."""


class Unseen(Exception):
    """The API showed nothing on which this could be seen; the text says what was missing."""


class Refused(Broken):
    """A request was refused for good. `host`: of the route; `status`: of HTTP."""

    def __init__(self, host: str, status: int, text: str) -> None:
        super().__init__(text)
        self.host = host
        self.status = status


@contextlib.contextmanager
def sampling() -> Iterator[None]:
    """What is refused meanwhile was to be a sample only: it contradicts other assumptions."""
    try:
        yield
    except Refused as refusal:
        raise Unseen(f"nothing to look at: {refusal}") from refusal


class Allowance:
    """How many requests a probe may still send."""

    def __init__(self, requests: int) -> None:
        self._allowed = requests
        self.used = 0

    def spend(self) -> None:
        """Count one; raises errors.Retry when none is left."""
        if self.used >= self._allowed:
            raise errors.Retry(f"the probe's {self._allowed} requests are used up")
        self.used += 1


@dataclass(frozen=True)
class Answer:
    """One answer: its JSON, its headers, and the source its rows are parsed under."""

    route: endpoints.Route
    url: str
    body: bytes
    headers: Mapping[str, str]
    document: object
    source: parsing.ResponseSource

    @property
    def fields(self) -> Json:
        """The JSON object it is; empty when it is something else."""
        return self.document if isinstance(self.document, dict) else {}


@dataclass(frozen=True)
class Page:
    """A page of a list: its rows, and the cursor of the next one."""

    rows: Sequence[Json]
    cursor: str | None
    answer: Answer


# What the present check has asked.
_requests: contextvars.ContextVar[list[str]] = contextvars.ContextVar("asked")


def note_requests() -> list[str]:
    """A list that fills with what the calling task asks from now on: host, path and query."""
    requests: list[str] = []
    _requests.set(requests)
    return requests


class Evidence:
    """The answers of one probe. `get` sends a request within the limits."""

    def __init__(self, get: http.Get, allowance: Allowance, clock: clocks.Clock) -> None:
        self._get = get
        self._allowance = allowance
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[Answer]] = {}
        # As a walk does: the edge may keep first pages, and passes on what it has not seen.
        self._fresh = (pagination.FRESH, str(int(clock.now() * 1000)))

    async def answer(self, route: endpoints.Route, query: Sequence[tuple[str, str]]) -> Answer:
        """The answer to a question. Raises Refused, Broken (no JSON object), Retry, Stop."""
        request = _text(route, query)
        if request not in self._tasks:
            self._tasks[request] = asyncio.create_task(self._ask(route, tuple(query)))
        requests = _requests.get(None)
        if requests is not None and request not in requests:
            requests.append(request)
        return await asyncio.shield(self._tasks[request])

    async def first(self, feed: pagination.FeedQuery) -> Answer:
        """The first page of a feed, as a walk asks for it."""
        return await self.answer(feed.route, (*feed.request_params(None), self._fresh))

    async def next(self, feed: pagination.FeedQuery, cursor: str) -> Answer:
        """The page of a feed that a cursor names."""
        return await self.answer(feed.route, feed.request_params(cursor))

    def answers(self) -> list[Answer]:
        """Every answer that has come so far."""
        done = [task for task in self._tasks.values() if task.done() and not task.cancelled()]
        return [task.result() for task in done if task.exception() is None]

    def without(self, requests: Collection[str]) -> Evidence:
        """The same answers but for these requests, which are sent again when a check needs them."""
        other = Evidence(self._get, self._allowance, self._clock)
        other._tasks = {
            text: task
            for text, task in self._tasks.items()
            if text not in requests and task.done() and not task.cancelled()
        }
        return other

    async def close(self) -> None:
        """Wait for nothing any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _ask(self, route: endpoints.Route, query: pagination.Params) -> Answer:
        response = await self._fetch(route, query)
        try:
            document = orjson.loads(response.body)
        except orjson.JSONDecodeError as problem:
            raise errors.Retry(f"not JSON: {problem}") from problem
        source = parsing.ResponseSource(route.path, response.url, "probe", int(self._clock.now()))
        return Answer(route, response.url, response.body, response.headers, document, source)

    async def _fetch(self, route: endpoints.Route, query: pagination.Params) -> http.Response:
        for left in reversed(range(_TRIES)):
            self._allowance.spend()
            try:
                return await self._get(route, query)
            except errors.Retry as problem:
                if not left:
                    raise
                await self._clock.sleep(min(problem.after_s or 1.0, _LONGEST_WAIT_S))
            except errors.GiveUp as problem:
                if problem.status in _CONTRADICTS:
                    raise Refused(route.host, problem.status, without_url(problem)) from problem
                raise errors.Retry(without_url(problem)) from problem
        raise AssertionError  # the last try returns or raises


def without_url(problem: Exception) -> str:
    """What a request met, without its URL: that stands beside it, and may hold a secret."""
    return _URL.sub("", str(problem))


def _text(route: endpoints.Route, query: Sequence[tuple[str, str]]) -> str:
    """Without the base URL, which may hold a secret, and without what is new each time."""
    kept = [(name, value) for name, value in query if name != pagination.FRESH]
    return f"{route.host} {route.address}" + (f"?{urllib.parse.urlencode(kept)}" if kept else "")
