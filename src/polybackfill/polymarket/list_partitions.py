"""How Gamma's lists are cut into units: a few coarse spans that cut themselves where they are full.

A unit of markets or events has one key, a span (`polymarket.spans`). A sweep covers everything: a
span without a beginning, one without an end, what lies between, and what has no start date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from polybackfill.polymarket import date_range

_FIRST_YEAR = 2020  # Polymarket's first markets
_FIRST_BUSY_YEAR = 2023  # from here on a month holds as many markets as a year did before
_YOUNGEST = datetime(2026, 1, 1, tzinfo=UTC)  # this program is younger than any day before


def sweep(now: float, *, closed: bool) -> Iterator[str]:
    """The keys of all spans of one state, newest first, for a sweep made at `now` (epoch seconds).

    Read the open ones first: what closes meanwhile stands in the list that is read later.
    Bounds depend on the month alone, so that a sweep begun again within a month has the same keys.
    """
    bounds = list(_bounds(datetime.fromtimestamp(now, UTC)))
    yield date_range.DateRange(closed, since=bounds[-1]).key
    for since, until in zip(bounds[-2::-1], bounds[:0:-1], strict=True):
        yield date_range.DateRange(closed, since, until).key
    yield date_range.DateRange(closed, until=bounds[0]).key
    yield date_range.DateRange(closed, undated=True).key


def can_split(key: str) -> bool:
    """Whether a key names a span that may be cut in two."""
    return date_range.is_key(key) and date_range.parse(key).can_split


def split(key: str) -> tuple[str, str]:
    """Two spans that are this one. Raises ValueError when it cannot be cut."""
    first, second = date_range.parse(key).split()
    return first.key, second.key


def parts(key: str, is_known: Callable[[str], bool]) -> Iterator[str]:
    """The spans that stand for a key now: itself, or what it was cut into in an earlier run.

    `is_known`: the checkpoint holds this very key, open, done or in error. A span that was cut is
    not there any more, but its first half is, or has been cut in turn.
    """
    if not is_known(key) and _was_split(key, is_known):
        for half in split(key):
            yield from parts(half, is_known)
    else:
        yield key


def _was_split(key: str, is_known: Callable[[str], bool]) -> bool:
    while can_split(key):
        key, _ = split(key)
        if is_known(key):
            return True
    return False


def _bounds(today: datetime) -> Iterator[int]:
    """First seconds of years, later of months, up to the next one: how full the present month is
    shows on the first page of a span that ends. A clock that is behind costs cuts, nothing else.
    """
    newest = max(today, _YOUNGEST).replace(day=1) + timedelta(days=32)
    for year in range(_FIRST_YEAR, newest.year + 1):
        months = range(1, 13) if year >= _FIRST_BUSY_YEAR else (1,)
        for month in months:
            if (year, month) <= (newest.year, newest.month):
                yield int(datetime(year, month, 1, tzinfo=UTC).timestamp())
