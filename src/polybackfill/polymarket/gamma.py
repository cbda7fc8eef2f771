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
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from polybackfill import clocks, errors
from polybackfill.polymarket import (
    coerce,
    date_range,
    endpoints,
    gamma_queries,
    market_parser,
    pagination,
    response_source,
)

# Pages of another size have other cursors: for a list that cannot be cut around a bad one.
_OTHER_PAGE_ROWS = (90, 70)
# More pages than this are read faster in two spans side by side.
MANY_PAGES = 20
# The density of the first pages tells how many will follow; later it no longer pays to begin anew.
_EARLY_PAGES = 5
# What was read of a span that is cut is read again: little more than was expected is borne.
_SURPRISING_PAGES = 60
_REFUSED = (400, 422)
_MISSING = object()


@dataclass(frozen=True)
class _GammaPage:
    """One page. `next_cursor`: None when the list said that this is its end."""

    listed: market_parser.ParsedListing
    next_cursor: str | None


async def _walk(
    route: endpoints.Route,
    keys: tuple[str, ...],
    fetch: pagination.Fetch,
    resume: pagination.Resume | None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: pagination.RetryPolicy = pagination.without_retry,
) -> AsyncIterator[pagination.Page]:
    """One span (`date_range.parse` of the one key) of a list, one feed after the other."""
    feeds = _build_queries(route, keys)
    known = [feed.fingerprint for feed in feeds]
    first = known.index(resume.feed) if resume is not None and resume.feed in known else 0
    for number, feed in enumerate(feeds[first:], first):
        following = None if number + 1 == len(feeds) else pagination.Resume(feed=known[number + 1])
        async for page in pages(
            fetch,
            feed,
            resume,
            clock=clock,
            unit=unit,
            with_retries=with_retries,
            following=following,
        ):
            yield page


# The events of a span bring the markets in them that have no start date.
walk_markets = functools.partial(_walk, endpoints.MARKETS)
walk_events = functools.partial(_walk, endpoints.EVENTS)


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


async def pages(
    fetch: pagination.Fetch,
    feed: gamma_queries.GammaQuery,
    resume: pagination.Resume | None = None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: pagination.RetryPolicy = pagination.without_retry,
    following: pagination.Resume | None = None,
) -> AsyncIterator[pagination.Page]:
    """The pages of one feed, from `resume` to its proven end, as `walk.pages`.

    Raises Retry with `split` when the span should be cut in two: it is very full, or one of its
    cursors is refused at the edge while its first page is answered (seen on the live service: some
    cursor strings meet the firewall whenever they are sent). A span that cannot be cut is then read
    anew in pages of another size. `following`: where to go on when this
    feed has ended and is not the last.
    """
    sweep = _ListSweep(feed, resume, clock=clock, unit=unit, following=following)
    while not sweep.ended:
        try:
            page = await with_retries(lambda: sweep.fetch_page(fetch))
        except errors.GiveUp as refusal:
            if refusal.status not in _REFUSED or not sweep.may_go_on_after_refusal():
                raise
            continue
        except errors.Retry as problem:
            if not problem.host_fault and await sweep.may_page_differently(fetch):
                continue
            raise sweep.explain(problem) from problem
        yield sweep.advance(page)
        del page
        sweep.check_size()
    if sweep.was_over:
        yield pagination.Page((), sweep.resume, following is None, 0)


