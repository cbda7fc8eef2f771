"""What every list and feed is paged with: queries, pages, the place to resume from, refusals."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import msgspec

from polybackfill import clocks, errors, records
from polybackfill.polymarket import endpoints, response_source

MAX_EMPTY_PAGES = 1_000
MAX_UNUSABLE_PAGES = 100  # in a row, with rows and not one that can be used
MAX_RESTARTS = 20
_OTHER_SIZES = 3  # new beginnings in a row that came no further, of a walk the edge refuses
# The parameter that makes a cache pass a request on: new with every request, and asks nothing.
FRESH = "_"
_BAD_REQUEST = 400

Params = tuple[tuple[str, str], ...]
Kind = TypeVar("Kind", bound=records.Row)
Result = TypeVar("Result")


class Resume(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a walk goes on when every row it has released is stored.

    `cursor`: fetches the page in which the held `second` begins; None is the first page.
    `feed`: fingerprint of the feed; a cursor means nothing under other filters.
    `ended`: the feed is over and nothing is left to fetch.
    """

    cursor: str | None = None
    second: int | None = None
    feed: str = ""
    ended: bool = False


@dataclass(frozen=True)
class FeedQuery:
    """One question to a keyset feed.

    `wallet`, `conditions`: what every row must be about, normalised; None or empty: anything.
    `since`, `until`: epoch seconds, both inclusive.
    """

    route: endpoints.Route
    params: Params
    wallet: str | None = None
    conditions: frozenset[str] = frozenset()
    descending: bool = True
    since: int | None = None
    until: int | None = None

    def request_params(self, cursor: str | None) -> Params:
        """The parameters of one request: the cursor holds the place, but not the filters."""
        return self.params if cursor is None else (*self.params, ("cursor", cursor))

    def with_page_size(self, rows: int) -> FeedQuery:
        """The same question, answered in pages of so many rows."""
        params = ((name, str(rows) if name == "limit" else value) for name, value in self.params)
        return replace(self, params=tuple(params))

    @property
    def fingerprint(self) -> str:
        """16 hex digits, equal exactly for feeds whose cursors may be exchanged."""
        parts = [self.route.host, self.route.path, self.params, self.descending]
        content = msgspec.json.encode([*parts, self.since, self.until])
        return hashlib.blake2b(content, digest_size=8).hexdigest()


@dataclass(frozen=True)
class Page:
    """What one request brought: sequences of rows, each of one type, with their final ids.

    Trades and activities come in whole seconds. `resume`: valid as soon as these rows are stored.
    `last`: the feed ended, proven.
    `restarted`: the walk began anew before this page, so what came before counts for nothing.
    `fetched_rows` and the seconds count what the page held, whether released, held or filtered.
    """

    rows: tuple[Sequence[records.Row], ...]
    resume: Resume
    last: bool
    fetched_rows: int
    first_second: int | None = None
    last_second: int | None = None
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    restarted: bool = False

    def rows_of(self, kind: type[Kind]) -> list[Kind]:
        """The rows of one type."""
        return [row for rows in self.rows for row in rows if isinstance(row, kind)]


class ResponseBody(Protocol):
    """What a walk needs of an HTTP reply: `body` bytes, and the `url` that was asked."""

    @property
    def body(self) -> bytes: ...

    @property
    def url(self) -> str: ...


Fetch = Callable[[FeedQuery, str | None], Awaitable[ResponseBody]]
Attempt = Callable[[], Awaitable[Result]]


class RetryPolicy(Protocol):
    """How often an attempt for one page is made, and how long is waited between."""

    async def __call__(self, attempt: Attempt[Result]) -> Result: ...


def refuses_cursor(error: errors.GiveUp | errors.Retry) -> bool:
    """Whether the cursor may be at fault for it, if one was sent."""
    return error.split if isinstance(error, errors.Retry) else error.status == _BAD_REQUEST


class CursorRefusalPolicy:
    """What a walk does about its refused cursors, and the size of its pages since.

    A cursor is shown once more, since servers have bad moments; then the walk begins anew, in
    pages a tenth smaller. When that is refused too, another beginning is worth it only further on;
    or, where the edge refuses (a 403 page) and not the API (400), in pages of a few more sizes.
    """

    def __init__(self) -> None:
        self._doubted: str | None = None
        self._restarts = 0
        self._fruitless = 0

    @property
    def page_rows(self) -> int:
        """Rows of a page after the new beginnings so far."""
        return round(endpoints.PAGE_ROWS * 0.9**self._restarts)

    def may_retry_cursor(self, cursor: str) -> bool:
        """Whether this is the first refusal of the cursor."""
        known, self._doubted = self._doubted == cursor, cursor
        return not known

    def may_restart(self, refusal: errors.GiveUp | errors.Retry, *, further: bool) -> bool:
        """Whether to begin anew; `further`: than at the refusals before."""
        self._fruitless = 0 if further or not self._restarts else self._fruitless + 1
        by_edge = isinstance(refusal, errors.Retry)
        if self._restarts == MAX_RESTARTS or self._fruitless > (_OTHER_SIZES if by_edge else 0):
            return False
        self._restarts += 1
        return True


class BarrenPages:
    """An end for a feed whose pages go on and on and bring nothing that can be used."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._empty = self._unusable = 0

    def count(self, fetched_rows: int, rejected: Sequence[records.Rejected]) -> None:
        """One more page. Raises GiveUp beyond the bounds."""
        if fetched_rows > len(rejected):
            self._empty = self._unusable = 0
        elif rejected:
            self._unusable += 1
        else:
            self._empty += 1
        if self._empty > MAX_EMPTY_PAGES:
            raise errors.GiveUp(f"{self._path}: {MAX_EMPTY_PAGES} empty pages in a row")
        if self._unusable > MAX_UNUSABLE_PAGES:
            raise errors.GiveUp(
                f"{self._path}: {MAX_UNUSABLE_PAGES} pages in a row without a usable row, "
                f"the last because: {rejected[-1].reason if rejected else 'it was empty'}"
            )


async def without_retry(attempt: Attempt[Result]) -> Result:
    """Ask for a page one time; the first error ends the walk."""
    return await attempt()


async def one_answer(
    feed: FeedQuery,
    fetch: Fetch,
    resume: Resume | None,
    read: Callable[[bytes, response_source.ResponseSource, Resume], Page],
    *,
    clock: clocks.Clock,
    unit: str,
    with_retries: RetryPolicy,
) -> AsyncIterator[Page]:
    """A feed whose whole content is one answer. `read` makes the page of it, with its resume point.

    Raises what `fetch` and `read` raise, when `with_retries` has given up.
    """
    ended = Resume(feed=feed.fingerprint, ended=True)
    if resume == ended:
        yield Page((), ended, last=True, fetched_rows=0)
        return

    async def ask() -> Page:
        response = await fetch(feed, None)
        return read(response.body, source_of(feed, response, clock, unit), ended)

    yield await with_retries(ask)


def source_of(
    feed: FeedQuery, response: ResponseBody, clock: clocks.Clock, unit: str
) -> response_source.ResponseSource:
    """Where the rows of a reply come from."""
    return response_source.ResponseSource(
        route=feed.route.path,
        request=_stable_url(response.url),
        unit=unit,
        fetched_at=int(clock.now()),
        version=clock.tick(),
    )


def _stable_url(url: str) -> str:
    """What was asked, the same whenever it is asked."""
    address, mark, query = url.partition("?")
    kept = (part for part in query.split("&") if not part.startswith(f"{FRESH}="))
    return address + mark + "&".join(kept)
