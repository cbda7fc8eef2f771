"""Which routes answer, and for how long the others have only failed."""

from __future__ import annotations

import math
from collections import Counter

import structlog

from polybackfill import clocks, errors
from polybackfill.polymarket import endpoints

_OUT_S = 10.0  # failures for so long without an answer between them are worth a word
_SAY_AGAIN_S = 60.0
_OUTCOMES: dict[type[errors.BackfillError], str] = {
    errors.Retry: "retry",
    errors.GiveUp: "give_up",
    errors.BackfillError: "stop",
}

log = structlog.get_logger()


class RouteAnswers:
    """What one client has heard of each route. All times are monotonic."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._answered_at: dict[endpoints.Route, float] = {}
        self._understood_at: dict[endpoints.Route, float] = {}
        self._failing: dict[endpoints.Route, float] = {}
        self._logged_at: dict[endpoints.Route, float] = {}
        self._outcomes: dict[str, Counter[str]] = {}

    def silent_s(self, route: endpoints.Route) -> float:
        """Seconds since `route` last answered, if a request failed since; 0 while it answers."""
        if route not in self._failing:
            return 0.0
        return self._clock.monotonic() - self.answered_at(route)

    def out_s(self, route: endpoints.Route) -> float:
        """Seconds for which `route` has only failed; 0 when that is not long enough to say so.

        From the first failure on, where `silent_s` counts the time before, asked or not.
        """
        failing_s = self._clock.monotonic() - self._failing.get(route, math.inf)
        return failing_s if failing_s > _OUT_S else 0.0

    def answered_at(self, route: endpoints.Route) -> float:
        """Monotonic time of the last answer that was no failure of the host; at first the start."""
        return self._answered_at.get(route, self._started_at)

    def count_outcome(self, route: endpoints.Route, error: errors.BackfillError | None) -> None:
        """One request has ended so: with a response, or with an error class."""
        outcome = "response"
        if error is not None:
            outcome = next(name for kind, name in _OUTCOMES.items() if isinstance(error, kind))
        self._outcomes.setdefault(route.name, Counter())[outcome] += 1

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Requests by route and outcome: response, retry, give_up, stop. A response that made no
        sense counts as unreadable, too.
        """
        return {route: dict(counts) for route, counts in self._outcomes.items()}

    def note_understood(self, route: endpoints.Route) -> None:
        """The last answer was one to the question."""
        self._understood_at[route] = self._clock.monotonic()

    def note_unreadable(self, route: endpoints.Route) -> None:
        """The last answer made no sense; a host that answers only such things is out."""
        self._answered_at[route] = self._understood_at.get(route, self._started_at)
        self._outcomes.setdefault(route.name, Counter())["unreadable"] += 1
        self.note_failure(route)

    def note_answer(self, route: endpoints.Route) -> None:
        """The host answered, be it with a refusal."""
        now = self._clock.monotonic()
        self._answered_at[route] = now
        failing_since = self._failing.pop(route, now)
        if self._logged_at.pop(route, None) is not None:
            log.info("route.answers_again", route=route.name, after_s=round(now - failing_since))

    def note_failure(self, route: endpoints.Route) -> None:
        """A request ended without an answer of the host."""
        self._failing.setdefault(route, self._clock.monotonic())

    def log_failure(self, route: endpoints.Route, error: errors.BackfillError) -> None:
        """Once a minute for everybody who asks in vain, hundreds of units perhaps."""
        now = self._clock.monotonic()
        if self.out_s(route) and now - self._logged_at.get(route, -math.inf) >= _SAY_AGAIN_S:
            self._logged_at[route] = now
            log.warning(
                "route.out", route=route.name, out_s=round(self.out_s(route)), error=str(error)
            )
