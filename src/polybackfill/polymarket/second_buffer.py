"""Rows on their way out of a feed in whole seconds, so that equal fills are numbered over them.

The second a page ends in may go on on the next one. Its rows are held back until it is over.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TypeVar

from polybackfill import errors, records
from polybackfill.polymarket import trade_parser

# The busiest recorded second has 48 rows; a second this full is no second of this world.
MAX_HELD_ROWS = 200_000

_trade_second = attrgetter("trade_timestamp")
_activity_second = attrgetter("activity_timestamp")
_Row = TypeVar("_Row", records.Trade, records.Activity)


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
