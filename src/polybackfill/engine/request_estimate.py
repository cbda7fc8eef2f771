"""How many requests a part has before it, judged by what its finished units really took.

Pages count once the store has acknowledged them and the checkpoint has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polybackfill import units
from polybackfill.kinds import kind as unit_kind

_TRUST = 20  # requests whose worth the plan's word has beside what was seen
_SAMPLE = 5  # finished units of unknown size, from which on they tell of the others
_DOUBT_MAX = 0.5  # of what is left, in units of unknown size that are under way


@dataclass(frozen=True)
class RemainingWork:
    """What a part has before it: units that are `begun` with the pages of each that are stored,
    `waiting` ones of which there are none, and of those yet unnamed the `requests` that they take
    at least, with `unsized` keys of unknown size among them.
    """

    begun: Sequence[tuple[units.Unit, int]] = ()
    waiting: Sequence[units.Unit] = ()
    requests: int = 0
    unsized: int = 0


@dataclass
class _EndedUnits:
    """Units that ended: how many, requests that were expected of them, pages that they took.
    `trust`: requests whose worth the expectation has beside what was seen.
    """

    trust: int
    units: int = 0
    expected: int = 0
    pages: int = 0

    @property
    def ratio(self) -> float:
        expected = self.expected + self.trust
        return (self.pages + self.trust) / expected if expected else 1.0


class RequestEstimate:
    """Pages of the units that ended, beside the requests that were expected of them.

    A unit under way says little of the others: of some hundred that began together the large ones
    are seen last. Units of unknown size are told by finished ones of their kind, or not at all.
    """

    def __init__(self, kind: unit_kind.Kind) -> None:
        self._kind = kind
        self._sized = _EndedUnits(_TRUST)
        self._unsized = _EndedUnits(0)

    @property
    def pages(self) -> int:
        """Of the units that ended."""
        return self._sized.pages + self._unsized.pages

    def unit_ended(self, unit: units.Unit, pages: int) -> None:
        """Learn from a unit that took so many pages."""
        ended = self._seen(unit)
        ended.units += 1
        ended.expected += self._requests(unit)
        ended.pages += pages

    def of_unit(self, unit: units.Unit, pages: int = 0) -> float:
        """Requests that a unit still takes of which so many pages are stored, at least one.

        One that has taken more than was expected is as likely to be long as it has been already.
        """
        expected = self._requests(unit) * self._seen(unit).ratio
        return max(1.0, abs(expected - pages)) if pages else expected

    def left(self, remaining: RemainingWork) -> float:
        """Requests of all of it."""
        begun = sum(self.of_unit(unit, pages) for unit, pages in remaining.begun)
        return begun + self._not_begun(remaining)

    def is_known(self, remaining: RemainingWork) -> bool:
        """Whether that can be told. How long a unit of unknown size is shows at its end alone, so
        what is in those under way must be little beside what finished ones tell of the others.
        """
        named = [*(unit for unit, _ in remaining.begun), *remaining.waiting]
        if not remaining.unsized and all(unit.expected_rows is not None for unit in named):
            return True
        doubtful = sum(
            self.of_unit(unit, pages)
            for unit, pages in remaining.begun
            if unit.expected_rows is None
        )
        return self._unsized.units >= _SAMPLE and doubtful <= _DOUBT_MAX * self.left(remaining)

    def _not_begun(self, remaining: RemainingWork) -> float:
        unsized = min(remaining.requests, self._kind.requests(remaining.unsized))
        unnamed = (remaining.requests - unsized) * self._sized.ratio + unsized * self._unsized.ratio
        return unnamed + sum(map(self.of_unit, remaining.waiting))

    def _seen(self, unit: units.Unit) -> _EndedUnits:
        return self._unsized if unit.expected_rows is None else self._sized

    def _requests(self, unit: units.Unit) -> int:
        return self._kind.requests(len(unit.keys), unit.expected_rows)
