"""Feeds of trades: what a wallet did, and what was traded in some conditions.

Two rules make rows countable. The rows of a page's last second are held back until a later page
shows that the second is over, so that equal fills are numbered over whole seconds, wherever the
page boundaries fall. And the place to resume from names the page in which the held second begins,
so that the store has everything before it and a crash loses only rows that will be fetched again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from operator import attrgetter
from typing import TypeVar

from polybackfill import clocks, errors, records
from polybackfill.polymarket import (
    coerce,
    endpoints,
    pagination,
    response_source,
    trade_parser,
    v2_envelope,
)

_REMEMBERED_CURSORS = 4_096
# The busiest recorded second has 48 rows; a second this full is no second of this world.
MAX_HELD_ROWS = 200_000

_trade_second = attrgetter("trade_timestamp")
_activity_second = attrgetter("activity_timestamp")
_Row = TypeVar("_Row", records.Trade, records.Activity)


def build_wallet_query(
    wallet: str, since: int | None = None, until: int | None = None
) -> pagination.FeedQuery:
    """Everything a wallet (normalised) ever did, oldest first.

    `start` must be sent: without it the API shows the last three years only.
    """
    params = [("user", records.show(wallet)), ("start", str(max(1, since or 1)))]
    if until is not None:
        params.append(("end", str(until)))
    params += [
        ("exclude_deposits_withdrawals", "false"),
        ("limit", str(endpoints.PAGE_ROWS)),
        ("sort_direction", "ASC"),
    ]
    return pagination.FeedQuery(
        route=endpoints.ACTIVITY,
        params=tuple(params),
        wallet=wallet,
        descending=False,
        since=since,
        until=until,
    )


def build_condition_query(
    conditions: Iterable[str], since: int | None = None, until: int | None = None
) -> pagination.FeedQuery:
    """Both sides of every fill of up to 20 conditions (normalised), newest first.

    A market feed ignores start and end, so they are not sent: the walk filters, and stops early.
    """
    keys = sorted(set(map(records.padded, conditions)))
    return pagination.FeedQuery(
        route=endpoints.TRADES,
        params=(
            ("condition", records.show_conditions(keys)),
            ("taker_only", "false"),
            ("limit", str(endpoints.PAGE_ROWS)),
        ),
        conditions=frozenset(keys),
        descending=True,
        since=since,
        until=until,
    )


def parse_seconds(body: bytes, url: str) -> list[int]:
    """The times of the fills of a page, in its order. Raises Retry when it is no page."""
    try:
        _, raw_rows = v2_envelope.raw_page(body)
        rows = [coerce.row(bytes(raw), {"timestamp": coerce.second}) for raw in raw_rows]
    except (*response_source.NOT_DECODABLE, errors.Reject) as problem:
        raise errors.Retry(f"{url} answered no fills: {problem}") from problem
    return [row["timestamp"] for row in rows if isinstance(row["timestamp"], int)]


async def pages(
    fetch: pagination.Fetch,
    feed: pagination.FeedQuery,
    resume: pagination.Resume | None = None,
    *,
    clock: clocks.Clock,
    unit: str = "",
    with_retries: pagination.RetryPolicy = pagination.without_retry,
    max_held_rows: int = MAX_HELD_ROWS,
) -> AsyncIterator[pagination.Page]:
    """The pages of a feed, from `resume` to its proven end; the last one says `last`.

    `with_retries` runs the attempt for one page (request, parsing, checks) and decides how often.
    An attempt raises Retry for whatever is no answer to the question, and may be run again. An
    error it lets through ends the generator, which can be started again from the last `resume`.
    A cursor that is refused twice, by the API (400) or by the edge before it (a 403 page), restarts
    the walk (`pagination.CursorRefusalPolicy` says how often). The ids make the replay harmless.
    Pages of another size have other cursors: some strings trip the edge for ever (seen on Gamma,
    2026).
    Raises Retry, GiveUp and Stop as fetched; GiveUp when a second or a run of empty pages is
    beyond all bounds.
    """
    walk = _FeedWalk(feed, resume, clock=clock, unit=unit, max_held_rows=max_held_rows)
    while not walk.ended:
        try:
            # No name for answer or page: they would stay in memory while the caller is busy.
            yield walk.advance(await with_retries(lambda: walk.fetch_page(fetch)))
        except (errors.GiveUp, errors.Retry) as refusal:
            if not pagination.refuses_cursor(refusal) or not walk.may_go_on(refusal):
                raise
    if walk.was_over:
        yield walk.nothing_left()


class _FeedWalk:
    """Where a walk stands. `ask` only looks; `take` moves on."""

    def __init__(
        self,
        feed: pagination.FeedQuery,
        resume: pagination.Resume | None,
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
        self._refusals = pagination.CursorRefusalPolicy()
        self._refused_at: int | None = None
        begun = resume if resume and resume.feed == self._fingerprint else pagination.Resume()
        self._begin(begun)
        # A first page that is stored already comes, and is counted, whole once more.
        self._has_restarted = begun.cursor is None and begun.second is not None
        self.was_over = self.ended

    def _begin(self, resume: pagination.Resume) -> None:
        self.ended = resume.ended
        self._cursor = resume.cursor
        # Rows beyond the held second are stored. Not so on the first page, whose newest rows may
        # have come since.
        self._stored_beyond = resume.second if resume.cursor is not None else None
        self._resume = pagination.Resume(resume.cursor, self._stored_beyond, self._fingerprint)
        self._buffer = WholeSeconds(descending=self.feed.descending, max_rows=self._max_held_rows)
        self._last_second: int | None = None
        self._seen_cursors: OrderedDict[str, None] = OrderedDict()
        self._barren = pagination.BarrenPages(self.feed.route.path)
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
        self._begin(pagination.Resume())
        return True

    def _position(self) -> int | None:
        """The second the walk has reached, None before its first row."""
        return self._stored_beyond if self._last_second is None else self._last_second

    def _is_beyond(self, second: int | None) -> bool:
        position = self._position()
        if second is None or position is None:
            return position is not None
        return position < second if self.feed.descending else position > second

    async def fetch_page(self, fetch: pagination.Fetch) -> trade_parser.TradePage:
        """pagination.Fetch and parse the next page. Raises Retry when it is not the answer."""
        response = await fetch(self._sized_feed, self._cursor)
        page = trade_parser.page(
            response.body, pagination.source_of(self.feed, response, self._clock, self._unit)
        )
        self._check_cursor(page)
        self._check_order(page)
        self._check_filters(page)
        return page

    def advance(self, page: trade_parser.TradePage) -> pagination.Page:
        """Release what is complete, hold back the rest, and move to the next page."""
        cursor, self._cursor = self._cursor, page.next_cursor
        self._see(self._cursor)
        self._last_second = page.seconds[-1] if page.seconds else self._last_second
        self._buffer.add(page, *self._range())
        if self._cursor is None or self._is_past_the_range():
            self.ended = True
            self._resume = pagination.Resume(feed=self._fingerprint, ended=True)
            return self._release(page, None)
        self._barren.count(page.fetched_rows, page.rejected)
        if self._last_second is not None and self._is_new_ground(self._last_second):
            if self._last_second != self._resume.second:
                self._resume = pagination.Resume(cursor, self._last_second, self._fingerprint)
            return self._release(page, self._last_second)
        return self._release(page, self._resume.second)

    def nothing_left(self) -> pagination.Page:
        """The page of a walk that had ended before it was resumed."""
        resume = pagination.Resume(feed=self._fingerprint, ended=True)
        return pagination.Page((), resume, True, 0)

    def _release(self, page: trade_parser.TradePage, held_second: int | None) -> pagination.Page:
        """The held rows of every second but `held_second` (None: of all seconds)."""
        trades, activities = self._buffer.release(held_second)
        ends = (page.seconds[0], page.seconds[-1]) if page.seconds else ()
        restarted, self._has_restarted = self._has_restarted, False
        return pagination.Page(
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


class WholeSeconds:
    """The rows of one walk that are held back. `max_rows`: more are refused."""

    def __init__(self, *, descending: bool, max_rows: int = MAX_HELD_ROWS) -> None:
        self._sign = -1 if descending else 1
        self._max_rows = max_rows
        self._trades: list[records.Trade] = []
        self._activities: list[records.Activity] = []

    def add(self, page: trade_parser.TradePage, earliest: int, latest: int) -> None:
        """The rows of the next page, as far as they lie in these seconds, both inclusive."""
        bounds = (page.seconds, earliest, latest)
        self._trades += _within(page.trades, _trade_second, *bounds)
        self._activities += _within(page.activities, _activity_second, *bounds)

    def release(self, going_on: int | None) -> tuple[list[records.Trade], list[records.Activity]]:
        """The rows of every second but the one that is `going_on` (None: of all), numbered.

        Raises errors.GiveUp when that one has too many.
        """
        trades, self._trades = self._split(self._trades, going_on, _trade_second)
        activities, self._activities = self._split(self._activities, going_on, _activity_second)
        if len(self._trades) + len(self._activities) > self._max_rows:
            raise errors.GiveUp(
                f"second {going_on} has more than {self._max_rows} rows, "
                "which cannot be numbered within bounded memory"
            )
        records.number_trades(trades)
        records.number_activities(activities)
        return trades, activities

    def _split(
        self, rows: list[_Row], second: int | None, second_of: Callable[[_Row], int]
    ) -> tuple[list[_Row], list[_Row]]:
        if second is None or not rows:
            return rows, []
        cut = bisect_left(rows, self._sign * second, key=lambda row: self._sign * second_of(row))
        return rows[:cut], rows[cut:]


def _within(
    rows: list[_Row],
    second_of: Callable[[_Row], int],
    seconds: Sequence[int],
    earliest: int,
    latest: int,
) -> list[_Row]:
    """The rows between two seconds. `seconds`: those of the whole page, in its order."""
    first, last = sorted((seconds[0], seconds[-1])) if rows else (0, 0)
    if earliest <= first and last <= latest:
        return rows
    return [row for row in rows if earliest <= second_of(row) <= latest]
