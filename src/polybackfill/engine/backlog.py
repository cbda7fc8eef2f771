"""Units nobody holds: ready in the order they came, or waiting for their time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from polybackfill import clocks, units


class Backlog:
    """Handed out: first the waiting units whose time has come, then the ready ones in order.

    `capacity`: with so many units no feed is read ahead; units that come back are always taken.
    """

    def __init__(self, clock: clocks.Clock, *, capacity: int) -> None:
        self.capacity = capacity
        self._clock = clock
        self._ready: deque[units.Unit] = deque()
        self._waiting: list[tuple[float, int, units.Unit]] = []
        self._numbers = 0  # of two units due at the same moment the older one goes first

    def __len__(self) -> int:
        return len(self._ready) + len(self._waiting)

    def __iter__(self) -> Iterator[units.Unit]:
        yield from (unit for _, _, unit in self._waiting)
        yield from self._ready

    @property
    def is_full(self) -> bool:
        """Are there so many that no more should be read ahead?"""
        return len(self) >= self.capacity

    def add(self, unit: units.Unit, due_at: float | None = None) -> None:
        """Ready at once, or from the clock's monotonic time `due_at` on."""
        if due_at is None:
            self._ready.append(unit)
            return
        self._numbers += 1
        heapq.heappush(self._waiting, (due_at, self._numbers, unit))

    def pop(self) -> units.Unit | None:
        """Take the next one out; None when none is due."""
        if self._waiting and self._waiting[0][0] <= self._clock.monotonic():
            return heapq.heappop(self._waiting)[2]
        return self._ready.popleft() if self._ready else None

    def drop(self, unit: units.Unit) -> bool:
        """Take this one out; False when it is not there."""
        before = len(self)
        self._ready = deque(one for one in self._ready if one != unit)
        self._waiting = [entry for entry in self._waiting if entry[2] != unit]
        heapq.heapify(self._waiting)
        return len(self) < before

    def due_s(self) -> float | None:
        """Seconds until the first waiting unit is due; None when none waits."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0] - self._clock.monotonic())

    def stats(self) -> dict[str, int]:
        """Keys (not units): ready, waiting."""
        return {
            "ready": sum(len(unit.keys) for unit in self._ready),
            "waiting": sum(len(unit.keys) for _, _, unit in self._waiting),
        }
