"""May I send now? One answer for every route, asked before each request.

    permit = await limits.acquire(route, progress)
    try:
        …  permit.sent()  …  permit.answered(status)  …
    finally:
        permit.release()

A request waits, in this order: for its place in the queue of the route (first come, first
served), for the end of a pause of the host, for a slot
(congestion.AdaptiveLimiter), for the route's own budget, for the wider ones
(budget_limiter.BudgetLimiter). Only the first of each queue stands at a wider budget, so
routes that share one take turns there, however many workers wait behind them; a route that has no
narrower figure of its own takes what the others leave. The order narrow before wide is the same
everywhere, so no two routes can block each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping

from polybackfill import clocks, errors, worker_progress
from polybackfill.polymarket import budget_limiter, congestion, endpoints, latency_tracker

LONGEST_PAUSE_S = 600.0
LOST_S = 600.0  # no network holds a request for longer


class Permit:
    """The permission for one request."""

    def __init__(
        self,
        congestion_limiter: congestion.AdaptiveLimiter,
        budgets: tuple[budget_limiter.BudgetLimiter, ...],
        lost: LostRequests,
        slot_freed: asyncio.Event,
        clock: clocks.Clock,
    ) -> None:
        self._congestion = congestion_limiter
        self._budgets = budgets
        self._lost = lost
        self._slot_freed = slot_freed
        self._clock = clock
        self._number = congestion_limiter.start(clock.monotonic())
        self._sent_at = math.inf
        self._ended = False

    def sent(self) -> None:
        """The head of the request went to the socket."""
        if self._sent_at == math.inf:
            self._sent_at = self._clock.monotonic()
            self._congestion.sent(self._number, self._sent_at)
            for budget in self._budgets:
                budget.sent()

    def answered(self, status: int) -> None:
        """The head of the answer arrived; the slot is free for the next request."""
        self.sent()
        if not self._ended:
            now = self._clock.monotonic()
            self._end(self._congestion.answered(self._number, now, status))
            self._lost.answered(self._sent_at, now)

    def release(self, *, given_up: bool = False) -> None:
        """The request is over, however it ended. What was granted counts as sent.

        `given_up`: we did not wait for its end, so it may still be on its way.
        """
        may_arrive = given_up and self._sent_at < math.inf
        self.sent()
        if self._ended:
            return
        now = self._clock.monotonic()
        self._congestion.gone(self._number, now, given_up=may_arrive)
        if may_arrive:
            self._ended = True
            self._slot_freed.set()
            self._lost.add(now, self.settle)
        else:
            self._end(now)

    def settle(self, arrived_by: float) -> None:
        """It reached the server at `arrived_by` or before."""
        for budget in self._budgets:
            budget.settle(arrived_by)

    def _end(self, arrived_by: float) -> None:
        self._ended = True
        self.settle(arrived_by)
        self._slot_freed.set()


class LostRequests:
    """Requests of one lane that were given up. They may still be on their way: in a network that
    stands still, or in the sockets of a server that does, whatever became of our connection.

    They count until the lane has an answer to a request that was sent after they were given up:
    then the way is open again, and what was held on it has arrived. That has bounds, or a server
    that never answers would end all asking: half of the lane's budget, and `LOST_S`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._requests: deque[tuple[float, Callable[[float], None]]] = deque()

    def add(self, now: float, settle: Callable[[float], None]) -> None:
        """One more was given up; `settle` takes when it had arrived."""
        self._requests.append((now, settle))
        while self._requests and (
            len(self._requests) > self._most or self._requests[0][0] < now - LOST_S
        ):
            self._requests.popleft()[1](now)

    def answered(self, sent_at: float, now: float) -> None:
        """A request that left at `sent_at` was answered now."""
        while self._requests and self._requests[0][0] <= sent_at:
            self._requests.popleft()[1](now)


