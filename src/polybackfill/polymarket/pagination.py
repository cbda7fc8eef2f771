"""Following cursors to a proven end: one driver, and a strategy for each API.

The driver (`follow`) fetches a page, hands over its rows with the place to resume from, and goes on
until the strategy has seen the end. The strategies hold what differs between the APIs: the next
question, whether a response answers it, when a row may be handed over, what proves the end, and
what a refused cursor means. The driver holds what is the same everywhere:

- a response that does not answer the question is asked for again;
- a list that repeats a cursor is refused;
- a short page, and an empty one, are not the end;
- a list without a usable row for too many pages is given up;
- a resume point is used for its own question only.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

import msgspec

from polybackfill import clocks, errors, records
from polybackfill.polymarket import endpoints, parsing, v2_envelope

MAX_EMPTY_PAGES = 1_000
MAX_UNUSABLE_PAGES = 100  # in a row, with rows and not one that can be used
# The parameter that makes a cache pass a request on: new with every request, and asks nothing.
FRESH = "_"
_REMEMBERED_CURSORS = 4_096

Params = tuple[tuple[str, str], ...]
Rows = tuple[Sequence[records.Row], ...]
Kind = TypeVar("Kind", bound=records.Row)
Result = TypeVar("Result")


class Resume(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a walk goes on when every row that it handed over is stored.

    `cursor`: of the page in which the held `second` begins; None is the first page.
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
    `restarted`: the walk began anew before this page, so what came before counts for nothing.
    `fetched_rows` and the seconds count what the page held, whether released, held or filtered.
    """

    rows: Rows
    resume: Resume
    fetched_rows: int
    first_second: int | None = None
    last_second: int | None = None
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    restarted: bool = False

    @property
    def last(self) -> bool:
        """The feed ended, proven."""
        return self.resume.ended

    def rows_of(self, kind: type[Kind]) -> list[Kind]:
        """The rows of one type."""
        return [row for rows in self.rows for row in rows if isinstance(row, kind)]


class ResponseBody(Protocol):
    """What a walk needs of an HTTP response: its `body`, and the `url` of the request."""

    @property
    def body(self) -> bytes: ...

    @property
    def url(self) -> str: ...


Source = parsing.ResponseSource
Refusal = errors.GiveUp | errors.Retry
FirstPageCheck = Callable[[], Awaitable[bool]]
Fetch = Callable[[FeedQuery, str | None], Awaitable[ResponseBody]]
Attempt = Callable[[], Awaitable[Result]]


class RetryPolicy(Protocol):
    """How often a page is asked for, and how long to wait in between."""

    async def __call__(self, attempt: Attempt[Result]) -> Result: ...


async def without_retry(attempt: Attempt[Result]) -> Result:
    """Ask for a page one time; the first error ends the walk."""
    return await attempt()


@dataclass(frozen=True)
class RequestContext:
    """What a walk is given to work with. `unit`: the id of the unit it is for.

    `with_retries` runs the attempt for one page (request, parsing, checks), as often as it decides.
    An attempt that does not bring the page raises Retry and may be run again.
    """

    fetch: Fetch
    clock: clocks.Clock
    unit: str = ""
    with_retries: RetryPolicy = without_retry

    async def ask(
        self, query: FeedQuery, cursor: str | None, read: Callable[[bytes, Source], Result]
    ) -> Result:
        """Send one request, without retries; return what `read` makes of the response."""
        response = await self.fetch(query, cursor)
        source = parsing.ResponseSource(
            route=query.route.path,
            request=_stable_url(response.url),
            unit=self.unit,
            fetched_at=int(self.clock.now()),
            version=self.clock.tick(),
        )
        return read(response.body, source)


Parsed = TypeVar("Parsed", bound=parsing.ParsedPage)


class Recovery(Enum):
    """How a walk goes on when a page did not come."""

    FAIL = auto()
    SAME_PAGE = auto()
    NEW_BEGINNING = auto()


