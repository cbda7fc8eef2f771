"""Requests a second that may be sent on a route: cut to what its server serves, tried again later.

All spans are in windows W of the route's budget; times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math

EASE = 0.95  # of the measured limit
LUCK = 0.97  # of the rate of the last refusal: a single refusal below that is bad luck
LUCK_FLOOR = 0.25  # of the rate at which a series of single refusals began
LEAST = 0.02  # of the full rate, whatever happens
FIRST_STEP, LARGEST_STEP = 0.05, 0.5
USED = 0.8  # of the present rate; one that is not used is no reason for a higher one

# In windows.
HOLD, LONGEST_HOLD, SETTLE = 3.0, 6.0, 1.0
FIRST_SILENCE, LONGEST_SILENCE = 0.05, 0.4
SOON, QUIET = 3.0, 30.0


class AllowedRate:
    """The rate in force. `full`: that of the budget. `hold`: windows from a cut to the next try."""

    def __init__(self, full: float, window_s: float) -> None:
        self.full = full
        self.allowed = full
        self.cuts = 0
        self.hold = HOLD
        self._window_s = window_s
        self._try_at = -math.inf
        self._step = FIRST_STEP

    def cut(self, now: float, limit: float, lowest: float, highest: float) -> None:
        """Stay below `limit`, between the two bounds."""
        allowed = min(max(EASE * limit, lowest, LEAST * self.full), highest)
        if allowed < 0.99 * self.allowed:
            self.cuts += 1
        self.allowed = allowed
        self._step = FIRST_STEP
        self._try_at = now + self.hold * self._window_s

    def hold_from(self, now: float) -> None:
        """No try before the hold is over, counted from now."""
        self._try_at = max(self._try_at, now + self.hold * self._window_s)

    def may_try(self, now: float) -> bool:
        """Whether there is more to ask for, and the hold is over."""
        return self.allowed < self.full and now >= self._try_at

    def try_more(self, now: float) -> None:
        """Ask for a little more; the next try asks for twice as much more."""
        self.allowed = min(self.allowed * (1 + self._step), self.full)
        self._step = min(2 * self._step, LARGEST_STEP)
        self._try_at = now + SETTLE * self._window_s


class Silence:
    """The pause after a refusal: nothing is sent, then one request finds out whether it is over.

    `refusals`: how many there were since the start.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.refusals = 0
        self._refused_at = self._until = -math.inf
        self._length = FIRST_SILENCE

    @property
    def is_on(self) -> bool:
        """The last answer was a refusal, and nothing sent after it was answered yet."""
        return self._until > -math.inf

    def is_quiet(self, now: float) -> bool:
        """Nothing at all is sent now."""
        return now < self._until

    def refuse(self, sent_at: float, now: float) -> float | None:
        """A request was refused. Seconds since the refusal before; None for one that was sent
        before that arrived: it tells nothing new.
        """
        self.refusals += 1
        since_s, is_news = now - self._refused_at, not self.is_on or sent_at > self._refused_at
        self._refused_at = now
        if not is_news:
            return None
        self._until = now + min(self._length, LONGEST_SILENCE) * self._window_s
        self._length *= 2
        return since_s

    def answer(self, sent_at: float) -> None:
        """A request was answered; the pause is over if that was sent after the refusal."""
        if sent_at > self._refused_at:
            self._until, self._length = -math.inf, FIRST_SILENCE


class RefusalSeries:
    """What refusals say of the server's limit. `served`: requests a second at that moment."""

    def __init__(self, rate: AllowedRate, window_s: float) -> None:
        self._rate = rate
        self._window_s = window_s
        self._refused_rate = 0.0  # served when the last refusal came
        self._row_from, self._row_at = rate.full, -math.inf
        self._series_from = rate.full

    def first(self, now: float, quiet_s: float, served: float) -> None:
        """The first refusal after `quiet_s` seconds without one."""
        rate = self._rate
        self._row_from, self._row_at = rate.allowed, now
        if quiet_s > SOON * self._window_s and served < LUCK * self._refused_rate:
            return
        if quiet_s > QUIET * self._window_s:
            self._series_from, rate.hold = rate.allowed, HOLD
        else:
            rate.hold = min(2 * rate.hold, LONGEST_HOLD)
        self._refused_rate = served
        rate.cut(now, served, LUCK_FLOOR * self._series_from, rate.allowed)

    def again(self, now: float, served: float) -> None:
        """The window of the server is still too full; what it holds is an upper bound."""
        if now - self._row_at > SETTLE * self._window_s:
            self._row_from, self._row_at = self._rate.allowed, now
        self._refused_rate = served
        self._rate.cut(now, served, self._row_from / 2, self._rate.allowed)

    def forget_rate(self) -> None:
        """The full rate is allowed again: no refusal below it was bad luck."""
        self._refused_rate = 0.0
