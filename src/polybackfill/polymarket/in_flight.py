"""The requests of a route that wait for a first byte, and the answers of its last window."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Collection


class RequestsInFlight:
    """By number. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._sent_at: dict[int, float] = {}
        self._passed: dict[int, float] = {}  # number → when one sent later had arrived
        self._newest_answered = -math.inf  # when the newest of the answered requests was sent
        self._lost_at = -math.inf

    def __len__(self) -> int:
        return len(self._sent_at)

    def times(self) -> Collection[float]:
        """When each of them was sent."""
        return self._sent_at.values()

    @property
    def is_lost(self) -> bool:
        """A request was given up, and nothing that was sent after it was answered."""
        return self._lost_at > -math.inf

    def start(self, now: float) -> int:
        """A request is about to leave; its number."""
        number = next(self._numbers)
        self._sent_at[number] = now
        return number

    def sent(self, number: int, now: float) -> None:
        """The request was sent; its latency is measured from now on."""
        if number in self._sent_at:
            self._sent_at[number] = now

    def answered(self, number: int) -> tuple[float, float]:
        """When the request was sent, and when one sent later had arrived, which is never for most.

        It is in flight no more.
        """
        sent_at = self._sent_at.pop(number)
        self._newest_answered = max(self._newest_answered, sent_at)
        if sent_at > self._lost_at:
            self._lost_at = -math.inf
        return sent_at, self._passed.pop(number, math.inf)

    def note_passed(self, sent_at: float, arrived_by: float) -> None:
        """The way was open at `arrived_by` for what was sent at `sent_at`, so nothing sent before
        that was held on it any more.
        """
        for number, waiting_since in self._sent_at.items():
            if waiting_since <= sent_at:
                self._passed.setdefault(number, arrived_by)

    def gone(self, number: int, now: float, *, given_up: bool) -> bool:
        """The request ended without an answer; False when it was not in flight any more."""
        sent_at = self._sent_at.pop(number, None)
        self._passed.pop(number, None)
        if sent_at is None:
            return False
        if given_up and sent_at > self._newest_answered:
            self._lost_at = now
        return True


class ServedRate:
    """Answers a second over the last window, or since the route became busy.

    `recent_s`: a pause longer than this ends the busy time, which counts at least as much.
    """

    def __init__(self, window_s: float, recent_s: float) -> None:
        self._window_s = window_s
        self._recent_s = recent_s
        self._served: deque[float] = deque()
        self._busy_since = -math.inf

    def start(self, now: float) -> None:
        """A request leaves while no other is in flight."""
        if not self._served or now - self._served[-1] > self._recent_s:
            self._busy_since = now

    def add(self, now: float) -> None:
        """An answer has arrived."""
        self._served.append(now)

    def read(self, now: float) -> float:
        """The rate now."""
        while self._served and self._served[0] <= now - self._window_s:
            self._served.popleft()
        busy_s = max(now - self._busy_since, self._recent_s)
        return len(self._served) / min(self._window_s, busy_s)