class _ListSweep:
    """Where a walk stands. `ask` only looks; `take` moves on."""

    def __init__(
        self,
        feed: gamma_queries.GammaQuery,
        resume: pagination.Resume | None,
        *,
        clock: clocks.Clock,
        unit: str,
        following: pagination.Resume | None,
    ) -> None:
        self._feed = feed
        self._fingerprint = feed.fingerprint
        self._clock = clock
        self._unit = unit
        self._following = following
        if resume is None or resume.feed != self._fingerprint:
            resume = pagination.Resume(feed=self._fingerprint)
        self.resume = resume
        self.was_over = self.ended = resume.ended
        self._cursor = resume.cursor
        self._seen = {resume.cursor}
        self._barren = pagination.BarrenPages(feed.route.path)
        self._pages = 0
        self._expected_pages = 0.0
        self._doubted: str | None = None
        self._has_restarted = self._restarted_now = self._is_cursor_bad = False
        self._other_sizes = list(_OTHER_PAGE_ROWS)

    async def fetch_page(self, fetch: pagination.Fetch) -> _GammaPage:
        """The next page, checked. Raises Retry when it is no answer to the question."""
        return await self._fetch_at(fetch, self._cursor)

    def advance(self, page: _GammaPage) -> pagination.Page:
        """Move on behind a page."""
        listed, self._cursor = page.listed, page.next_cursor
        self._seen.add(self._cursor)
        self._pages += 1
        self._barren.count(listed.fetched_rows, listed.rejected)
        self._estimate(listed)
        self.ended = self._cursor is None or self._is_past_the_undated(listed)
        self.resume = pagination.Resume(cursor=self._cursor, feed=self._fingerprint)
        if self.ended:
            self.resume = self._following or pagination.Resume(feed=self._fingerprint, ended=True)
        restarted, self._restarted_now = self._restarted_now, False
        first, last = listed.span
        return pagination.Page(
            rows=listed.rows,
            resume=self.resume,
            last=self.ended and self._following is None,
            fetched_rows=listed.fetched_rows,
            first_second=first,
            last_second=last,
            restarted=restarted,
        )

    def check_size(self) -> None:
        """Raises Retry (split) when the span is worth cutting in two."""
        if self.ended or not self._feed.span.can_split:
            return
        is_full = self._pages <= _EARLY_PAGES and self._expected_pages > MANY_PAGES
        most = _SURPRISING_PAGES if self._expected_pages else MANY_PAGES
        if is_full or self._pages > most:
            raise errors.Retry(f"{self._unit}: more than {MANY_PAGES} pages", split=True)

    def may_go_on_after_refusal(self) -> bool:
        """A refused cursor is shown once more; refused again, the walk begins anew, once."""
        if self._cursor is None:
            return False
        if self._cursor != self._doubted:
            self._doubted = self._cursor
            return True
        if self._has_restarted:
            return False
        self._has_restarted = True
        self._restart()
        return True

    async def may_page_differently(self, fetch: pagination.Fetch) -> bool:
        """A page does not come: is its cursor to blame, and may pages of another size help?

        A cursor is to blame only where the first page is answered: a host that refuses everything
        would otherwise leave thousands of small spans behind.
        """
        self._is_cursor_bad = self._cursor is not None and await self._answers_first_page(fetch)
        if not self._is_cursor_bad or self._feed.span.can_split or not self._other_sizes:
            return False
        self._feed = replace(self._feed, page_rows=self._other_sizes.pop(0))
        self._restart()
        return True

    def explain(self, problem: errors.Retry) -> errors.Retry:
        """What a page that does not come means for the unit: a later attempt, or a cut."""
        if problem.host_fault:
            return problem
        split = self._is_cursor_bad and self._feed.span.can_split
        if len(self._feed.conditions) > 1:
            split = problem.split
        return errors.Retry(
            str(problem), after_s=problem.after_s, pause_host_s=problem.pause_host_s, split=split
        )

    async def _answers_first_page(self, fetch: pagination.Fetch) -> bool:
        try:
            await self._fetch_at(fetch, None)
        except (errors.Retry, errors.GiveUp):
            return False
        return True

    def _restart(self) -> None:
        self._restarted_now = True
        self._cursor, self._seen, self._pages = None, {None}, 0

    async def _fetch_at(self, fetch: pagination.Fetch, cursor: str | None) -> _GammaPage:
        response = await fetch(self._feed, cursor)
        source = pagination.source_of(self._feed, response, self._clock, self._unit)
        page = _read(response.body, self._feed, source)
        if cursor == self._cursor and page.next_cursor in self._seen - {None}:
            raise errors.Retry(f"{self._feed.route.path}: the list repeats a cursor")
        self._check_filters(page.listed)
        return page

    def _check_filters(self, listed: market_parser.ParsedListing) -> None:
        """A filter that was ignored answers another question."""
        span = self._feed.span
        if any(state not in {None, span.closed} for state in listed.states):
            raise errors.Retry(f"{self._feed.route.path}: rows that are not {span.key}")
        if any(not gamma_queries.is_within(span, start) for start in listed.starts):
            raise errors.Retry(f"{self._feed.route.path}: rows that start outside {span.key}")
        wanted = self._feed.conditions
        if wanted and {market.condition_id for market in listed.markets} - wanted:
            raise errors.Retry(f"{self._feed.route.path}: rows of another condition")

    def _is_past_the_undated(self, listed: market_parser.ParsedListing) -> bool:
        """Sorted by start date, the rows without one are over."""
        if self._feed.order is gamma_queries.Order.BY_ID:
            return False
        return bool(listed.starts) and listed.starts[-1] is not None

    def _estimate(self, listed: market_parser.ParsedListing) -> None:
        """Ids grow with time, so how far the dates have come tells how many pages there are."""
        span, starts = self._feed.span, [start for start in listed.starts if start is not None]
        if span.since is None or span.until is None or len(starts) < self._feed.page_rows:
            return
        covered = max(1.0, statistics.median_low(starts) - span.since)
        self._expected_pages = (self._pages - 0.5) * (span.until - span.since) / covered


def _read(
    body: bytes, feed: gamma_queries.GammaQuery, source: response_source.ResponseSource
) -> _GammaPage:
    """The rows and the cursor of one page. Raises Retry when it is no page of this list."""
    name = "markets" if feed.route == endpoints.MARKETS else "events"
    page = market_parser.decode(body, source)
    rows = page.get(name, _MISSING)
    # Nothing may be written as null, and one row without a list around it.
    rows = [] if rows is None else [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise errors.Retry(f"{source.route}: no list of {name} in the answer")
    cursor = _cursor(page, len(rows) >= feed.page_rows, source)
    if feed.route == endpoints.MARKETS:
        return _GammaPage(market_parser.gamma_markets(rows, source), cursor)
    return _GammaPage(market_parser.gamma_events(rows, source), cursor)


def _cursor(page: coerce.Json, is_full: bool, source: response_source.ResponseSource) -> str | None:
    cursor = page.get("next_cursor")
    if cursor is None:
        if is_full:
            raise errors.Retry(f"{source.route}: a full page without a cursor")
        return None
    if not isinstance(cursor, str) or not cursor:
        raise errors.Retry(f"{source.route}: next_cursor is {cursor!r}")
    return cursor
