"""Gamma's keyset lists of markets and events, read span by span to their proven ends.

The order is `id`, ascending: the only sort key that never changes while a list is read. New rows
come at its end, and a row that changes its state leaves one list and stands in the other, so
nothing is skipped. Rules of the keyset lists: docs.polymarket.com, read 2026-10 and 2026-11.

A full page carries a cursor, so the end is a page without one that is not full. Filters the server
does not know are ignored without a word, so every row is checked against the question.

What no span of dates shows, markets without a start date, is found in two ways: events name their
markets, and a list sorted by start date has them together at one of its two ends (`undated`).
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from polybackfill import errors
from polybackfill.polymarket import (
    coerce,
    cursor_refusal,
    date_range,
    endpoints,
    gamma_queries,
    market_parser,
    pagination,
    parsing,
    time_window,
)

# Pages of another size have other cursors: for a list that cannot be cut around a bad one.
_OTHER_PAGE_ROWS = (90, 70)
# More pages than this are read faster in two spans side by side.
MANY_PAGES = 60
# What was read of a span that is cut is read again, so it is cut early or not at all: ids that grow
# with the dates tell on the first pages how many will follow.
_EARLY_PAGES = 5
# Where they do not (a list whose ids are older or newer than its dates), a page from the middle of
# the span, by date, tells how dense it is there.
_PAGES_BEFORE_MEASURING = 3
# Where neither was right, much more than was expected is borne.
_SURPRISING_PAGES = 240
_REFUSED = (400, 422)
_MISSING = object()


def _walk(
    route: endpoints.Route,
    keys: tuple[str, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """One span (`date_range.parse` of the one key) of a list."""
    return pages(_build_queries(route, keys), resume, context)


# The events of a span bring the markets in them that have no start date.
walk_markets = functools.partial(_walk, endpoints.MARKETS)
walk_events = functools.partial(_walk, endpoints.EVENTS)


def _walk_new(
    route: endpoints.Route,
    keys: tuple[str, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """What was made in one window (`time_window.parse` of the one key) or later, and is open."""
    (key,) = keys
    query = gamma_queries.build_new_query(route, time_window.parse(key).since)
    return pages((query,), resume, context)


walk_new_markets = functools.partial(_walk_new, endpoints.MARKETS)
walk_new_events = functools.partial(_walk_new, endpoints.EVENTS)


def _build_queries(
    route: endpoints.Route, keys: tuple[str, ...]
) -> tuple[gamma_queries.GammaQuery, ...]:
    if len(keys) != 1:
        raise errors.GiveUp(f"a walk of {route.path} reads one span, not {len(keys)}")
    span = date_range.parse(keys[0])
    if not span.undated:
        return (gamma_queries.build_range_query(route, span),)
    return tuple(
        gamma_queries.build_range_query(route, span, order) for order in gamma_queries.BOTH_ENDS
    )


def pages(
    queries: tuple[gamma_queries.GammaQuery, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """The pages of some feeds, one after the other, as `pagination.follow`.

    Raises Retry with `split` when the span should be cut in two: it is very full, or one of its
    cursors is refused at the edge while its first page is answered (seen on the live service: some
    cursor strings meet the firewall whenever they are sent). A span that cannot be cut is then read
    anew in pages of another size.
    """
    return pagination.follow(_ListWalk(queries, context.unit), resume, context)


class _ListWalk(pagination.Strategy[market_parser.ParsedListing]):
    """A walk through a list, and how many pages its span probably has."""

    def __init__(self, queries: tuple[gamma_queries.GammaQuery, ...], unit: str) -> None:
        self.route = queries[0].route
        self.feeds = tuple(query.fingerprint for query in queries)
        self._queries = queries
        self._unit = unit
        self._size = _SpanSize()
        self._allow_restarts()

    def _allow_restarts(self) -> None:
        self._refusals = cursor_refusal.CursorRefusalPolicy()
        self._has_restarted = False
        self._other_sizes = list(_OTHER_PAGE_ROWS)
        self._page_rows = gamma_queries.PAGE_ROWS

    def begin(self, resume: pagination.Resume) -> None:
        self.cursor, self.resume = resume.cursor, resume
        self._size.pages = 0

    @property
    def _query(self) -> gamma_queries.GammaQuery:
        """That of the present feed."""
        return self._queries[self.feeds.index(self.resume.feed)]

    def next_query(self) -> pagination.FeedQuery:
        return replace(self._query, page_rows=self._page_rows)

    def read(self, body: bytes, source: pagination.Source) -> market_parser.ParsedListing:
        listed = _read(body, self._query.route, self._page_rows, source)
        self._check_filters(listed)
        return listed

    def advance(self, page: market_parser.ParsedListing) -> pagination.Rows:
        feed = self.resume.feed
        self.cursor = page.next_cursor
        self._size.pages += 1
        self._size.estimate(self._query.span, page.seconds, self._page_rows)
        if self.cursor is not None and not self._is_past_the_question(page):
            self.resume = pagination.Resume(self.cursor, feed=feed)
        elif feed == self.feeds[-1]:
            self.resume = pagination.Resume(feed=feed, ended=True)
        else:
            self._allow_restarts()
            self.begin(pagination.Resume(feed=self.feeds[self.feeds.index(feed) + 1]))
        return page.rows

    def size_query(self) -> pagination.FeedQuery | None:
        span = self._query.span
        is_due = self._size.pages == _PAGES_BEFORE_MEASURING and not self._size.is_known
        if not (is_due and self._can_cut) or span.since is None or span.until is None:
            return None
        later = replace(span, since=(span.since + span.until) // 2)
        by_date = gamma_queries.Order.EARLIEST_FIRST
        return gamma_queries.build_range_query(self.route, later, by_date)

    def measure(self, page: market_parser.ParsedListing | None) -> None:
        self._size.is_measured = True
        if page is not None and page.next_cursor is not None and page.seconds:
            self._size.measure(self._query.span, page.seconds)

    def check_size(self) -> None:
        if self._can_cut and self._size.is_too_full:
            raise errors.Retry(f"{self._unit}: more than {MANY_PAGES} pages", split=True)

    @property
    def _can_cut(self) -> bool:
        return not self.resume.ended and self._query.span.can_split

    async def recover(
        self, refusal: pagination.Refusal, answers_first_page: pagination.FirstPageCheck
    ) -> pagination.Recovery:
        if isinstance(refusal, errors.GiveUp):
            return self._recover_from_refusal(refusal)
        if refusal.host_fault:
            return pagination.Recovery.FAIL
        # A cursor is to blame only where the first page is answered: a host that refuses everything
        # would otherwise leave thousands of small spans behind.
        is_cursor_bad = self.cursor is not None and await answers_first_page()
        can_split = self._query.span.can_split
        if is_cursor_bad and not can_split and self._other_sizes:
            self._page_rows = self._other_sizes.pop(0)
            return pagination.Recovery.NEW_BEGINNING
        split = is_cursor_bad and can_split
        if len(self._query.conditions) > 1:
            split = refusal.split
        raise errors.Retry(
            str(refusal), after_s=refusal.after_s, pause_host_s=refusal.pause_host_s, split=split
        ) from refusal

    def _recover_from_refusal(self, refusal: errors.GiveUp) -> pagination.Recovery:
        """A refused cursor is shown once more; refused again, the walk begins anew, once."""
        if self.cursor is None or refusal.status not in _REFUSED:
            return pagination.Recovery.FAIL
        if self._refusals.is_first_refusal(self.cursor):
            return pagination.Recovery.SAME_PAGE
        if self._has_restarted:
            return pagination.Recovery.FAIL
        self._has_restarted = True
        return pagination.Recovery.NEW_BEGINNING

    def _check_filters(self, listed: market_parser.ParsedListing) -> None:
        """A filter that was ignored answers another question."""
        span, path = self._query.span, self.route.path
        if any(state not in {None, span.closed} for state in listed.states):
            raise errors.Retry(f"{path}: rows that are not {span.key}")
        if any(not gamma_queries.is_within(span, start) for start in listed.starts):
            raise errors.Retry(f"{path}: rows that start outside {span.key}")
        if self._query.order is gamma_queries.Order.NEWEST_FIRST:
            made = [second for second in listed.made if second is not None]
            if made != sorted(made, reverse=True):
                raise errors.Retry(f"{path}: rows that are not the newest first")
        wanted = self._query.conditions
        if wanted and {market.condition_id for market in listed.markets} - wanted:
            raise errors.Retry(f"{path}: rows of another condition")

    def _is_past_the_question(self, listed: market_parser.ParsedListing) -> bool:
        """Sorted by start date, the rows without one are over; the newest first, the new ones."""
        match self._query.order:
            case gamma_queries.Order.BY_ID:
                return False
            case gamma_queries.Order.NEWEST_FIRST:
                oldest = listed.made[-1] if listed.made else None
                return oldest is not None and oldest < (self._query.since or 0)
            case _:
                return bool(listed.starts) and listed.starts[-1] is not None


@dataclass
class _SpanSize:
    """How many pages of a span were read, and how many it probably has, 0 while nobody knows.

    `is_measured`: by a page from its middle, or there was none to be had.
    """

    pages: int = 0
    expected: float = 0.0
    is_measured: bool = False

    @property
    def is_known(self) -> bool:
        """Nothing is to be asked: it was, or the dates of the first pages say that it is full."""
        return self.is_measured or self.expected > MANY_PAGES

    @property
    def is_too_full(self) -> bool:
        """It should be cut in two."""
        if self.pages <= _EARLY_PAGES and self.expected > MANY_PAGES:
            return True
        return self.pages > (_SURPRISING_PAGES if self.expected else MANY_PAGES)

    def estimate(self, span: date_range.DateRange, seconds: Sequence[int], page_rows: int) -> None:
        """By a page of the walk: where ids grow with time, how far its dates have come tells how
        many pages there are.
        """
        bounded = span.since is not None and span.until is not None
        if self.is_measured or not bounded or len(seconds) < page_rows:
            return
        covered = max(1.0, statistics.median_low(seconds) - (span.since or 0))
        self.expected = (self.pages - 0.5) * _length_s(span) / covered

    def measure(self, span: date_range.DateRange, seconds: Sequence[int]) -> None:
        """By a full page of what starts in the middle of the span or later, the earliest first."""
        middle = (span.since or 0) + _length_s(span) // 2
        self.expected = _length_s(span) / max(1, max(seconds) - middle)


def _length_s(span: date_range.DateRange) -> int:
    return (span.until or 0) - (span.since or 0)


def _read(
    body: bytes, route: endpoints.Route, page_rows: int, source: parsing.ResponseSource
) -> market_parser.ParsedListing:
    """The rows and the cursor of one page. Raises Retry when it is no page of this list."""
    name = "markets" if route == endpoints.MARKETS else "events"
    page = market_parser.decode(body, source)
    rows = page.get(name, _MISSING)
    # Nothing may be written as null, and one row without a list around it.
    rows = [] if rows is None else [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise errors.Retry(f"{source.route}: no list of {name} in the answer")
    parse = market_parser.gamma_markets if name == "markets" else market_parser.gamma_events
    listed = parse(rows, source)
    listed.next_cursor = _cursor(page, len(rows) >= page_rows, source)
    return listed


def _cursor(page: coerce.Json, is_full: bool, source: parsing.ResponseSource) -> str | None:
    cursor = page.get("next_cursor")
    if cursor is None:
        if is_full:
            raise errors.Retry(f"{source.route}: a full page without a cursor")
        return None
    if not isinstance(cursor, str) or not cursor:
        raise errors.Retry(f"{source.route}: next_cursor is {cursor!r}")
    return cursor
