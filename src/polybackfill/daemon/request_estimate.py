"""How many requests a part has before it, judged by what its finished units really took.

Pages count once the store has acknowledged them and the checkpoint has them.
"""

from __future__ import annotations

from collections.abc import Iterable

from polybackfill.daemon import kinds
from polybackfill.work import units

_TRUST = 20  # requests whose worth the plan's word has beside what was seen


class RequestEstimate:
    """Pages of the units that ended, beside the requests that were expected of them.

    A unit under way says little of the others: of some hundred that began together the large ones
    are seen last.
    """

    def __init__(self, kind: kinds.Kind) -> None:
        self._kind = kind
        self._expected = 0
        self.pages = 0  # of the units that ended

    def unit_ended(self, unit: units.Unit, pages: int) -> None:
        """Learn from a unit that took so many pages."""
        self._expected += self._requests(unit)
        self.pages += pages

    def of_unit(self, unit: units.Unit, pages: int = 0) -> float:
        """Requests that a unit still takes of which so many pages are stored, at least one.

        One that has taken more than was expected is as likely to be long as it has been already.
        """
        expected = self._requests(unit) * self._ratio
        return max(1.0, abs(expected - pages)) if pages else expected

    def of_units(self, waiting: Iterable[units.Unit], requests: int) -> float:
        """Requests of units that nobody has begun, `requests` of them in units yet unnamed."""
        return (sum(map(self._requests, waiting)) + requests) * self._ratio

    def _requests(self, unit: units.Unit) -> int:
        return self._kind.requests(len(unit.keys), unit.expected_rows)

    @property
    def _ratio(self) -> float:
        return (self.pages + _TRUST) / (self._expected + _TRUST)