class Strategy(ABC, Generic[Parsed]):
    """One walk of one API: where it stands, and what its pages mean.

    `feeds`: fingerprints of the lists it reads, one after the other. `cursor`: of the next page,
    None for the first page of a list. `resume`: where to go on when all rows handed over so far are
    stored. It names the present feed; the walk is over when it says `ended`.
    """

    route: endpoints.Route
    feeds: tuple[str, ...]
    cursor: str | None
    resume: Resume

    @abstractmethod
    def begin(self, resume: Resume) -> None:
        """Go to the place that `resume` names: the beginning of its feed if it has no cursor."""

    @abstractmethod
    def next_query(self) -> FeedQuery:
        """The query of the next request. Called for every attempt."""

    @abstractmethod
    def read(self, body: bytes, source: Source) -> Parsed:
        """Parse and check a page; change nothing. Raises Retry if it does not answer the query."""

    @abstractmethod
    def advance(self, page: Parsed) -> Rows:
        """Move on to the next page; return the rows that may be stored now."""

    def size_query(self) -> FeedQuery | None:
        """A question beside the walk whose answer would tell how full the unit is, if it is worth a
        request; called before the next page.
        """
        return None

    def measure(self, page: Parsed | None) -> None:
        """Take the answer to `size_query` in, whose rows are not stored; None: it did not come."""

    def check_size(self) -> None:
        """Called before the next page. Raises Retry (split) when the unit should be cut in two."""

    async def recover(self, refusal: Refusal, answers_first_page: FirstPageCheck) -> Recovery:
        """Decide what to do when the next page did not come. May raise a clearer error."""
        return Recovery.FAIL


class SingleResponse(Strategy[v2_envelope.ParsedRows[Kind]]):
    """A feed that is one response without pages. `read_rows`: as `Strategy.read`."""

    def __init__(
        self,
        query: FeedQuery,
        read_rows: Callable[[bytes, Source], v2_envelope.ParsedRows[Kind]],
    ) -> None:
        self.route, self.feeds = query.route, (query.fingerprint,)
        self._query = query
        self._read_rows = read_rows

    def begin(self, resume: Resume) -> None:
        self.cursor, self.resume = None, resume

    def next_query(self) -> FeedQuery:
        return self._query

    def read(self, body: bytes, source: Source) -> v2_envelope.ParsedRows[Kind]:
        return self._read_rows(body, source)

    def advance(self, page: v2_envelope.ParsedRows[Kind]) -> Rows:
        self.resume = Resume(feed=self.resume.feed, ended=True)
        return page.rows, page.rejected


async def follow(
    strategy: Strategy[Parsed], resume: Resume | None, context: RequestContext
) -> AsyncIterator[Page]:
    """The pages of a walk, from `resume` to its proven end; the last one says `last`.

    An error that the retry policy lets through goes to the strategy. If that cannot recover, the
    error ends the generator; a new one may go on from the last `resume`. If it begins anew, the
    next page says `restarted`: rows come again, with the same ids. Raises what `context.fetch`
    raises, and GiveUp when too many pages in a row bring no usable row.
    """
    if resume is None or resume.feed not in strategy.feeds:
        resume = Resume(feed=strategy.feeds[0])
    walk = _Walk(strategy, context, resume)
    if strategy.resume.ended:
        yield Page((), strategy.resume, fetched_rows=0)
    while not strategy.resume.ended:
        try:
            # The page gets no name here: it would stay in memory while the caller is busy.
            yield walk.advance(await context.with_retries(walk.fetch_page))
        except (errors.GiveUp, errors.Retry) as refusal:
            if not await walk.may_go_on(refusal):
                raise
        if (query := strategy.size_query()) is not None:
            strategy.measure(await walk.ask_beside(query))
        strategy.check_size()