class RateLimiter:
    """All budgets of one address, kept together.

    `share`: this program's part of the address, 0 < share ≤ 1. Raises `Stop` for a budget or a
    share that would allow nothing.
    """

    def __init__(
        self,
        budgets: Mapping[str, endpoints.Budget],
        *,
        clock: clocks.Clock,
        share: float = 1.0,
    ) -> None:
        if not 0 < share <= 1:
            raise errors.Stop(f"share = {share}: the part of the limits must be above 0, at most 1")
        self._clock = clock
        self._budgets = {name: _shared(name, budget, share) for name, budget in budgets.items()}
        self._budget_limiters = {
            name: budget_limiter.BudgetLimiter(budget, clock)
            for name, budget in self._budgets.items()
        }
        self._congestion = {
            name: congestion.AdaptiveLimiter(budget.full_rate, budget.window_s)
            for name, budget in self._budget_limiters.items()
        }
        self._lost = {
            name: LostRequests(budget.limit // 2) for name, budget in self._budget_limiters.items()
        }
        self._queues: dict[endpoints.Route, asyncio.Lock] = {}
        self._slot_freed: dict[str, asyncio.Event] = {}
        self._paused_until: dict[str, float] = {}
        self._pauses: dict[str, int] = {}

    async def acquire(self, route: endpoints.Route, progress: worker_progress.Progress) -> Permit:
        """Wait until one request to `route` may leave. The caller must release the permit.

        Raises `Stop` when a budget of the route was never given.
        """
        missing = [name for name in route.budgets if name not in self._budgets]
        if missing:
            raise errors.Stop(f"no limit was given for {', '.join(missing)} of {route.name}")
        await self._pause_over(route.host, progress)
        with progress.waiting("limit"):
            async with self._queues.setdefault(route, asyncio.Lock()):
                return await self._acquire_first(route, progress)

    def pause(self, host: str, seconds: float) -> None:
        """Nobody asks `host` for so long, at most `LONGEST_PAUSE_S`; pauses do not add up."""
        now = self._clock.monotonic()
        until = now + min(max(seconds, 0.0), LONGEST_PAUSE_S)
        if until > self._paused_until.get(host, -math.inf):
            if now >= self._paused_until.get(host, -math.inf):
                self._pauses[host] = self._pauses.get(host, 0) + 1
            self._paused_until[host] = until

    def pause_left_s(self, host: str) -> float:
        """Seconds until `host` may be asked again."""
        return max(self._paused_until.get(host, -math.inf) - self._clock.monotonic(), 0.0)

    def latency_s(self, budget: str) -> float | None:
        """What an answer usually takes, without the queues of ours; None before the first few."""
        known = self._congestion[budget].latencies
        if known.quickest_s is None or known.usual_s is None:
            return known.quickest_s
        return min(known.usual_s, latency_tracker.QUEUED * known.quickest_s)

    def stats(self) -> dict[str, dict[str, float | int | None]]:
        """Per budget: what is allowed, what was used, and why it is not more."""
        return {name: self._budget_stats(name) for name in self._budget_limiters}

    def pauses(self) -> dict[str, dict[str, float | int]]:
        """Per host: pauses so far and seconds left of the present one."""
        return {
            host: {"pauses": count, "left_s": round(self.pause_left_s(host), 3)}
            for host, count in self._pauses.items()
        }

    async def _acquire_first(
        self, route: endpoints.Route, progress: worker_progress.Progress
    ) -> Permit:
        congestion_limiter = self._congestion[route.budgets[0]]
        freed = self._slot_freed.setdefault(route.budgets[0], asyncio.Event())
        async with contextlib.AsyncExitStack() as granted:
            while True:
                await self._slot(
                    congestion_limiter, freed, self._budgets[route.budgets[0]].window_s
                )
                if not await self._pause_over(route.host, progress):
                    break
            budgets = tuple(self._budget_limiters[name] for name in route.budgets)
            budgets[0].rate = congestion_limiter.rate.allowed
            own = budgets[0]
            for budget in budgets:
                await budget.acquire(patient=budget is not own and own.limit >= budget.limit)
                granted.callback(budget.cancel)
            await self._pause_over(route.host, progress)
            granted.pop_all()
        return Permit(congestion_limiter, budgets, self._lost[route.budgets[0]], freed, self._clock)

    async def _slot(
        self, congestion_limiter: congestion.AdaptiveLimiter, freed: asyncio.Event, window_s: float
    ) -> None:
        """Wait for a slot; look at the clock meanwhile, since silence is a sign too."""
        while not congestion_limiter.has_slot(self._clock.monotonic()):
            freed.clear()
            with contextlib.suppress(TimeoutError):  # time to look at the clock
                async with asyncio.timeout(window_s / 50):
                    await freed.wait()

    async def _pause_over(self, host: str, progress: worker_progress.Progress) -> bool:
        """Sit out the pause of a host; whether there was one."""
        paused = False
        while (left_s := self.pause_left_s(host)) > 0:
            paused = True
            with progress.waiting(f"pause {host} {left_s:.0f} s"):
                await self._clock.sleep(left_s)
        return paused

    def _budget_stats(self, name: str) -> dict[str, float | int | None]:
        budget, congestion_limiter = self._budget_limiters[name], self._congestion[name]
        recent, usual_s = budget.recent(), congestion_limiter.latencies.usual_s
        return {
            "limit": budget.limit,
            "window_s": budget.window_s,
            "allowed_per_s": round(congestion_limiter.rate.allowed, 3),
            "sent": budget.sent_total,
            "rate_per_s": round(recent / budget.window_s, 3),
            "utilisation": round(recent / budget.limit, 4),
            "in_flight": congestion_limiter.in_flight,
            "usual_latency_s": None if usual_s is None else round(usual_s, 4),
            "cuts": congestion_limiter.rate.cuts,
            "refusals": congestion_limiter.refusals,
            "violations": budget.sent_over_limit,
        }


def _shared(name: str, budget: endpoints.Budget, share: float) -> endpoints.Budget:
    if budget.requests < 1 or budget.window_s <= 0:
        raise errors.Stop(
            f"limit {name} = {budget.requests} per {budget.window_s:g} s; "
            "it must allow at least 1 request per window"
        )
    return endpoints.Budget(max(1, math.floor(budget.requests * share)), budget.window_s)
