"""Rows and requests a second, as a run fetches them now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from polybackfill import clocks
from polybackfill.engine import running_part
from polybackfill.polymarket import endpoints

_WINDOW_S = 15
_RATE_AFTER = 5  # pages before the rate seen counts for more than the rate allowed


@dataclass(frozen=True)
class _Sample:
    at: float
    rows: int
    pages: dict[str, int]


class FetchRates:
    """Samples the parts of one run, once a second."""

    def __init__(self, parts: Mapping[str, running_part.RunningPart], clock: clocks.Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW_S)
        self._first_page_at: dict[str, float] = {}
        self._busy_s = dict.fromkeys(parts, 0.0)

    def sample(self, rows: int) -> None:
        """Take a sample; `rows`: stored so far."""
        pages = {kind: part.runner.counts.pages for kind, part in self._parts.items()}
        now = self._clock.monotonic()
        passed_s = now - self._samples[-1].at if self._samples else 0.0
        self._samples.append(_Sample(now, rows, pages))
        for kind, count in pages.items():
            if count:
                self._first_page_at.setdefault(kind, now)
                # A part that waits for others to find something is not slow.
                self._busy_s[kind] += passed_s if self._parts[kind].has_work else 0.0

    def read(self) -> tuple[float, dict[str, float]]:
        """Rows/s, and pages/s of each part, over the last samples."""
        if len(self._samples) < 2:
            return 0.0, dict.fromkeys(self._parts, 0.0)
        first, last = self._samples[0], self._samples[-1]
        pages_per_s = {
            kind: (pages - first.pages[kind])
            / max(1.0, last.at - max(first.at, self._first_page_at.get(kind, first.at)))
            for kind, pages in last.pages.items()
        }
        return (last.rows - first.rows) / max(1e-3, last.at - first.at), pages_per_s

    def expected_per_s(self, kind: str, allowed_per_s: float, pages_per_s: float) -> float:
        """Requests/s from now on: what is allowed, less where a pace or few workers hold back."""
        pages = self._parts[kind].runner.counts.pages
        if pages < _RATE_AFTER:
            return allowed_per_s
        return min(allowed_per_s, max(pages_per_s, pages / max(1e-3, self._busy_s[kind])))


def requests_per_s(
    routes: Iterable[endpoints.Route], budgets: Mapping[str, Mapping[str, Any]]
) -> tuple[float, float]:
    """Requests/s sent to and allowed for `routes` together: what they share counts once, and a host
    allows no more than the widest of its budgets. `budgets`: `RateLimiter.stats`.
    """
    narrow: dict[str, set[str]] = {}
    for route in routes:
        narrow.setdefault(route.budgets[-1], set()).add(route.budgets[0])
    sent = sum(budgets[name]["rate_per_s"] for names in narrow.values() for name in names)
    allowed = sum(
        min(
            budgets[widest]["limit"] / budgets[widest]["window_s"],
            sum(budgets[name]["allowed_per_s"] for name in names),
        )
        for widest, names in narrow.items()
    )
    return round(sent, 2), round(allowed, 2)
