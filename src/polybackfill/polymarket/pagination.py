"""A feed, followed from page to page to an end that the feed itself has declared.

Two rules make rows countable. The rows of a page's last second are held back until a later page
shows that the second is over, so that equal fills are numbered over whole seconds, wherever the
page boundaries fall. And the place to resume from names the page in which the held second begins,
so that the store has everything before it and a crash loses only rows that will be fetched again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import msgspec

from polybackfill import clocks, errors, records
from polybackfill.polymarket import endpoints, response_source, second_buffer, trade_parser

MAX_EMPTY_PAGES = 1_000
MAX_UNUSABLE_PAGES = 100  # in a row, with rows and not one that can be used
MAX_RESTARTS = 20
_OTHER_SIZES = 3  # new beginnings in a row that came no further, of a walk the edge refuses
# The parameter that makes a cache pass a request on: new with every request, and asks nothing.
FRESH = "_"
_REMEMBERED_CURSORS = 4_096
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


async def pages(
    fetch: Fetch,
    feed: FeedQuery,
    resume: Resume | None = None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: RetryPolicy = without_retry,
    max_held_rows: int = second_buffer.MAX_HELD_ROWS,
) -> AsyncIterator[Page]:
    """The pages of a feed, from `resume` to its proven end; the last one says `last`.

    `with_retries` runs the attempt for one page (request, parsing, checks) and decides how often.
    An attempt raises Retry for whatever is no answer to the question, and may be run again. An
    error it lets through ends the generator, which can be started again from the last `resume`.
    A cursor that is refused twice, by the API (400) or by the edge before it (a 403 page), restarts
    the walk (`CursorRefusalPolicy` says how often). The ids make the replay harmless. Pages of
    another size have other cursors: some strings trip the edge for ever (seen on Gamma, 2026).
    Raises Retry, GiveUp and Stop as fetched; GiveUp when a second or a run of empty pages is
    beyond all bounds.
    """
    walk = _FeedWalk(feed, resume, clock=clock, unit=unit, max_held_rows=max_held_rows)
    while not walk.ended:
        try:
            # No name for answer or page: they would stay in memory while the caller is busy.
            yield walk.advance(await with_retries(lambda: walk.fetch_page(fetch)))
        except (errors.GiveUp, errors.Retry) as refusal:
            if not refuses_cursor(refusal) or not walk.may_go_on(refusal):
                raise
    if walk.was_over:
        yield walk.nothing_left()


class _FeedWalk:
    """Where a walk stands. `ask` only looks; `take` moves on."""

    def __init__(
        self,
        feed: FeedQuery,
        resume: Resume | None,
        *,
        clock: clocks.Clock,
        unit: str,
        max_held_rows: int,
    ) -> None:
        self.feed = self._sized_feed = feed
        self._fingerprint = feed.fingerprint
        self._clock = clock
        self._unit = unit
        self._max_held_rows = max_held_rows
        self._refusals = CursorRefusalPolicy()
        self._refused_at: int | None = None
        begun = resume if resume and resume.feed == self._fingerprint else Resume()
        self._begin(begun)
        # A first page that is stored already comes, and is counted, whole once more.
        self._has_restarted = begun.cursor is None and begun.second is not None
        self.was_over = self.ended

    def _begin(self, resume: Resume) -> None:
        self.ended = resume.ended
        self._cursor = resume.cursor
        # Rows beyond the held second are stored. Not so on the first page, whose newest rows may
        # have come since.
        self._stored_beyond = resume.second if resume.cursor is not None else None
        self._resume = Resume(resume.cursor, self._stored_beyond, self._fingerprint)
        self._buffer = second_buffer.WholeSeconds(
            descending=self.feed.descending, max_rows=self._max_held_rows
        )
        self._last_second: int | None = None
        self._seen_cursors: OrderedDict[str, None] = OrderedDict()
        self._barren = BarrenPages(self.feed.route.path)
        self._see(self._cursor)

    def may_go_on(self, refusal: errors.GiveUp | errors.Retry) -> bool:
        """After a refusal: with the same cursor, or from a new beginning."""
        if self._cursor is None:
            return False
        if self._refusals.may_retry_cursor(self._cursor):
            return True
        further = self._is_beyond(self._refused_at)
        if not self._refusals.may_restart(refusal, further=further):
            return False
        self._has_restarted = True
        if further:
            self._refused_at = self._position()
        self._sized_feed = self.feed.with_page_size(self._refusals.page_rows)
        self._begin(Resume())
        return True

    def _position(self) -> int | None:
        """The second the walk has reached, None before its first row."""
        return self._stored_beyond if self._last_second is None else self._last_second

    def _is_beyond(self, second: int | None) -> bool:
        position = self._position()
        if second is None or position is None:
            return position is not None
        return position < second if self.feed.descending else position > second

    async def fetch_page(self, fetch: Fetch) -> trade_parser.TradePage:
        """Fetch and parse the next page. Raises Retry when it is not the answer."""
        response = await fetch(self._sized_feed, self._cursor)
        page = trade_parser.page(
            response.body, source_of(self.feed, response, self._clock, self._unit)
        )
        self._check_cursor(page)
        self._check_order(page)
        self._check_filters(page)
        return page

    def advance(self, page: trade_parser.TradePage) -> Page:
        """Release what is complete, hold back the rest, and move to the next page."""
        cursor, self._cursor = self._cursor, page.next_cursor
        self._see(self._cursor)
        self._last_second = page.seconds[-1] if page.seconds else self._last_second
        self._buffer.add(page, *self._range())
        if self._cursor is None or self._is_past_the_range():
            self.ended = True
            self._resume = Resume(feed=self._fingerprint, ended=True)
            return self._release(page, None)
        self._barren.count(page.fetched_rows, page.rejected)
        if self._last_second is not None and self._is_new_ground(self._last_second):
            if self._last_second != self._resume.second:
                self._resume = Resume(cursor, self._last_second, self._fingerprint)
            return self._release(page, self._last_second)
        return self._release(page, self._resume.second)

    def nothing_left(self) -> Page:
        """The page of a walk that had ended before it was resumed."""
        resume = Resume(feed=self._fingerprint, ended=True)
        return Page((), resume, True, 0)

    def _release(self, page: trade_parser.TradePage, held_second: int | None) -> Page:
        """The held rows of every second but `held_second` (None: of all seconds)."""
        trades, activities = self._buffer.release(held_second)
        ends = (page.seconds[0], page.seconds[-1]) if page.seconds else ()
        restarted, self._has_restarted = self._has_restarted, False
        return Page(
            rows=(trades, activities, page.rejected),
            resume=self._resume,
            last=self.ended,
            fetched_rows=page.fetched_rows,
            first_second=min(ends, default=None),
            last_second=max(ends, default=None),
            unknown_fields=page.unknown_fields,
            restarted=restarted,
        )

    def _range(self) -> tuple[int, int]:
        """The seconds of the feed's range that are not stored yet, both inclusive."""
        earliest = self.feed.since or 0
        latest = records.MAX_SECOND if self.feed.until is None else self.feed.until
        if self._stored_beyond is None:
            return earliest, latest
        if self.feed.descending:
            return earliest, min(latest, self._stored_beyond)
        return max(earliest, self._stored_beyond), latest

    def _is_new_ground(self, second: int) -> bool:
        if self._stored_beyond is None:
            return True
        if self.feed.descending:
            return second <= self._stored_beyond
        return second >= self._stored_beyond

    def _is_past_the_range(self) -> bool:
        """The order of the feed proves that nothing of the range is left."""
        second = self._last_second
        if second is None:
            return False
        if self.feed.descending:
            return self.feed.since is not None and second < self.feed.since
        return self.feed.until is not None and second > self.feed.until

    def _check_cursor(self, page: trade_parser.TradePage) -> None:
        if page.next_cursor in self._seen_cursors:
            raise errors.Retry(f"{self.feed.route.path}: the feed repeats a cursor")

    def _check_order(self, page: trade_parser.TradePage) -> None:
        order = page.seconds
        if self._last_second is not None:
            order = [self._last_second, *order]
        if order != sorted(order, reverse=self.feed.descending):
            raise errors.Retry(f"{self.feed.route.path}: rows are out of order")

    def _check_filters(self, page: trade_parser.TradePage) -> None:
        """A filter that was ignored answers another question, whatever its rows look like."""
        wallet, conditions = self.feed.wallet, self.feed.conditions
        rows: list[records.Trade | records.Activity] = [*page.trades, *page.activities]
        if wallet is not None and {row.wallet_address for row in rows} - {wallet}:
            raise errors.Retry(f"{self.feed.route.path}: rows of another wallet")
        if conditions and {row.condition_id for row in rows} - conditions:
            raise errors.Retry(f"{self.feed.route.path}: rows of another condition")

    def _see(self, cursor: str | None) -> None:
        if cursor is None:
            return
        self._seen_cursors[cursor] = None
        if len(self._seen_cursors) > _REMEMBERED_CURSORS:
            self._seen_cursors.popitem(last=False)


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
