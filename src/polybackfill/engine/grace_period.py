"""How a run that was told to stop divides its grace period.

Parts of it, spent one after the other. The store may be away for each of them; what is left is for
the process to end.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from polybackfill import clocks

WORKERS_SHARE = 0.35  # to end the units in flight
ROWS_SHARE = 0.3  # to insert what was fetched
PLAN_SHARE = 0.1  # to bring the plan tables up to date; the next start makes up what is missed
END_SHARE = 0.1  # to note that this end was a clean one
CLAIM_SHARE = 0.05  # to give a server's database free
ALERTS_SHARE = 0.05  # to deliver the last alert


class StopTime:
    """When `stop` was set, while the block lasts."""

    def __init__(self, stop: asyncio.Event, clock: clocks.Clock) -> None:
        self._stop = stop
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._at: float | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._note(), name="stop-time")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()

    def left_s(self, grace_s: float) -> float:
        """What is left of the grace period but for the shares of what comes last."""
        if self._at is None:
            return 0.0
        usable_s = grace_s * (1 - END_SHARE - CLAIM_SHARE - ALERTS_SHARE)
        return max(0.0, self._at + usable_s - self._clock.monotonic())

    async def _note(self) -> None:
        await self._stop.wait()
        self._at = self._clock.monotonic()
