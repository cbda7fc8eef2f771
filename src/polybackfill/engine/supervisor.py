"""The life of a run: start the worker pools and the writer, watch that anything moves, drain, stop.

If any of its tasks dies the run ends loudly; there is no run without a writer or without upkeep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from polybackfill import clocks, errors
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import (
    grace_period,
    progress_watch,
    store_writer,
    systemd_notify,
    worker_pool,
)

log = structlog.get_logger()

TICK_S = 0.25
_RELEASE_S = 0.05


@dataclass(frozen=True)
class Bounds:
    """How long what may take, in seconds.

    `no_progress_s`: nothing at all moved; `grace_s`: from the stop signal to the end of the run;
    `plan_refresh_s`: how old the statuses in the plan tables may get.
    """

    no_progress_s: float
    grace_s: float
    plan_refresh_s: float


@dataclass(frozen=True)
class PeriodicTask:
    """Something done again and again beside the work. It must not outlast its period by much."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[None]]


class Supervisor:
    """Owns the tasks of a run. `outage` names what of the API is out, None while it answers;
    `paused`: what a person has paused, None for nothing.

    For views: `progress`, and the `state`: starting, running, draining, then stopped or failed, or
    finishing until `finished`.
    """

    def __init__(
        self,
        *,
        pools_by_kind: dict[str, worker_pool.WorkerPool],
        buffer: store_writer.WriteBuffer,
        writer: store_writer.StoreWriter,
        checkpoint: run_checkpoint.Checkpoint,
        sync_plan: Callable[[], Awaitable[None]],
        outage: Callable[[], str | None],
        paused: Callable[[], str | None] = lambda: None,
        notifier: systemd_notify.Notifier,
        stop: asyncio.Event,
        bounds: Bounds,
        clock: clocks.Clock,
    ) -> None:
        self._pools = pools_by_kind
        self._buffer = buffer
        self._writer = writer
        self._checkpoint = checkpoint
        self._sync_plan = sync_plan
        self._periodic = [PeriodicTask("plan", bounds.plan_refresh_s, sync_plan)]
        self._notifier = notifier
        self._stop = stop
        self._bounds = bounds
        self._clock = clock
        self.state = "starting"
        self.progress = progress_watch.ProgressWatch(
            pools_by_kind.values(),
            writer,
            outage=outage,
            paused=paused,
            no_progress_s=bounds.no_progress_s,
            clock=clock,
        )

    def add_periodic(self, task: PeriodicTask) -> None:
        """One more thing to repeat; before `run` only."""
        self._periodic.append(task)

    async def run(self) -> int:
        """Run until everything asked is done or the stop event is set; returns the exit code.

        Raises errors.Stop: store or disk refuses, or nothing moved for the bound.
        """
        writing = asyncio.create_task(self._writer.run(), name="writer")
        working = asyncio.create_task(self._work(), name="workers")
        upkeep = asyncio.create_task(self._upkeep(), name="upkeep")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        tasks: list[asyncio.Task[Any]] = [writing, working, upkeep, stopping]
        self.state = "running"
        self._notifier.ready()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            _raise_failure(tasks)
            _raise_if_ended(writing, upkeep)
            if not self._stop.is_set():
                await self._buffer.close()  # rows of units that ended in error may still be there
                await asyncio.wait([writing, upkeep, stopping], return_when=asyncio.FIRST_COMPLETED)
                _raise_failure(tasks)
                _raise_if_ended(upkeep)
            if self._stop.is_set():
                await self._drain(writing, working)
            _raise_failure(tasks)
            return await self._finish()
        finally:
            if self.state not in {"finishing", "stopped"}:
                self.state = "failed"
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def finished(self) -> None:
        """The post-run steps are done too."""
        self.state = "finished"

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind, pool in self._pools.items():
                group.create_task(pool.run(), name=f"workers-{kind}")

    async def _drain(self, writing: asyncio.Task[None], working: asyncio.Task[None]) -> None:
        """Take no more units, end what is in flight, give back the rest: within the grace."""
        self.state = "draining"
        log.info("run.draining", grace_s=self._bounds.grace_s)
        self._notifier.stopping(self._bounds.grace_s)
        for pool in self._pools.values():
            pool.stop()
        deadline = self._clock.monotonic() + self._bounds.grace_s * grace_period.WORKERS_SHARE
        while not working.done() and self._clock.monotonic() < deadline:
            for pool in self._pools.values():
                pool.release_waiting()
            await self._clock.sleep(_RELEASE_S)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await self._buffer.close()
        # A store that is away cannot take the last rows; they are not in the checkpoint either and
        # are fetched again by the next run.
        await asyncio.wait([writing], timeout=self._bounds.grace_s * grace_period.ROWS_SHARE)
        if not writing.done():
            log.warning("run.rows_left_behind", **self._buffer.stats())
            writing.cancel()
            await asyncio.wait([writing])

    async def _finish(self) -> int:
        await self._checkpoint.sync()
        await self._last_plan_sync()
        stopped = self._stop.is_set()
        self.state = "stopped" if stopped else "finishing"
        counts = [pool.queue.stats() for pool in self._pools.values()]
        in_error = sum(count["error"] + count["skipped_error"] for count in counts)
        return errors.EXIT_UNITS_IN_ERROR if in_error and not stopped else errors.EXIT_OK

    async def _last_plan_sync(self) -> None:
        """Receipts and plan tables follow the checkpoint; what is missed is made up at the next
        start. Whoever stops has little time for it, and a run that has ended has enough.
        """
        syncing = asyncio.ensure_future(self._sync_plan())
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait(
                {syncing, stopping},
                timeout=self._bounds.no_progress_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if stopping.done():
                share_s = self._bounds.grace_s * grace_period.PLAN_SHARE
                await asyncio.wait({syncing}, timeout=share_s)
            if syncing.done():
                await syncing
            else:
                log.warning("plan.not_synced", error="timeout")
        except errors.Retry as error:
            log.warning("plan.not_synced", error=str(error))
        finally:
            syncing.cancel()
            stopping.cancel()
            await asyncio.gather(syncing, stopping, return_exceptions=True)

    async def _upkeep(self) -> None:
        async with asyncio.TaskGroup() as group:
            for task in self._periodic:
                group.create_task(self._repeat(task), name=f"duty-{task.name}")
            group.create_task(self._watch(), name="watch")

    async def _repeat(self, task: PeriodicTask) -> None:
        while True:
            await self._clock.sleep(task.every_s)
            try:
                await task.run()
            except errors.Retry as error:
                log.warning("duty.retry", duty=task.name, error=str(error))

    async def _watch(self) -> None:
        ping_every_s = (self._notifier.watchdog_s or 0) / 3
        pinged_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(TICK_S)
            if self._nothing_left_to_take():
                await self._buffer.flush_soon()
            moving = self.progress.check()
            now = self._clock.monotonic()
            if ping_every_s and moving and now - pinged_at >= ping_every_s:
                self._notifier.alive()
                pinged_at = now

    def _nothing_left_to_take(self) -> bool:
        return all(pool.idle for pool in self._pools.values())


def _raise_failure(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise _cause(error)


def _raise_if_ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        if task.done():
            raise errors.Stop(
                f"the task {task.get_name()} ended by itself; this is a fault of the program",
                exit_code=errors.EXIT_NO_PROGRESS,
            )


def _cause(error: BaseException) -> BaseException:
    """Of several failures at once the one that says what to do: a Stop before all others."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    stops = error.subgroup(errors.Stop)
    return _cause((stops or error).exceptions[0])
