"""How fast one route's server wants to be asked right now, learned from its answers.

The edge queues before it refuses. So three things are watched, all in units of the window W:

- *Slots.* Requests without a first byte are bounded by rate x usual latency x 1.5 + 4. When the
  server stops answering, the client stops asking within half a second; this alone keeps a queue
  at the edge too short for a refusal, and it needs no decision.
- *Delay.* The low quarter of the latencies of the last W/5, requests still waiting counted with
  their age, stands above twice the quickest such value for W/10. A few slow answers, or a second
  of slow ones, do not move a low quarter of two seconds.
- *Refusal.* A 429 silences the route for W/20, doubled while refusals go on; then one request at
  a time finds out whether it is over. Refusals within W of a cut are its aftermath: the server's
  window still holds what was sent before.

A cut goes to 95 % of what the server served during the last window, measured at an answer that
had to queue: at that moment a sliding window is full, so the count *is* the server's limit. When
nothing was measured (a refusal out of the blue) the rate is halved. No cut goes below half of the
rate before it. After a cut the slots shrink to what the quickest latency needs, until the queue
at the edge is gone; if the delay stays for a whole window at the lower rate, the rate was not its
cause and it becomes the usual latency.

The rate of a cut is remembered by staying 5 % below it. After a hold of 2 W it is tried again:
+5 %, then twice that step every W while nothing is delayed, so a limit that was lifted is found in
under a dozen windows, and one that was not costs one short queue per try. Tries that end in a
refusal are made at ever longer intervals.
"""

from __future__ import annotations

import itertools
import math
from collections import deque

QUEUED = 2.0  # times the quickest latency
SLOTS = 1.5  # times what rate and usual latency need
SPARE_SLOTS = 4
EASE = 0.95  # of the measured limit
FIRST_STEP, LARGEST_STEP = 0.05, 0.5
FEWEST_SAMPLES = 5
REMEMBERED_ANSWERS = 100

# In windows.
CONFIRM, RECENT, HOLD, SETTLE, FIRST_LATENCY = 0.1, 0.2, 2.0, 1.0, 0.1
FIRST_SILENCE, LONGEST_SILENCE = 0.05, 0.4
LONGEST_HOLD = 60.0


