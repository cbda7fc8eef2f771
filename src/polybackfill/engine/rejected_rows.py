"""How many rows of a unit could not be read, and when that is too many to call it done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from polybackfill import errors, formats, records, units
from polybackfill.polymarket import market_lookup, pagination

# From this share of its rows on a unit ends in error: most of what it was to bring is not there, as
# after a release of the API that writes a field in another form.
ERROR_SHARE = 0.5


def count_rejected(rejected: Iterable[records.Rejected]) -> int:
    """Rows that could not be read. A condition nobody knows is noted beside them, and is no row."""
    return sum(row.reason != market_lookup.UNKNOWN for row in rejected)


class RejectedShare:
    """Rows of one unit, read and set aside. `before`: what earlier attempts have stored of it."""

    def __init__(self, before: units.Counts) -> None:
        self._rows = before.rows + before.rejected
        self._aside = before.rejected
        self._reasons: Counter[str] = Counter()

    def add(self, page: pagination.Page) -> int:
        """Count a page; how many of its rows were set aside."""
        if page.restarted:
            self._rows = self._aside = 0
            self._reasons.clear()
        rejected = page.rows_of(records.Rejected)
        aside = count_rejected(rejected)
        self._rows += page.fetched_rows
        self._aside += aside
        self._reasons.update(row.reason for row in rejected if row.reason != market_lookup.UNKNOWN)
        return aside

    def check(self) -> None:
        """Raises GiveUp when so many rows were set aside that the unit is not done."""
        if self._aside and self._aside >= ERROR_SHARE * self._rows:
            why = ", ".join(f"{reason} ({n:,})" for reason, n in self._reasons.most_common(3))
            raise errors.GiveUp(
                f"{self._aside:,} of {formats.counted(self._rows, 'row')} set aside: "
                f"{why}; see polybackfill "
                "quarantine list"
            )
