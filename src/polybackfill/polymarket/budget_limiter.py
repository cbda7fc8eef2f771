"""One budget, kept at the server's side of the wire.

The promise is made where it is counted: at the server, in every sliding window of W seconds, at
most L requests. Two guards stand in a row, both sized by one constant, the slack g = W/50:

*The bucket* (aiolimiter) spaces requests evenly. A leaky bucket of size B that refills at r lets
at most r·W + B requests into any window of W, so r·W + B < L + 1 is what keeps whole requests at
or below L. With r = L / (W + g) and B = floor(1 + r·g) that holds for every L, since
r·W + r·g = L. For 200 per 10 s: r = 19.6 per second (98.0 %), B = 4. The usual call (B = L,
r = L / W) lets 2·L through. B is no luxury: an event loop that stalls for g seconds finds the
tokens of the stall in the bucket afterwards and loses none of them.

*The log* counts what the server may still be counting. A request is stamped when its head goes to
the socket and arrives at some time after that: a network that stalls, or a server that stands
still, holds requests for seconds and lets them in together. Only the answer bounds that time from
above. A request that was answered at time a cannot have arrived after a - q, where q is the fastest
answer there is: way there, work and way back (`latency_tracker` remembers it, and takes 0 until it
has seen enough of them to know). Nor after one that was sent later and has arrived: what stands
still is the way or the server, and holds all alike; only of a request that took far longer than
usual is that not believed (`congestion`). So a request counts from its grant to the bound of its
arrival + W + W/200, and no more than L count at once. While answers take what they usually take,
that is about a window after it was sent, as cheap as a plain log; a request that was held for five
seconds counts five seconds longer. One that ends without an answer is judged in `rate_limiter`.

Of those that stand at a budget, a route with a figure of its own goes before one that may take
whatever is left, for up to `PATIENCE_OF_WINDOW`: what the first kind cannot take is known, and the
second kind would take an equal share of the whole. That is decided when a request is granted, not
when its wait begins: else routes that come in step always find the patient one ahead.

A new bucket starts *full*, also in a new process: the first request waits 1/r, there is no
initial burst, and a restart within the window is covered by r·W + B as if nothing had happened.
A changed rate keeps what the old bucket had used, rounded up, so a change never grants a burst.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiolimiter

from polybackfill import clocks
from polybackfill.polymarket import endpoints

SLACK_OF_WINDOW = 1 / 50  # what the bucket may bring forward
GUARD_OF_WINDOW = 1 / 200  # what the log adds to a window: clocks, and answers quicker than any
PATIENCE_OF_WINDOW = 1 / 10
_NEVER_QUITE = 1 - 1e-6  # keeps r·W + B below L + 1 when r·g is a whole number


class PriorityLock:
    """One at a time: the earliest deadline first, first come first served among equal ones."""

    def __init__(self) -> None:
        self._busy = False
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def hold(self, deadline: float) -> AsyncIterator[None]:
        """Wait for the turn, hold it, hand it on."""
        if self._busy:
            called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (deadline, next(self._numbers), called))
            try:
                await called
            except asyncio.CancelledError:
                if called.done() and not called.cancelled():
                    self._pass_on()  # called and cancelled in the same moment
                raise
        self._busy = True
        try:
            yield
        finally:
            self._pass_on()

    def is_before(self, deadline: float) -> bool:
        """Whether anybody waits whose deadline is earlier."""
        return any(earlier < deadline and not called.done() for earlier, _, called in self._waiting)

    def _pass_on(self) -> None:
        self._busy = False
        while self._waiting:
            _, _, called = heapq.heappop(self._waiting)
            if not called.done():
                self._busy = True
                called.set_result(None)
                return


class _CountedRequests:
    """What the server may still be counting, no more than `limit` (the log).

    `guarded_s`: for how long a request counts once it has arrived.
    """

    def __init__(self, limit: int, guarded_s: float) -> None:
        self._limit = limit
        self._guarded_s = guarded_s
        self._unsettled = 0
        self._free_at: list[float] = []

    def add(self) -> None:
        """A request is granted."""
        self._unsettled += 1

    def cancel(self) -> None:
        """A request that was granted will not be sent."""
        self._unsettled -= 1

    def settle(self, arrived_by: float) -> None:
        """A granted request had reached the server by `arrived_by`."""
        self._unsettled -= 1
        heapq.heappush(self._free_at, arrived_by + self._guarded_s)

    def full_for_s(self, now: float) -> float | None:
        """None while there is room for one more; else seconds until the first that is known to
        leave does, infinite when none is. What is under way may settle, and so leave, before.
        """
        while self._free_at and self._free_at[0] < now:
            heapq.heappop(self._free_at)
        if self._unsettled + len(self._free_at) < self._limit:
            return None
        return max(self._free_at[0] - now, 0.0) if self._free_at else math.inf


class _Bucket:
    """Spaces requests evenly (the bucket). `slack_s`: for how long it may bring them forward."""

    def __init__(self, slack_s: float) -> None:
        self._slack_s = slack_s
        self._bucket: aiolimiter.AsyncLimiter | None = None
        self._rate = 0.0

    async def at_rate(self, rate: float) -> aiolimiter.AsyncLimiter:
        """The bucket for today's rate; a fresh one has as little free room as the old one."""
        if self._bucket is not None and self._rate == rate:
            return self._bucket
        size = math.floor(1 + rate * self._slack_s)
        fresh = aiolimiter.AsyncLimiter(size, size / rate)
        await fresh.acquire(size - min(size, self._free_room()))  # empty: granted at once
        self._bucket, self._rate = fresh, rate
        return fresh

    def _free_room(self) -> int:
        """How many whole requests the old bucket would grant right now."""
        if self._bucket is None:
            return 0
        free = 0
        while free < self._bucket.max_rate and self._bucket.has_capacity(free + 1):
            free += 1
        return free


