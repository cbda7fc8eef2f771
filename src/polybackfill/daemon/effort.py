"""How many requests a part has before it, judged by what its walks really took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TRUST = 20  # requests whose worth the plan's word has beside what was seen


class Effort:
    """Pages of the units walked to their end, beside the requests `expected` of them.

    A unit under way says little: of some hundred that began together the large ones are seen last.
    """

    def __init__(self) -> None:
        self.expected = 0
        self._taken = 0
        self._under_way = 0

    @contextmanager
    def unit(self, expected: int) -> Iterator[Callable[[bool], None]]:
        """Walk one unit of so many expected requests; tell every page, and whether it is the last.

        Pages of a walk that ends without its last are forgotten: they will be read again, or never.
        """
        pages = 0

        def page(last: bool) -> None:
            nonlocal pages
            pages += 1
            self._under_way += 1
            if last:
                self.expected += expected
                self._taken += pages
                self._under_way -= pages
                pages = 0

        try:
            yield page
        finally:
            self._under_way -= pages

    def left(self, expected: int) -> int:
        """Requests still to send when so many are expected of all units, at least one."""
        ratio = (self._taken + _TRUST) / (self.expected + _TRUST)
        return max(1, round((expected - self.expected) * ratio) - self._under_way)
