"""Waiting for a change and for a time at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from polybackfill import clocks


class ChangeEvent:
    """Rung when something changed; everybody who waits looks again. Few wait, it rings rarely."""

    def __init__(self, name: str, clock: clocks.Clock) -> None:
        self._name = name
        self._clock = clock
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def on_notify(self, listener: Callable[[], None]) -> None:
        """Call `listener` at every ring."""
        self._listeners.append(listener)

    def notify(self) -> None:
        """Wake everybody who waits now; nobody who comes later."""
        self._event.set()
        self._event = asyncio.Event()
        for listener in self._listeners:
            listener()

    async def wait(self, longest_s: float) -> None:
        """Return at the next ring, or when `longest_s` seconds have passed."""
        rung = asyncio.create_task(self._event.wait(), name=f"{self._name}-change")
        timer = asyncio.create_task(self._clock.sleep(longest_s), name=f"{self._name}-due")
        try:
            await asyncio.wait({rung, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()
            timer.cancel()