class BudgetLimiter:
    """Grants requests of one budget, one after the other."""

    def __init__(self, budget: endpoints.Budget, clock: clocks.Clock) -> None:
        self.limit = budget.requests
        self.window_s = budget.window_s
        self.slack_s = budget.window_s * SLACK_OF_WINDOW
        self.full_rate = budget.requests / (budget.window_s + self.slack_s) * _NEVER_QUITE
        self.rate = self.full_rate
        self.sent_total = 0
        self.sent_over_limit = 0
        self._clock = clock
        self._lock = PriorityLock()
        self._bucket = _Bucket(self.slack_s)
        self._counted = _CountedRequests(budget.requests, budget.window_s * (1 + GUARD_OF_WINDOW))
        self._left: deque[float] = deque()

    async def acquire(self, *, patient: bool = False) -> None:
        """Wait for one request's room. Follow with `cancel`, or with `sent` and `settle`, each
        exactly once.

        `patient`: let others go first, for a while.
        """
        patience_s = self.window_s * PATIENCE_OF_WINDOW if patient else 0.0
        deadline = self._clock.monotonic() + patience_s
        while True:
            async with self._lock.hold(deadline):
                await self._room()
                bucket = await self._bucket.at_rate(self.rate)
                if patient and await self._is_overtaken(deadline, bucket):
                    continue
                await bucket.acquire()
                self._counted.add()
                return

    async def _is_overtaken(self, deadline: float, bucket: aiolimiter.AsyncLimiter) -> bool:
        """Once the bucket has a token: whether somebody came meanwhile who goes first after all."""
        pause_s = min(self.slack_s, 1 / self.rate) / 10
        while not bucket.has_capacity():
            await self._clock.sleep(pause_s)
        return self._lock.is_before(deadline)

    def sent(self) -> None:
        """The request that was granted has gone to the socket now."""
        self._left.append(self._clock.monotonic())
        self.sent_total += 1
        self.sent_over_limit += self.recent() > self.limit

    def settle(self, arrived_by: float) -> None:
        """The request reached the server at `arrived_by` (monotonic) or before."""
        self._counted.settle(arrived_by)

    def cancel(self) -> None:
        """The request that was granted will not be sent."""
        self._counted.cancel()

    def recent(self) -> int:
        """Requests that left within the last window; forgets all others."""
        oldest = self._clock.monotonic() - self.window_s
        while self._left and self._left[0] <= oldest:
            self._left.popleft()
        return len(self._left)

    async def _room(self) -> None:
        while (wait_s := self._counted.full_for_s(self._clock.monotonic())) is not None:
            await self._clock.sleep(min(wait_s, self.slack_s) + 0.0005)
