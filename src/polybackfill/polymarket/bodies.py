"""The bytes of all answers that are being read, bounded together.

One body has a bound of its own, but a hundred workers that each get the largest one would fill the
memory of the machine. So the bytes of all of them are counted as they arrive, until what was made
of them is let go. Who would pass the bound waits; the oldest of those who read never does, so that
one at least goes on.
"""

from __future__ import annotations

import asyncio
import math
import weakref

import structlog

from polybackfill import clocks

MOST_BYTES = 256 << 20
_SAY_AGAIN_S = 60.0

log = structlog.get_logger()


class Bodies:
    """What all answers hold. A body is read by one task."""

    def __init__(self, clock: clocks.Clock, most_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._open: dict[Body, None] = {}  # oldest first
        self._freed = asyncio.Event()
        self._warned_at = -math.inf
        self.held_bytes = 0
        self.waits = 0

    def begin(self) -> Body:
        """One more body is about to be read."""
        body = Body(self)
        self._open[body] = None
        return body

    async def room(self, body: Body, size: int) -> None:
        """Wait until so many more bytes may be held."""
        if not self._has_room(body, size):
            self.waits += 1
            self._warn()
        while not self._has_room(body, size):
            self._freed.clear()
            await self._freed.wait()

    def hold(self, size: int) -> None:
        """So many more bytes are held; less, for what is let go."""
        self.held_bytes += size
        if size < 0:
            self._freed.set()

    def end(self, body: Body) -> None:
        """The body is read, or given up; the next one is the oldest."""
        self._open.pop(body, None)
        self._freed.set()

    def _has_room(self, body: Body, size: int) -> bool:
        oldest = next(iter(self._open), body)
        return body is oldest or self.held_bytes + size <= self._most_bytes

    def _warn(self) -> None:
        now = self._clock.monotonic()
        if now - self._warned_at >= _SAY_AGAIN_S:
            self._warned_at = now
            log.warning(
                "answers.wait_for_memory",
                held_bytes=self.held_bytes,
                bound_bytes=self._most_bytes,
                reading=len(self._open),
            )


class Body:
    """One body. `size`: its bytes so far."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    async def add(self, size: int) -> None:
        """So many bytes have arrived; returns when they may be kept."""
        await self._bodies.room(self, size)
        self.size += size
        self._bodies.hold(size)

    def keep_for(self, owner: object) -> None:
        """The body is whole; it counts until `owner`, which holds it, is let go."""
        self._bodies.end(self)
        release = weakref.finalize(owner, self._bodies.hold, -self.size)
        release.atexit = False

    def drop(self) -> None:
        """Nothing of the body is kept."""
        self._bodies.end(self)
        self._bodies.hold(-self.size)
