"""Ask for one page until it is good, politely.

Every try takes a new turn at the limits, waits as a declared wait, and counts against the page.
What a try means is decided by its error class alone, and a `check` may raise the same classes, so
an answer that makes no sense is one more try of the same page.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from polybackfill import clock as clocks
from polybackfill import errors, progress
from polybackfill.polymarket import endpoints, replies

FIRST_BACKOFF_S = 0.5

Checked = TypeVar("Checked")
Params = Mapping[str, str] | Sequence[tuple[str, str]]


class Asking(Protocol):
    """What `fetch` needs of `http.Client`."""

    async def get(
        self, route: endpoints.Route, params: Params, progress: progress.Progress
    ) -> replies.Reply:
        """One request."""


async def fetch(
    client: Asking,
    route: endpoints.Route,
    params: Params,
    progress: progress.Progress,
    *,
    check: Callable[[replies.Reply], Checked],
    attempts: int,
    clock: clocks.Clock,
    rng: random.Random,
    backoff_cap_s: float = 60.0,
) -> Checked:
    """The first reply that passes `check`, as what `check` made of it; see `persist`."""

    async def attempt() -> Checked:
        return check(await client.get(route, params, progress))

    return await persist(
        attempt, progress, attempts=attempts, clock=clock, rng=rng, backoff_cap_s=backoff_cap_s
    )


async def persist(
    attempt: Callable[[], Awaitable[Checked]],
    progress: progress.Progress,
    *,
    attempts: int,
    clock: clocks.Clock,
    rng: random.Random,
    backoff_cap_s: float = 60.0,
) -> Checked:
    """What the first successful `attempt` returns.

    Raises the last `Retry` when the attempts are used up, so the unit can be given back and asked
    for later; at once when it wants the batch split, since the same question would be refused
    again. `GiveUp` and `Stop` pass through.
    """
    for number in range(1, attempts + 1):
        try:
            return await attempt()
        except errors.Retry as error:
            if error.split or number == attempts:
                raise
            wait_s = error.after_s
            if wait_s is None:
                wait_s = backoff_s(number, rng, cap_s=backoff_cap_s)
        with progress.waiting("back-off"):
            await clock.sleep(wait_s)
    raise ValueError(f"attempts = {attempts}: at least one is needed")


def backoff_s(attempt: int, rng: random.Random, *, cap_s: float) -> float:
    """Full jitter: anything up to 0.5 s doubled with every attempt, never above `cap_s`."""
    return rng.uniform(0.0, min(FIRST_BACKOFF_S * 2.0 ** (attempt - 1), cap_s))
