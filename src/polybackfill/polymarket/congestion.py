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

import math
from dataclasses import dataclass, field

from polybackfill.polymarket import allowed_rate, in_flight, latency_tracker

OK, TOO_MANY, FORBIDDEN = 200, 429, 403

SLOTS = 1.5  # times what rate and usual latency need
SPARE_SLOTS = 4
UNCHANGED = 0.8  # of the latency before the slots shrank: shrinking did not help

# In windows.
CONFIRM, FIRST_LATENCY = 0.1, 0.1


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
        self.rate = allowed_rate.AllowedRate(full_rate, window_s)
        self.latencies = latency_tracker.LatencyTracker(window_s)
        self._window_s = window_s
        self._waiting = in_flight.RequestsInFlight()
        self._served = in_flight.ServedRate(window_s, self._span(latency_tracker.RECENT))
        self._silence = allowed_rate.Silence(window_s)
        self._series = allowed_rate.RefusalSeries(self.rate, window_s)
        self._judged_at = self._slots_full_at = -math.inf
        self._pressed_since: float | None = None
        self._easing: _Easing | None = None
        self._limit_seen = (-math.inf, 0.0)  # when, requests per second

    @property
    def refusals(self) -> int:
        """Answers that were a refusal, since the start."""
        return self._silence.refusals

    @property
    def in_flight(self) -> int:
        """Requests without a first byte."""
        return len(self._waiting)

    def has_slot(self, now: float) -> bool:
        """Whether one more request may wait for an answer."""
        self._judge(now)
        if not self._silence.is_quiet(now) and len(self._waiting) < self._slots():
            return True
        self._slots_full_at = now
        return False

    def start(self, now: float) -> int:
        """A request is about to leave; its number."""
        if not self._waiting:
            self._served.start(now)
        return self._waiting.start(now)

    def sent(self, number: int, now: float) -> None:
        """The request was sent; its latency is measured from now on."""
        self._waiting.sent(number, now)

    def answered(self, number: int, now: float, status: int) -> float:
        """The head of an answer arrived; when its request had reached the server at the latest."""
        sent_at, passed = self._waiting.answered(number)
        self._learn_from(sent_at, now, status)
        if status != OK:
            return now
        self.latencies.note_fastest(now, now - sent_at)
        arrived_by = now - self.latencies.fastest_s
        self._waiting.note_passed(sent_at, arrived_by)
        # Of one that took very long nothing is inferred: it may have been held alone.
        if now - sent_at <= self.latencies.credible_s:
            arrived_by = min(arrived_by, passed)
        return max(sent_at, arrived_by)

    def gone(self, number: int, now: float, *, given_up: bool = False) -> None:
        """The request ended without an answer, or was never sent. `given_up`: by us."""
        if self._waiting.gone(number, now, given_up=given_up):
            self._judge(now)

    def _learn_from(self, sent_at: float, now: float, status: int) -> None:
        if status in (TOO_MANY, FORBIDDEN):
            self._refuse(sent_at, now, cut=status == TOO_MANY)
            return
        self._silence.answer(sent_at)
        self._served.add(now)
        self._note(sent_at, now)
        self._judge(now)

    def _span(self, windows: float) -> float:
        return windows * self._window_s

    def _slots(self) -> int:
        quickest_s, usual_s = self.latencies.quickest_s, self.latencies.usual_s
        if self._silence.is_on or self._waiting.is_lost:
            return 1  # one request finds out
        if self._easing is not None and quickest_s is not None:
            return math.ceil(self.rate.allowed * quickest_s) + 1
        usual_s = self._span(FIRST_LATENCY) if usual_s is None else usual_s
        needed_s = max(SLOTS * usual_s, usual_s + self._window_s / 40)
        return math.ceil(self.rate.allowed * needed_s) + SPARE_SLOTS

    def _note(self, sent_at: float, now: float) -> None:
        latency_s = now - sent_at
        queued = latency_s > self.latencies.queued_s
        self.latencies.note(now, latency_s)
        if self._easing is not None and sent_at > self._easing.since:
            self._easing.answers_s.append(latency_s)
        elif queued:  # and not because the slots are few: the server serves at its limit now
            self._limit_seen = (now, self._served.read(now))
            self._ease_to(now, self._limit_seen[1])

    def _judge(self, now: float) -> None:
        if now - self._judged_at < self._window_s / 50:
            return
        self._judged_at = now
        low_s = self.latencies.low_quarter_s(now, self._waiting.times())
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
        if self._easing is not None and now - self._easing.since > self._span(allowed_rate.SOON):
            self._easing = None
        self._try_more(now)

    def _calm(self, now: float, low_s: float) -> None:
        if self._easing is not None:
            if low_s > self.latencies.normal_s:
                self._still_delayed(now, self._easing)
                return
            self._easing = None
            self.rate.hold_from(now)
        free = now - self._slots_full_at > self._span(latency_tracker.RECENT)
        self.latencies.learn(low_s, free=free)
        self._try_more(now)

    def _begin_easing(self, now: float, low_s: float) -> None:
        self._easing = _Easing(now, self.rate.allowed, low_s)
        self.rate.hold = allowed_rate.HOLD
        if self._pressed_since is not None and self._limit_seen[0] >= self._pressed_since:
            self._ease_to(now, self._limit_seen[1])

    def _ease_to(self, now: float, limit: float) -> None:
        if self._easing is not None:
            before = self._easing.rate_before
            self.rate.cut(now, limit, before / 2, before)

    def _still_delayed(self, now: float, easing: _Easing) -> None:
        low_s = latency_tracker.low_quarter(easing.answers_s[: 2 * latency_tracker.FEWEST_SAMPLES])
        if low_s is None or len(easing.answers_s) < 2 * latency_tracker.FEWEST_SAMPLES:
            return
        if low_s >= UNCHANGED * easing.low_before_s:
            self.latencies.accept(low_s)
            self.rate.allowed = easing.rate_before
            self._easing = self._pressed_since = None
        elif now - easing.since > self._span(allowed_rate.SETTLE):
            self._easing = _Easing(now, self.rate.allowed, low_s)
            self._ease_to(now, self._served.read(now))

    def _refuse(self, sent_at: float, now: float, *, cut: bool) -> None:
        is_first = not self._silence.is_on
        since_s = self._silence.refuse(sent_at, now)
        if since_s is None or not cut:
            return
        if is_first:
            self._series.first(now, since_s, self._served.read(now))
        else:
            self._series.again(now, self._served.read(now))

    def _try_more(self, now: float) -> None:
        """Ask for a little more when the hold is over and the present rate is really used."""
        rate = self.rate
        if not rate.may_try(now) or self._served.read(now) < allowed_rate.USED * rate.allowed:
            return
        rate.try_more(now)
        if rate.allowed >= rate.full:
            self._series.forget_rate()
