"""What a run does after its last unit: none of it may hold up a stop, or cost what was fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from polybackfill import errors

log = structlog.get_logger()

_PING_S = 1.0

Result = TypeVar("Result")


async def run_step(
    name: str,
    work: Coroutine[Any, Any, Result],
    *,
    stop: asyncio.Event,
    alive: Callable[[], Awaitable[None]],
) -> Result | None:
    """What `work` brings; None when a stop signal, a store that is out or anything else that has a
    name ended it early, which the log says. The next run makes up for it. `alive` is called every
    second while it goes on.
    """
    if stop.is_set():
        work.close()
        log.info("run.step_left_out", step=name, error="the run was stopped")
        return None
    log.info("run.last_step", step=name)
    working = asyncio.create_task(work, name=name)
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        while not (working.done() or stopping.done()):
            await alive()
            await asyncio.wait(
                {working, stopping}, timeout=_PING_S, return_when=asyncio.FIRST_COMPLETED
            )
    finally:
        stopping.cancel()
        working.cancel()
    try:
        return await working
    except asyncio.CancelledError:
        log.info("run.step_left_out", step=name, error="the run was stopped")
    except errors.BackfillError as error:
        log.warning("run.step_left_out", step=name, error=str(error))
    return None
