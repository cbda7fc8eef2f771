"""The stack of a stalled worker reaches down to the await that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from polybackfill.engine import await_stack


async def test_every_frame_down_to_the_hanging_await_is_named() -> None:
    async def the_one_that_hangs() -> None:
        await asyncio.Event().wait()

    async def pages() -> AsyncIterator[int]:
        await the_one_that_hangs()
        yield 1

    async def worker() -> None:
        async for _ in pages():
            raise AssertionError

    task = asyncio.create_task(worker())
    await asyncio.sleep(0)
    stack = await_stack.format_stack(task)
    task.cancel()
    order = [stack.index(name) for name in ("worker", "pages", "the_one_that_hangs", "Event.wait")]
    assert order == sorted(order)
