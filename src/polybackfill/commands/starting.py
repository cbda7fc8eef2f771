"""The start of a run: a stop signal ends it at once, a store that breaks off is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from polybackfill import errors

_STARTS = 5
_START_AGAIN_S = 1.0

Started = TypeVar("Started")


async def patiently(
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
            print(f"starting again in {_START_AGAIN_S:.0f} s: {error}", file=sys.stderr)
            await asyncio.sleep(error.after_s or _START_AGAIN_S)
    raise AssertionError  # the last attempt returns or raises


async def unless_stopped(
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
