"""The start of a run: a stop signal ends it at once, a store that breaks off is asked again; and
its end as a service.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from polybackfill import errors
from polybackfill.engine import systemd_notify

_STARTS = 5
_START_AGAIN_S = 1.0
_ANNOUNCE_S = 30.0
START_MAX_S = 7_200.0  # a large store that is compared with its checkpoint first
_CHILD_ENDS_S = 15.0
_POLL_S = 0.1
_LOOK_S = 1.0

Started = TypeVar("Started")


async def with_retries(
    begin: Callable[[contextlib.AsyncExitStack], Awaitable[Started]],
    stack: contextlib.AsyncExitStack,
) -> Started:
    """What `begin` returns; what it enters is left with `stack`, or at once when it fails.

    After errors.Retry it is tried again, a few times; then that is raised.
    """
    for left in reversed(range(_STARTS)):
        try:
            async with contextlib.AsyncExitStack() as trial:
                started = await begin(trial)
                stack.push_async_exit(trial.pop_all())
                return started
        except errors.Retry as error:
            if not left:
                raise
            wait_s = error.after_s or _START_AGAIN_S
            print(f"starting again in {wait_s:.0f} s: {error}", file=sys.stderr)
            await asyncio.sleep(wait_s)
    raise AssertionError  # the last attempt returns or raises


async def cancel_on_stop(
    stop: asyncio.Event, beginning: Coroutine[Any, Any, Started]
) -> Started | None:
    """What `beginning` returns; None when the stop signal came before, and it was cancelled."""
    starting = asyncio.create_task(beginning, name="start-up")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not starting.done():
            starting.cancel("stop")
    await asyncio.wait({starting})
    return None if starting.cancelled() else starting.result()


@contextlib.asynccontextmanager
async def stop_at(moment: float | None, stop: asyncio.Event) -> AsyncIterator[None]:
    """Set `stop` when the machine's clock shows `moment` (epoch seconds, None: never).

    The clock is looked at every second: timers of asyncio stand still while a machine sleeps.
    """

    async def watch(until: float) -> None:
        while (left_s := until - time.time()) > 0:  # noqa: ASYNC110 - time alone ends it
            await asyncio.sleep(min(left_s, _LOOK_S))
        stop.set()

    watching = None if moment is None else asyncio.create_task(watch(moment), name="--until")
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()


@contextlib.asynccontextmanager
async def announce_start(notifier: systemd_notify.Notifier) -> AsyncIterator[None]:
    """The service manager waits for as long as this lasts, two hours at most."""

    async def announce() -> None:
        for _ in range(int(START_MAX_S / _ANNOUNCE_S)):
            notifier.starting(2 * _ANNOUNCE_S)
            await asyncio.sleep(_ANNOUNCE_S)

    announcing = asyncio.create_task(announce(), name="announce the start")
    try:
        yield
    finally:
        announcing.cancel()


def see_store_end() -> None:
    """Return when the embedded store's child has ended, if it is ours, or when others keep it.

    A service manager kills what outlives the main process, and a store that was killed is checked
    at the next start. The child is seen to its very end: it closes its files after it has told
    that it ends.
    """
    deadline = time.monotonic() + _CHILD_ENDS_S
    with contextlib.suppress(ChildProcessError):  # there is none left
        while time.monotonic() < deadline:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if not ended:
                time.sleep(_POLL_S)
