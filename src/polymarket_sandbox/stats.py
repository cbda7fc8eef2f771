"""What happened on each route."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter, deque
from dataclasses import dataclass, field

REMEMBERED = 4_096  # durations per route behind the median
TICK_S = 0.02


@dataclass
class RouteStats:
    """One route; durations in seconds from arrival to the end of the response."""

    requests: int = 0
    body_bytes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    durations_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def report(self) -> dict[str, object]:
        """The counters as JSON."""
        middle = statistics.median(self.durations_s) if self.durations_s else 0.0
        return {
            "requests": self.requests,
            "bytes": self.body_bytes,
            "statuses": dict(self.statuses),
            "p50_ms": round(middle * 1e3, 3),
        }


class Stats:
    """All routes, connections used and requests in flight."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteStats] = {}
        self._peers: set[object] = set()
        self.in_flight = 0
        self.most_in_flight = 0
        self._held_up_s = 0.0

    async def watch(self) -> None:
        """Look at the clock for ever. While nobody reads the sockets, requests wait there and then
        count as having come together: a window's count is as exact as this delay is short.
        """
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._held_up_s = max(self._held_up_s, time.monotonic() - due)

    def begin(self, peer: object) -> None:
        """A request came in from this address and port, which name its connection."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._peers.add(peer)

    def end(self, route: str, status: str, body_bytes: int, duration_s: float) -> None:
        """The request is over; `status`: the code, or a word when none was sent."""
        self.in_flight -= 1
        stats = self._routes.setdefault(route, RouteStats())
        stats.requests += 1
        stats.body_bytes += body_bytes
        stats.statuses[status] += 1
        stats.durations_s.append(duration_s)

    def reset(self) -> None:
        """All counters back to zero; requests in flight stay counted."""
        self._routes.clear()
        self._peers.clear()
        self.most_in_flight = self.in_flight
        self._held_up_s = 0.0

    def report(self) -> dict[str, object]:
        """All counters as JSON."""
        return {
            "routes": {name: stats.report() for name, stats in sorted(self._routes.items())},
            "connections": len(self._peers),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "held_up_ms": round(self._held_up_s * 1e3, 1),
        }
