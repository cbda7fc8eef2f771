"""What is known of one route's time to the first byte: quickest, usual, and right now.

All times are seconds of one monotonic clock, passed in; spans are parts of the budget's window.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

QUEUED = 2.0  # times the quickest: the answer had to queue
NORMAL = 1.5  # times the quickest: the queue is gone
RECENT = 0.2  # of the window
FEWEST_SAMPLES = 5
USUAL_SAMPLES = 100
FASTEST_FOR = 30.0  # windows for which the fastest answer is remembered, at least
FEWEST_FOR_FASTEST = 100  # answers, of which the fastest is as fast as any will be, or nearly


class LatencyTracker:
    """Low quarters instead of averages: a queue moves them, a few slow answers do not."""

    def __init__(self, window_s: float) -> None:
        self.usual_s: float | None = None
        self._window_s = window_s
        self._quickest_s: float | None = None
        self._recent: deque[tuple[float, float]] = deque()
        self._usual: deque[float] = deque(maxlen=USUAL_SAMPLES)
        self._fastest = (math.inf, math.inf)  # of this span of time, and of the one before
        self._answers = (0, 0)  # that many are known of each
        self._fastest_since = -math.inf

    @property
    def fastest_s(self) -> float:
        """The fastest single answer of the last five to ten minutes; 0 while there were too few to
        tell: the next could be much faster, and would have arrived later than it seems.
        """
        return min(self._fastest) if sum(self._answers) >= FEWEST_FOR_FASTEST else 0.0

    @property
    def quickest_s(self) -> float | None:
        """The lowest low quarter seen, slowly forgotten; None before the first few answers."""
        return self._quickest_s

    @property
    def queued_s(self) -> float:
        """Above this an answer had to queue. Small absolute differences never count."""
        return self._above(QUEUED, self._window_s / 20)

    @property
    def credible_s(self) -> float:
        """Above this an answer is out of the ordinary, with or without a queue."""
        return max(self.queued_s, QUEUED * (self.usual_s or 0.0))

    @property
    def normal_s(self) -> float:
        """Below this nothing queues."""
        return self._above(NORMAL, self._window_s / 40)

    def note(self, now: float, latency_s: float) -> None:
        """An answer arrived."""
        self._recent.append((now, latency_s))
        if latency_s <= self.queued_s:
            self._usual.append(latency_s)

    def note_fastest(self, now: float, latency_s: float) -> None:
        """A page arrived; what is no page is answered without the work."""
        if now - self._fastest_since > FASTEST_FOR * self._window_s:
            self._fastest, self._fastest_since = (math.inf, self._fastest[0]), now
            self._answers = (0, self._answers[0])
        self._fastest = (min(self._fastest[0], latency_s), self._fastest[1])
        self._answers = (self._answers[0] + 1, self._answers[1])

    def low_quarter_s(self, now: float, waiting_since: Iterable[float]) -> float | None:
        """Of the answers of the last W/5 and the ages of requests that are overdue.

        On a slow route the last few answers of a whole window stand in.
        """
        while self._recent and self._recent[0][0] < now - self._window_s:
            self._recent.popleft()
        since, queued_s = now - RECENT * self._window_s, self.queued_s
        overdue = [now - at for at in waiting_since if now - at > queued_s]
        samples = [latency_s for at, latency_s in self._recent if at >= since] + overdue
        if len(samples) < FEWEST_SAMPLES:
            samples = [latency_s for _, latency_s in self._recent][-FEWEST_SAMPLES:] + overdue
        return low_quarter(samples)

    def learn(self, low_s: float, *, free: bool) -> None:
        """A quiet moment; `free`: nothing was held back by the slots just before."""
        if self._quickest_s is None or low_s < self._quickest_s:
            self._quickest_s = low_s
        elif free:
            self._quickest_s += (low_s - self._quickest_s) / 500  # half forgotten in seven windows
        if len(self._usual) >= FEWEST_SAMPLES:
            middle_s = sorted(self._usual)[len(self._usual) // 2]
            clipped = [min(latency_s, 4 * middle_s) for latency_s in self._usual]
            self.usual_s = max(middle_s, sum(clipped) / len(clipped))

    def accept(self, low_s: float) -> None:
        """Answers take this long now, and it is nobody's queue."""
        self._quickest_s = self.usual_s = low_s
        self._fastest, self._answers = (math.inf, math.inf), (0, 0)
        self._usual.clear()

    def _above(self, factor: float, least_s: float) -> float:
        if self._quickest_s is None:
            return math.inf
        return max(factor * self._quickest_s, self._quickest_s + least_s)


def low_quarter(samples: list[float]) -> float | None:
    """None when there are too few to tell."""
    return sorted(samples)[len(samples) // 4] if len(samples) >= FEWEST_SAMPLES else None
