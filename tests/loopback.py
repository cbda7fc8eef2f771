"""An aiohttp application on a free port of this machine, beside the test that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from tests import harness


@contextlib.contextmanager
def serving(app: web.Application, **runner_options: Any) -> Iterator[int]:
    """The port. Raises AssertionError when it does not start."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    runner = web.AppRunner(app, access_log=None, **runner_options)

    async def serve() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        assert ready.wait(harness.START_S), "the server of the test did not start"
        yield runner.addresses[0][1]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
