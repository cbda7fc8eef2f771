"""Feeds of trades: what a wallet did, and what was traded in some conditions.

Two rules make rows countable. The rows of a page's last second are held back until a later page
shows that the second is over, so that equal fills are numbered over whole seconds, wherever the
page boundaries fall. And the place to resume from names the page in which the held second begins,
so that the store has everything before it and a crash loses only rows that will be fetched again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from operator import attrgetter
from typing import TypeVar

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import (
    coerce,
    cursor_refusal,
    endpoints,
    pagination,
    parsing,
    trade_parser,
    v2_envelope,
)

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


def build_recent_query(since: int, until: int) -> pagination.FeedQuery:
    """Both sides of every fill there is, newest first: the feed without a filter.

    It ignores start and end, too, and shows this calendar month and the one before.
    """
    return pagination.FeedQuery(
        route=endpoints.TRADES,
        params=(("taker_only", "false"), ("limit", str(endpoints.PAGE_ROWS))),
        descending=True,
        since=since,
        until=until,
    )


def parse_seconds(body: bytes, url: str) -> list[int]:
    """The times of the fills of a page, in its order. Raises Retry when it is no page."""
    try:
        _, raw_rows = v2_envelope.raw_page(body)
        rows = [coerce.row(bytes(raw), {"timestamp": coerce.second}) for raw in raw_rows]
    except (*parsing.NOT_DECODABLE, errors.Reject) as problem:
        raise errors.Retry(f"{url} answered no fills: {problem}") from problem
    return [row["timestamp"] for row in rows if isinstance(row["timestamp"], int)]


def pages(
    query: pagination.FeedQuery,
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
    *,
    max_held_rows: int = MAX_HELD_ROWS,
) -> AsyncIterator[pagination.Page]:
    """The pages of a feed, as `pagination.follow`; the rows of a page in whole seconds.

    Raises GiveUp also when a second is beyond all bounds.
    """
    return pagination.follow(_TradeFeed(query, max_held_rows), resume, context)


class _TradeFeed(pagination.Strategy[trade_parser.TradePage]):
    """A walk through a feed of trades, and the rows that it holds back."""

    def __init__(self, query: pagination.FeedQuery, max_held_rows: int) -> None:
        self.route, self.feeds = query.route, (query.fingerprint,)
        self._query = query
        self._max_held_rows = max_held_rows
        self._refusals = cursor_refusal.CursorRefusalPolicy()

    def begin(self, resume: pagination.Resume) -> None:
        self.cursor = resume.cursor
        # Rows beyond the held second are stored. Not so on the first page, whose newest rows may
        # have come since.
        self._stored_beyond = resume.second if resume.cursor is not None else None
        self.resume = msgspec.structs.replace(resume, second=self._stored_beyond)
        self._last_second: int | None = None
        self._buffer = WholeSeconds(descending=self._query.descending, max_rows=self._max_held_rows)

    def next_query(self) -> pagination.FeedQuery:
        return self._query.with_page_size(self._refusals.page_rows)

    def read(self, body: bytes, source: pagination.Source) -> trade_parser.TradePage:
        page = trade_parser.page(body, source)
        self._check_order(page)
        self._check_filters(page)
        return page

    def advance(self, page: trade_parser.TradePage) -> pagination.Rows:
        """Release what is complete, hold back the rest."""
        cursor, self.cursor = self.cursor, page.next_cursor
        self._last_second = page.seconds[-1] if page.seconds else self._last_second
        self._buffer.add(page, *self._range())
        if self.cursor is None or self._is_past_the_range():
            self.resume = pagination.Resume(feed=self.resume.feed, ended=True)
            return self._release(page, None)
        if self._last_second is not None and self._is_new_ground(self._last_second):
            if self._last_second != self.resume.second:
                self.resume = pagination.Resume(cursor, self._last_second, self.resume.feed)
            return self._release(page, self._last_second)
        return self._release(page, self.resume.second)

    async def recover(
        self, refusal: pagination.Refusal, answers_first_page: pagination.FirstPageCheck
    ) -> pagination.Recovery:
        return self._refusals.recover(refusal, self.cursor, self._position())

    def _position(self) -> int | None:
        """The second the walk has reached, None before its first row; further on is more."""
        second = self._stored_beyond if self._last_second is None else self._last_second
        return -second if second is not None and self._query.descending else second

    def _release(self, page: trade_parser.TradePage, held_second: int | None) -> pagination.Rows:
        """The held rows of every second but `held_second` (None: of all seconds)."""
        return (*self._buffer.release(held_second), page.rejected)

    def _range(self) -> tuple[int, int]:
        """The seconds of the feed's range that are not stored yet, both inclusive."""
        query, stored = self._query, self._stored_beyond
        earliest = query.since or 0
        latest = records.MAX_SECOND if query.until is None else query.until
        if stored is None:
            return earliest, latest
        if query.descending:
            return earliest, min(latest, stored)
        return max(earliest, stored), latest

    def _is_new_ground(self, second: int) -> bool:
        if self._stored_beyond is None:
            return True
        if self._query.descending:
            return second <= self._stored_beyond
        return second >= self._stored_beyond

    def _is_past_the_range(self) -> bool:
        """The order of the feed proves that nothing of the range is left."""
        second = self._last_second
        if second is None:
            return False
        if self._query.descending:
            return self._query.since is not None and second < self._query.since
        return self._query.until is not None and second > self._query.until

    def _check_order(self, page: trade_parser.TradePage) -> None:
        order = page.seconds
        if self._last_second is not None:
            order = [self._last_second, *order]
        if order != sorted(order, reverse=self._query.descending):
            raise errors.Retry(f"{self.route.path}: rows are out of order")

    def _check_filters(self, page: trade_parser.TradePage) -> None:
        """A filter that was ignored answers another question, whatever its rows look like."""
        wallet, conditions = self._query.wallet, self._query.conditions
        rows: list[records.Trade | records.Activity] = [*page.trades, *page.activities]
        if wallet is not None and {row.wallet_address for row in rows} - {wallet}:
            raise errors.Retry(f"{self.route.path}: rows of another wallet")
        if conditions and {row.condition_id for row in rows} - conditions:
            raise errors.Retry(f"{self.route.path}: rows of another condition")


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
                f"more than {self._max_rows} rows in second {going_on}: too many to hold in memory"
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