class Lane:
    """The allowed rate of one budget and the number of requests that may wait for an answer.

    Times are seconds of one monotonic clock, passed in; rates are requests per second.
    """

    def __init__(self, full_rate: float, window_s: float) -> None:
        self.full_rate = full_rate
        self.allowed = full_rate
        self.cuts = 0
        self.refusals = 0
        self.usual_s: float | None = None
        self._window_s = window_s
        self._numbers = itertools.count()
        self._waiting: dict[int, float] = {}
        self._recent: deque[tuple[float, float]] = deque()
        self._usual: deque[float] = deque(maxlen=REMEMBERED_ANSWERS)
        self._served: deque[float] = deque()
        self._active_since = -math.inf
        self._judged_at = -math.inf
        self._quickest_s: float | None = None
        self._pressed_since: float | None = None
        self._full_slots_at = -math.inf
        self._limit_seen = (-math.inf, 0.0)  # when, requests per second
        self._easing_from: float | None = None  # the rate before the cuts of this congestion
        self._cut_at = -math.inf
        self._last_refusal_at = -math.inf
        self._refused_cut_at = -math.inf
        self._hold = HOLD
        self._silent_until = -math.inf
        self._silence_s = self._span(FIRST_SILENCE)
        self._try_at = -math.inf
        self._step = FIRST_STEP

    @property
    def in_flight(self) -> int:
        """Requests without a first byte."""
        return len(self._waiting)

    def has_slot(self, now: float) -> bool:
        """Whether one more request may wait for an answer."""
        self._judge(now)
        if now >= self._silent_until and len(self._waiting) < self._slots():
            return True
        self._full_slots_at = now
        return False

    def start(self, now: float) -> int:
        """A request is about to leave; its number."""
        if not self._waiting and (not self._served or now - self._served[-1] > self._span(RECENT)):
            self._active_since = now
        number = next(self._numbers)
        self._waiting[number] = now
        return number

    def sent(self, number: int, now: float) -> None:
        """The request has left: its latency counts from here."""
        if number in self._waiting:
            self._waiting[number] = now

    def answered(self, number: int, now: float, *, refused: bool) -> None:
        """The first byte of an answer arrived; `refused`: it was a 429."""
        sent_at = self._waiting.pop(number)
        if refused:
            self._refuse(sent_at, now)
            return
        if sent_at > self._last_refusal_at:
            self._silent_until, self._silence_s = -math.inf, self._span(FIRST_SILENCE)
        latency_s = now - sent_at
        self._recent.append((now, latency_s))
        self._served.append(now)
        if self._quickest_s is not None and latency_s > self._queued_s(self._quickest_s):
            self._measure(now)
        elif self._pressed_since is None:
            self._usual.append(latency_s)
        self._judge(now)

    def gone(self, number: int, now: float) -> None:
        """The request ended without an answer, or was never sent."""
        if self._waiting.pop(number, None) is not None:
            self._judge(now)

    def _span(self, windows: float) -> float:
        return windows * self._window_s

    def _queued_s(self, quickest_s: float) -> float:
        return max(QUEUED * quickest_s, quickest_s + self._window_s / 20)

    def _slots(self) -> int:
        if self._silent_until > -math.inf:
            return 1  # the last answer was a refusal; one request finds out
        if self._easing_from is not None and self._quickest_s is not None:
            return math.ceil(self.allowed * self._quickest_s) + 1
        usual_s = self._span(FIRST_LATENCY) if self.usual_s is None else self.usual_s
        needed_s = max(SLOTS * usual_s, usual_s + self._window_s / 40)
        return math.ceil(self.allowed * needed_s) + SPARE_SLOTS

    def _served_rate(self, now: float) -> float:
        """Answers per second over the last window, or since the route became busy."""
        while self._served and self._served[0] <= now - self._window_s:
            self._served.popleft()
        busy_s = max(now - self._active_since, self._span(RECENT))
        return len(self._served) / min(self._window_s, busy_s)

    def _measure(self, now: float) -> None:
        """An answer that had to queue: the server just now serves at its limit."""
        self._limit_seen = (now, self._served_rate(now))
        if self._easing_from is not None:
            self._cut(now, self._limit_seen[1])

    def _judge(self, now: float) -> None:
        if now - self._judged_at < self._window_s / 50:
            return
        self._judged_at = now
        low_s = self._low_quarter_s(now)
        if low_s is None:
            return
        if self._quickest_s is None:
            self._quickest_s = low_s
        if low_s <= self._queued_s(self._quickest_s):
            self._pressed_since = None
            self._calm(now, low_s)
        else:
            self._pressed_since = now if self._pressed_since is None else self._pressed_since
            if now - self._pressed_since >= self._span(CONFIRM):
                self._congested(now, low_s)

    def _low_quarter_s(self, now: float) -> float | None:
        while self._recent and self._recent[0][0] < now - self._span(RECENT):
            self._recent.popleft()
        samples = [latency_s for _, latency_s in self._recent]
        if self._quickest_s is not None:
            queued_s = self._queued_s(self._quickest_s)
            samples += [now - at for at in self._waiting.values() if now - at > queued_s]
        if len(samples) < FEWEST_SAMPLES:
            return None
        samples.sort()
        return samples[len(samples) // 4]

    def _calm(self, now: float, low_s: float) -> None:
        quickest_s = low_s if self._quickest_s is None else self._quickest_s
        if self._easing_from is not None:
            if low_s > max(SLOTS * quickest_s, quickest_s + self._window_s / 40):
                return
            self._settled(now)
        if low_s < quickest_s:
            self._quickest_s = low_s
        elif now - self._full_slots_at > self._span(RECENT):
            self._quickest_s = quickest_s + (low_s - quickest_s) / 500  # forgets in ten windows
        self._learn_usual()
        self._try_more(now)

    def _learn_usual(self) -> None:
        if len(self._usual) < FEWEST_SAMPLES:
            return
        middle_s = sorted(self._usual)[len(self._usual) // 2]
        clipped = [min(latency_s, 4 * middle_s) for latency_s in self._usual]
        self.usual_s = max(middle_s, sum(clipped) / len(clipped))

    def _congested(self, now: float, low_s: float) -> None:
        if self._easing_from is None:
            self._easing_from = self.allowed
            self._cut_at = now
            seen_at, limit = self._limit_seen
            if self._pressed_since is not None and seen_at >= self._pressed_since:
                self._cut(now, limit)
        elif now - self._cut_at > self._span(SETTLE) and len(self._recent) >= FEWEST_SAMPLES:
            self._accept_latency(now, low_s)

    def _cut(self, now: float, limit: float) -> None:
        """Stay below `limit`; never under half of the rate before this congestion."""
        before = self.allowed if self._easing_from is None else self._easing_from
        allowed = min(max(EASE * limit, before / 2), before)
        if abs(allowed - self.allowed) > 0.01 * self.full_rate:
            self._cut_at = now
        if allowed < self.allowed:
            self.cuts += 1
        self.allowed = allowed
        self._step = FIRST_STEP
        self._try_at = now + self._span(self._hold)

    def _settled(self, now: float) -> None:
        self._easing_from = None
        self._usual.clear()
        self._try_at = max(self._try_at, now + self._span(self._hold))

    def _accept_latency(self, now: float, low_s: float) -> None:
        """The lower rate did not help: the answers take longer now, the rate is not the cause."""
        self._easing_from = None
        self._pressed_since = None
        self._quickest_s = low_s
        self.usual_s = low_s
        self._usual.clear()
        self._step = 2 * FIRST_STEP
        self._try_at = now

    def _refuse(self, sent_at: float, now: float) -> None:
        self.refusals += 1
        self._last_refusal_at = now
        self._silent_until = now + min(self._silence_s, self._span(LONGEST_SILENCE))
        self._silence_s *= 2
        if sent_at <= self._cut_at + self._span(SETTLE):
            return  # the server's window still holds what was sent before the last cut
        again = now - self._refused_cut_at < self._span(LONGEST_HOLD / 2)
        self._hold = min(2 * self._hold, LONGEST_HOLD) if again else HOLD
        self._refused_cut_at = now
        trying = self.allowed < self.full_rate and self._step > FIRST_STEP
        limit = self._served_rate(now) if trying else 0.0
        self._easing_from = None
        self._cut(now, limit)
        self._cut_at = now

    def _try_more(self, now: float) -> None:
        """Ask for a little more when the hold is over and the present rate is really used."""
        if self.allowed >= self.full_rate or now < self._try_at:
            return
        if self._served_rate(now) < 0.8 * self.allowed:
            return
        self.allowed = min(self.allowed * (1 + self._step), self.full_rate)
        self._step = min(2 * self._step, LARGEST_STEP)
        self._try_at = now + self._span(SETTLE)
