"""Clocks in the hands of a test, and an event loop whose time passes without anybody waiting."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from polybackfill import clocks


class VirtualClock(clocks.Clock):
    """Time that passes only when a test says so; a sleep ends when its time has come."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return 1_790_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, future))
        await future

    def pass_by(self, seconds: float) -> None:
        self.time += seconds
        for due, future in self._sleepers:
            if due <= self.time and not future.done():
                future.set_result(None)
        self._sleepers = [one for one in self._sleepers if not one[1].done()]


class StoppedClock(clocks.Clock):
    """For what must never wait: no time passes, and a sleep is an error."""

    def __init__(self, now: float = 1_790_700_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"asked to sleep for {seconds} s")


class LoopClock(clocks.Clock):
    """The time of the running loop, which may be a VirtualLoop."""

    def now(self) -> float:
        return 1_790_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer: minutes take a fraction of a second, whatever the machine
    is busy with. While a thread works for it, its time stands still.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0
        selector = _Skipping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def stall(self, seconds: float) -> None:
        """The machine was busy elsewhere; nothing ran."""
        self.now += seconds

    def run_in_executor(self, *call: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(*call)
        self.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, *limits: Any) -> None:
        self.threads += 1  # it waits for one that joins the others
        try:
            await super().shutdown_default_executor(*limits)
        finally:
            self.threads -= 1

    def _thread_ended(self, _future: asyncio.Future[Any]) -> None:
        self.threads -= 1


class _Skipping(selectors.DefaultSelector):
    """Instead of waiting for the next timer, the loop's clock jumps there."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if self.loop.threads and timeout != 0:
            return super().select(None)  # a thread that ends wakes the loop
        if timeout is None:
            raise RuntimeError("nothing left that could ever happen")
        self.loop.now += max(timeout, 0.0) + 1e-7
        return super().select(0)


def run_virtual(main: Coroutine[Any, Any, Any]) -> Any:
    """What `main` returns, run in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
