"""Ask for one page until it is good, politely.

Every try takes a new turn at the limits, waits as a declared wait, and counts against the page.
What a try means is decided by its error class alone, so an answer that makes no sense is one more
try of the same page.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from polybackfill import clocks, errors, worker_progress

FIRST_BACKOFF_S = 0.5

Result = TypeVar("Result")


@dataclass(frozen=True)
class PageRetries:
    """`attempts`: how often one page is asked for. `backoff_cap_s`: the longest wait in between."""

    attempts: int
    clock: clocks.Clock
    rng: random.Random
    backoff_cap_s: float = 60.0

    async def run(
        self, attempt: Callable[[], Awaitable[Result]], progress: worker_progress.Progress
    ) -> Result:
        """What the first successful `attempt` returns.

        Raises the last `Retry` when the attempts are used up, so the unit can be given back and
        asked for later; at once when it wants the batch split, since the same question would be
        refused again, or when the host is at fault, which is asked about once for everybody.
        `GiveUp` and `Stop` pass through.
        """
        for number in range(1, self.attempts + 1):
            try:
                return await attempt()
            except errors.Retry as error:
                if error.split or error.host_fault or number == self.attempts:
                    raise
                # A Retry-After of 0 must not use up all attempts within one bad second.
                backoff = backoff_s(number, self.rng, cap_s=self.backoff_cap_s)
                wait_s = max(error.after_s or 0.0, backoff)
            with progress.waiting("back-off"):
                await self.clock.sleep(wait_s)
        raise ValueError(f"attempts = {self.attempts}: at least one is needed")


def backoff_s(attempt: int, rng: random.Random, *, cap_s: float) -> float:
    """Full jitter: anything up to 0.5 s doubled with every attempt, never above `cap_s`."""
    return rng.uniform(0.0, min(FIRST_BACKOFF_S * 2.0 ** (attempt - 1), cap_s))
