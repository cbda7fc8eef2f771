"""The published sliding windows: a request too many is delayed, then refused.

Numbers: Polymarket's rate-limit page as of October 2026, requests per IP and 10 s. Each address
that calls a sandbox has windows of its own.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

WINDOW_S = 10.0

PUBLISHED: Mapping[str, int] = {
    "all": 15_000,
    "data": 800,
    "trades": 300,
    "activity": 200,
    "positions": 200,
    "status": 100,
    "ok": 100,
    "gamma": 4_000,
    "events": 500,
    "markets": 300,
    "listings": 900,
    "tags": 200,
    "search": 350,
    "clob": 9_000,
}


class UnknownBudgetError(ValueError):
    """No budget has that name."""


@dataclass
class Budget:
    """One window. `limit`: requests in WINDOW_S, None for none; `fullest`: the most arrivals any
    window held; `violations`: arrivals that found the window already full of others."""

    name: str
    limit: int | None
    requests: int = 0
    fullest: int = 0
    violations: int = 0
    delayed: int = 0
    refused: int = 0
    arrivals: deque[float] = field(default_factory=deque)
    grants: list[float] = field(default_factory=list)

    def arrive(self, moment: float) -> None:
        """Count a request, whatever becomes of it."""
        self.requests += 1
        arrivals = self.arrivals
        arrivals.append(moment)
        while arrivals[0] <= moment - WINDOW_S:
            arrivals.popleft()
        self.fullest = max(self.fullest, len(arrivals))
        if self.limit is not None and len(arrivals) > self.limit:
            self.violations += 1

    def earliest(self, moment: float) -> float:
        """When a request that came at `moment` fits, behind all that were let in before it."""
        if self.limit is None:
            return moment
        del self.grants[: bisect.bisect_right(self.grants, moment - WINDOW_S)]
        if len(self.grants) < self.limit:
            return moment
        return max(moment, self.grants[-self.limit] + WINDOW_S)

    def reset(self) -> None:
        """Counters back to zero; what fills the current window stays."""
        self.requests = self.fullest = self.violations = self.delayed = self.refused = 0

    def report(self) -> dict[str, object]:
        """The counters as JSON."""
        return {
            "limit": self.limit,
            "requests": self.requests,
            "fullest_window": self.fullest,
            "violations": self.violations,
            "delayed": self.delayed,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Wait `delay_s` and be served, or, with `retry_after_s`, be refused."""

    delay_s: float = 0.0
    retry_after_s: float | None = None


class Throttle:
    """All budgets of each client address. `clock`: monotonic seconds; `limits`: requests per window
    by name, the same for all.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        limits: Mapping[str, int | None],
        *,
        max_delay_s: float,
        max_queued: int,
    ) -> None:
        self._clock = clock
        self.max_delay_s = max_delay_s
        self.max_queued = max_queued
        self.queued = 0
        self.limits = {name: limits.get(name) for name in PUBLISHED}
        self._budgets: dict[str, dict[str, Budget]] = {}

    def arrive(self, names: Sequence[str], moment: float, address: str = "") -> Decision:
        """Count a request of an address on its budgets and decide what becomes of it."""
        budgets_of_address = self.budgets(address)
        budgets = [budgets_of_address[name] for name in names]
        tightest, grant = None, moment
        for budget in budgets:
            budget.arrive(moment)
            earliest = budget.earliest(moment)
            if earliest > grant:
                tightest, grant = budget, earliest
        delay_s = grant - moment
        if tightest is not None:
            if delay_s > self.max_delay_s or self.queued >= self.max_queued:
                tightest.refused += 1
                return Decision(retry_after_s=delay_s)
            tightest.delayed += 1
        for budget in budgets:
            if budget.limit is not None:
                bisect.insort(budget.grants, grant)
        return Decision(delay_s=delay_s)

    def budgets(self, address: str = "") -> dict[str, Budget]:
        """Those of one address, by name."""
        if address not in self._budgets:
            self._budgets[address] = {
                name: Budget(name, limit) for name, limit in self.limits.items()
            }
        return self._budgets[address]

    def change(self, wanted: Mapping[str, object]) -> None:
        """New limits at once and without a word to the clients: `{"factor": 0.5}` of the published
        numbers, or numbers by name (null for no limit). Raises UnknownBudgetError or ValueError."""
        factor = wanted.get("factor")
        if factor is not None:
            for name, scaled in resolve(str(factor)).items():
                self._set(name, scaled)
        for name, limit in wanted.items():
            if name != "factor":
                self._set(name, limit)

    def _set(self, name: str, limit: object) -> None:
        if name not in self.limits:
            raise UnknownBudgetError(f"unknown budget {name!r}; known: {', '.join(PUBLISHED)}")
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit of {name} must be a positive integer or null")
        self.limits[name] = limit
        for budgets in self._budgets.values():
            budgets[name].limit = limit

    def reset(self) -> None:
        """All counters back to zero."""
        for budgets in self._budgets.values():
            for budget in budgets.values():
                budget.reset()

    def report(self) -> dict[str, object]:
        """The counters of all addresses together as JSON; `fullest_window`: of any one of them."""
        return {name: self._report_all(name) for name in self.limits}

    def report_by_address(self) -> dict[str, dict[str, object]]:
        """The counters of each address, of the budgets on which it drew."""
        return {
            address: {name: one.report() for name, one in budgets.items() if one.requests}
            for address, budgets in self._budgets.items()
        }

    def _report_all(self, name: str) -> dict[str, object]:
        together = Budget(name, self.limits[name])
        for budgets in self._budgets.values():
            one = budgets[name]
            together.requests += one.requests
            together.fullest = max(together.fullest, one.fullest)
            together.violations += one.violations
            together.delayed += one.delayed
            together.refused += one.refused
        return together.report()


def resolve(wanted: str) -> dict[str, int | None]:
    """Limits by name from "published", "off" or a factor. Raises ValueError for anything else."""
    if wanted == "off":
        return dict.fromkeys(PUBLISHED)
    factor = 1.0 if wanted == "published" else float(wanted)
    if not 0 < factor < float("inf"):
        raise ValueError(
            f"limits must be published, off, a positive factor or a file, not {wanted}"
        )
    return {name: max(1, int(limit * factor)) for name, limit in PUBLISHED.items()}
