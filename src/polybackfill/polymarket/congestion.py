"""How fast one route's server wants to be asked right now, learned from its answers.

The edge queues before it refuses. So three things are watched, all in units of the window W:

- *Slots.* Requests without a first byte are bounded by rate x usual latency x 1.5 + 4. When the
  server stops answering, the client stops asking within half a second; this alone keeps a queue
  at the edge too short for a refusal, and it needs no decision.
- *Delay.* The low quarter of the latencies of the last W/5, overdue requests counted with their
  age, stands above twice the quickest such value for W/10. A few slow answers, or a second of
  slow ones, do not move a low quarter of two seconds.
- *Refusal.* A 429 (or the edge's 403) silences the route for W/20, doubled while refusals go on;
  one request at a time finds out whether it is over.
- *Silence.* A request was given up, and nothing that was sent after it was answered. One request at
  a time finds out here too: whatever is sent to a server that stands still arrives when it goes on.

A cut goes to 95 % of what the server served during the last window, measured at an answer that
had to queue, or at a refusal: at that moment a sliding window is full, so the count *is* the
server's limit. No cut goes below half of the rate a window ago. A single refusal well below the
rate of the last one and three windows or more after it is bad luck and cuts nothing; luck that
repeats never cuts below a quarter of the rate at which it began.

After a delay the slots shrink to what the quickest latency needs. A queue at the edge gets shorter
by that, so requests sent from then on are answered sooner. If they are not, answers simply take
longer now: that becomes the usual latency, and the rate returns to what it was.

The rate of a cut is remembered by staying 5 % below it. After a hold of 3 W it is tried again:
+5 %, then twice that step every W while nothing is delayed, so a limit that was lifted is found in
under a dozen windows, and one that was not costs one short queue per try. Tries that end in a
refusal are made at ever longer intervals.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field

from polybackfill.polymarket import latency_tracker

OK, TOO_MANY, FORBIDDEN = 200, 429, 403

SLOTS = 1.5  # times what rate and usual latency need
SPARE_SLOTS = 4
EASE = 0.95  # of the measured limit
LUCK = 0.97  # of the rate of the last refusal: a single refusal below that is bad luck
LUCK_FLOOR = 0.25  # of the rate at which a series of single refusals began
LEAST = 0.02  # of the full rate, whatever happens
UNCHANGED = 0.8  # of the latency before the slots shrank: shrinking did not help
FIRST_STEP, LARGEST_STEP = 0.05, 0.5

# In windows.
CONFIRM, HOLD, SETTLE, FIRST_LATENCY = 0.1, 3.0, 1.0, 0.1
FIRST_SILENCE, LONGEST_SILENCE = 0.05, 0.4
SOON, QUIET, LONGEST_HOLD = 3.0, 30.0, 6.0


@dataclass
class _Easing:
    """A queue at the edge is being given time to drain."""

    since: float
    rate_before: float
    low_before_s: float
    answers_s: list[float] = field(default_factory=list)  # of requests sent since


class AdaptiveLimiter:
    """The allowed rate of one budget and the number of requests that may wait for an answer.

    Times are seconds of one monotonic clock, passed in; rates are requests per second.
    """

    def __init__(self, full_rate: float, window_s: float) -> None:
        self.full_rate = full_rate
        self.allowed = full_rate
        self.cuts = 0
        self.refusals = 0
        self.latencies = latency_tracker.LatencyTracker(window_s)
        self._window_s = window_s
        self._numbers = itertools.count()
        self._waiting: dict[int, float] = {}
        self._passed: dict[int, float] = {}  # number → when one sent later had arrived
        self._served: deque[float] = deque()
        self._active_since = self._judged_at = self._slots_full_at = -math.inf
        self._pressed_since: float | None = None
        self._easing: _Easing | None = None
        self._limit_seen = (-math.inf, 0.0)  # when, requests per second
        self._hold, self._try_at, self._step = HOLD, -math.inf, FIRST_STEP
        self._refused_at = self._silent_until = -math.inf
        self._silence = FIRST_SILENCE
        self._newest_answered = -math.inf  # when the newest of the answered requests was sent
        self._lost_at = -math.inf
        self._refused_rate = 0.0  # served when the last refusal came
        self._row_from, self._row_at = full_rate, -math.inf
        self._series_from = full_rate

    @property
    def in_flight(self) -> int:
        """Requests without a first byte."""
        return len(self._waiting)

    def has_slot(self, now: float) -> bool:
        """Whether one more request may wait for an answer."""
        self._judge(now)
        if now >= self._silent_until and len(self._waiting) < self._slots():
            return True
        self._slots_full_at = now
        return False

    def start(self, now: float) -> int:
        """A request is about to leave; its number."""
        quiet_s = now - self._served[-1] if self._served else math.inf
        if not self._waiting and quiet_s > self._span(latency_tracker.RECENT):
            self._active_since = now
        number = next(self._numbers)
        self._waiting[number] = now
        return number

    def sent(self, number: int, now: float) -> None:
        """The request has left: its latency counts from here."""
        if number in self._waiting:
            self._waiting[number] = now

    def answered(self, number: int, now: float, status: int) -> float:
        """The head of an answer arrived; when its request had reached the server at the latest."""
        sent_at = self._waiting.pop(number)
        self._newest_answered = max(self._newest_answered, sent_at)
        if sent_at > self._lost_at:
            self._lost_at = -math.inf
        self._learn_from(sent_at, now, status)
        passed = self._passed.pop(number, math.inf)
        if status != OK:
            return now
        self.latencies.note_fastest(now, now - sent_at)
        arrived_by = now - self.latencies.fastest_s
        self._note_passed(sent_at, arrived_by)
        # Of one that took very long nothing is inferred: it may have been held alone.
        if now - sent_at <= self.latencies.credible_s:
            arrived_by = min(arrived_by, passed)
        return max(sent_at, arrived_by)

    def _note_passed(self, sent_at: float, arrived_by: float) -> None:
        """The way was open at `arrived_by` for what was sent at `sent_at`, so nothing sent before
        that was held on it any more.
        """
        for number, waiting_since in self._waiting.items():
            if waiting_since <= sent_at:
                self._passed.setdefault(number, arrived_by)

    def gone(self, number: int, now: float, *, given_up: bool = False) -> None:
        """The request ended without an answer, or was never sent. `given_up`: by us."""
        sent_at = self._waiting.pop(number, None)
        self._passed.pop(number, None)
        if sent_at is None:
            return
        if given_up and sent_at > self._newest_answered:
            self._lost_at = now
        self._judge(now)

    def _learn_from(self, sent_at: float, now: float, status: int) -> None:
        if status in (TOO_MANY, FORBIDDEN):
            self.refusals += 1
            self._refuse(sent_at, now, cut=status == TOO_MANY)
            return
        if sent_at > self._refused_at:
            self._silent_until, self._silence = -math.inf, FIRST_SILENCE
        self._served.append(now)
        self._note(sent_at, now)
        self._judge(now)

    def _span(self, windows: float) -> float:
        return windows * self._window_s

    def _slots(self) -> int:
        quickest_s, usual_s = self.latencies.quickest_s, self.latencies.usual_s
        if self._silenced or self._lost_at > -math.inf:
            return 1  # one request finds out
        if self._easing is not None and quickest_s is not None:
            return math.ceil(self.allowed * quickest_s) + 1
        usual_s = self._span(FIRST_LATENCY) if usual_s is None else usual_s
        needed_s = max(SLOTS * usual_s, usual_s + self._window_s / 40)
        return math.ceil(self.allowed * needed_s) + SPARE_SLOTS

    def _served_rate(self, now: float) -> float:
        """Answers per second over the last window, or since the route became busy."""
        while self._served and self._served[0] <= now - self._window_s:
            self._served.popleft()
        busy_s = max(now - self._active_since, self._span(latency_tracker.RECENT))
        return len(self._served) / min(self._window_s, busy_s)

    def _note(self, sent_at: float, now: float) -> None:
        latency_s = now - sent_at
        queued = latency_s > self.latencies.queued_s
        self.latencies.note(now, latency_s)
        if self._easing is not None and sent_at > self._easing.since:
            self._easing.answers_s.append(latency_s)
        elif queued:  # and not because the slots are few: the server serves at its limit now
            self._limit_seen = (now, self._served_rate(now))
            self._ease_to(now, self._limit_seen[1])

    def _judge(self, now: float) -> None:
        if now - self._judged_at < self._window_s / 50:
            return
        self._judged_at = now
        low_s = self.latencies.low_quarter_s(now, self._waiting.values())
        if low_s is None:
            self._too_few_to_tell(now)
            return
        if low_s <= self.latencies.queued_s:
            self._pressed_since = None
            self._calm(now, low_s)
            return
        self._pressed_since = now if self._pressed_since is None else self._pressed_since
        if self._easing is not None:
            self._still_delayed(now, self._easing)
        elif now - self._pressed_since >= self._span(CONFIRM):
            self._begin_easing(now, low_s)

    def _too_few_to_tell(self, now: float) -> None:
        """A route that is hardly asked: no verdicts, but nothing lasts for ever."""
        if self._easing is not None and now - self._easing.since > self._span(SOON):
            self._easing = None
        self._try_more(now)

    def _calm(self, now: float, low_s: float) -> None:
        if self._easing is not None:
            if low_s > self.latencies.normal_s:
                self._still_delayed(now, self._easing)
                return
            self._easing = None
            self._try_at = max(self._try_at, now + self._span(self._hold))
        free = now - self._slots_full_at > self._span(latency_tracker.RECENT)
        self.latencies.learn(low_s, free=free)
        self._try_more(now)

    def _begin_easing(self, now: float, low_s: float) -> None:
        self._easing = _Easing(now, self.allowed, low_s)
        self._hold = HOLD
        if self._pressed_since is not None and self._limit_seen[0] >= self._pressed_since:
            self._ease_to(now, self._limit_seen[1])

    def _ease_to(self, now: float, limit: float) -> None:
        if self._easing is not None:
            before = self._easing.rate_before
            self._cut(now, limit, before / 2, before)

    def _still_delayed(self, now: float, easing: _Easing) -> None:
        low_s = latency_tracker.low_quarter(easing.answers_s[: 2 * latency_tracker.FEWEST_SAMPLES])
        if low_s is None or len(easing.answers_s) < 2 * latency_tracker.FEWEST_SAMPLES:
            return
        if low_s >= UNCHANGED * easing.low_before_s:
            self.latencies.accept(low_s)
            self.allowed = easing.rate_before
            self._easing = self._pressed_since = None
        elif now - easing.since > self._span(SETTLE):
            self._easing = _Easing(now, self.allowed, low_s)
            self._ease_to(now, self._served_rate(now))

    def _cut(self, now: float, limit: float, lowest: float, highest: float) -> None:
        """Stay below `limit`, between the two bounds."""
        allowed = min(max(EASE * limit, lowest, LEAST * self.full_rate), highest)
        if allowed < 0.99 * self.allowed:
            self.cuts += 1
        self.allowed = allowed
        self._step = FIRST_STEP
        self._try_at = now + self._span(self._hold)

    def _refuse(self, sent_at: float, now: float, *, cut: bool) -> None:
        first = not self._silenced
        quiet_s = now - self._refused_at
        trial = sent_at > self._refused_at
        self._refused_at = now
        if not (first or trial):
            return  # sent before the first refusal arrived: nothing new
        self._silent_until = now + self._span(min(self._silence, LONGEST_SILENCE))
        self._silence *= 2
        if cut and first:
            self._first_refusal(now, quiet_s)
        elif cut:
            self._refused_again(now)

    def _first_refusal(self, now: float, quiet_s: float) -> None:
        self._row_from, self._row_at = self.allowed, now
        served = self._served_rate(now)
        if quiet_s > self._span(SOON) and served < LUCK * self._refused_rate:
            return
        if quiet_s > self._span(QUIET):
            self._series_from, self._hold = self.allowed, HOLD
        else:
            self._hold = min(2 * self._hold, LONGEST_HOLD)
        self._refused_rate = served
        self._cut(now, served, LUCK_FLOOR * self._series_from, self.allowed)

    def _refused_again(self, now: float) -> None:
        """The window of the server is still too full; what it holds is an upper bound."""
        if now - self._row_at > self._span(SETTLE):
            self._row_from, self._row_at = self.allowed, now
        self._refused_rate = self._served_rate(now)
        self._cut(now, self._refused_rate, self._row_from / 2, self.allowed)

    @property
    def _silenced(self) -> bool:
        """The last answer was a refusal, and nothing sent after it was answered yet."""
        return self._silent_until > -math.inf

    def _try_more(self, now: float) -> None:
        """Ask for a little more when the hold is over and the present rate is really used."""
        if self.allowed >= self.full_rate or now < self._try_at:
            return
        if self._served_rate(now) < 0.8 * self.allowed:
            return
        self.allowed = min(self.allowed * (1 + self._step), self.full_rate)
        self._step = min(2 * self._step, LARGEST_STEP)
        self._try_at = now + self._span(SETTLE)
        if self.allowed >= self.full_rate:
            self._refused_rate = 0.0