class _Walk(Generic[Parsed]):
    """The driver's part of a walk: seen cursors, pages without rows, restarts."""

    def __init__(self, strategy: Strategy[Parsed], context: RequestContext, resume: Resume) -> None:
        self._strategy = strategy
        self._context = context
        self._begin(resume)
        # The first page was stored in part. It comes whole again, and so do its counts.
        self._has_restarted = resume.cursor is None and resume.second is not None

    def _begin(self, resume: Resume) -> None:
        self._strategy.begin(resume)
        self._seen_cursors: dict[str, None] = {}
        self._barren = _BarrenPages(self._strategy.route.path)
        self._see(self._strategy.cursor)

    async def fetch_page(self) -> Parsed:
        """Fetch, parse and check the next page. Raises Retry when it is not that page."""
        page = await self._fetch_at(self._strategy.cursor)
        if page.next_cursor in self._seen_cursors:
            raise errors.Retry(f"{self._strategy.route.path}: the list repeats a cursor")
        return page

    def advance(self, page: Parsed) -> Page:
        """Move on to the next page; return the rows that may be stored now."""
        self._barren.count(page)
        rows = self._strategy.advance(page)
        self._see(self._strategy.cursor)
        restarted, self._has_restarted = self._has_restarted, False
        return Page(
            rows=rows,
            resume=self._strategy.resume,
            fetched_rows=page.fetched_rows,
            first_second=min(page.seconds, default=None),
            last_second=max(page.seconds, default=None),
            unknown_fields=page.unknown_fields,
            restarted=restarted,
        )

    async def may_go_on(self, refusal: Refusal) -> bool:
        """Whether the walk goes on after an error, with the same page or from its beginning."""
        recovery = await self._strategy.recover(refusal, self._answers_first_page)
        if recovery is Recovery.NEW_BEGINNING:
            self._begin(Resume(feed=self._strategy.resume.feed))
            self._has_restarted = True
        return recovery is not Recovery.FAIL

    async def _fetch_at(self, cursor: str | None) -> Parsed:
        query = self._strategy.next_query()
        return await self._context.ask(query, cursor, self._strategy.read)

    async def ask_beside(self, query: FeedQuery) -> Parsed | None:
        """The first page of another query, which the walk can do without; None if it fails."""
        try:
            return await self._context.ask(query, None, self._strategy.read)
        except (errors.Retry, errors.GiveUp):
            return None

    async def _answers_first_page(self) -> bool:
        try:
            await self._fetch_at(None)
        except (errors.Retry, errors.GiveUp):
            return False
        return True

    def _see(self, cursor: str | None) -> None:
        if cursor is None:  # a list begins
            self._seen_cursors.clear()
            return
        self._seen_cursors[cursor] = None
        if len(self._seen_cursors) > _REMEMBERED_CURSORS:
            del self._seen_cursors[next(iter(self._seen_cursors))]


class _BarrenPages:
    """Pages in a row that brought no usable row; too many of them end the walk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._empty = self._unusable = 0

    def count(self, page: parsing.ParsedPage) -> None:
        """Count one more page. Raises GiveUp beyond the bounds."""
        if page.fetched_rows > len(page.rejected):
            self._empty = self._unusable = 0
        elif page.rejected:
            self._unusable += 1
        else:
            self._empty += 1
        if self._empty > MAX_EMPTY_PAGES:
            raise errors.GiveUp(f"{self._path}: {MAX_EMPTY_PAGES} empty pages in a row")
        if self._unusable > MAX_UNUSABLE_PAGES:
            raise errors.GiveUp(
                f"{self._path}: {MAX_UNUSABLE_PAGES} pages in a row without a usable row, "
                f"the last because: {page.rejected[-1].reason}"
            )


def _stable_url(url: str) -> str:
    """What was asked, the same whenever it is asked."""
    address, mark, query = url.partition("?")
    kept = (part for part in query.split("&") if not part.startswith(f"{FRESH}="))
    return address + mark + "&".join(kept)
