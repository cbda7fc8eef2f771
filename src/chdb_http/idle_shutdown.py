"""When the child process may end: with its last user, and not before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 2.0  # a command that follows another finds the store still open
FIRST_USER_S = 20.0  # for the process that started us to take hold
TERM_S = 100.0  # after SIGTERM, for a run to write what it holds: longer than its own grace
_CHECK_EVERY_S = 0.1


class StoreUsers:
    """Counts those who need the store. `ended` is set when the process is about to close."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._holds = 0
        self._requests = 0
        self._asked_to_end = 0
        self._ends_at = float("inf")
        self._idle_until = time.monotonic() + FIRST_USER_S

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Somebody needs the store for as long as this lasts."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._idle_until = time.monotonic() + GRACE_S

    @contextmanager
    def requesting(self) -> Iterator[None]:
        """A request is at work."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            self._idle_until = max(self._idle_until, time.monotonic() + GRACE_S)

    def end(self) -> None:
        """SIGTERM: end with the last hold, without grace, and in TERM_S at the latest. The second
        time: now.
        """
        self._asked_to_end += 1
        self._ends_at = min(self._ends_at, time.monotonic() + TERM_S)

    async def wait_until_unneeded(self) -> None:
        """Return when nobody needs the store any more."""
        while not self._unneeded():  # noqa: ASYNC110 - time alone can end it: there is no event
            await asyncio.sleep(_CHECK_EVERY_S)
        self.ended.set()

    def _unneeded(self) -> bool:
        if self._asked_to_end > 1 or time.monotonic() >= self._ends_at:
            return True
        if self._holds or self._requests:
            return False
        return bool(self._asked_to_end) or time.monotonic() >= self._idle_until
