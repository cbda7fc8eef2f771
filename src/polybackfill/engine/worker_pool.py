"""The workers of one part: as many as its budget needs, the stalled ones replaced.

A worker is judged by its progress marks alone. One that declared a wait (for a token, a back-off,
the store) is left alone however long it takes; one without a mark for the stall bound is cancelled,
its stack written down, its lease expired, and another takes its place.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from polybackfill import clocks, units, worker_progress
from polybackfill.engine import await_stack, unit_queue
from polybackfill.polymarket import endpoints

log = structlog.get_logger()

CHECK_S = 0.25  # how often the pool looks at its workers; a stall is noticed this much late at most
CANCEL_WAIT_S = 2.0  # a cancelled worker ends at once; one that does not is a fault of ours
_MAX_WORKERS = 64
_FASTEST_PER_S = 100.0  # pages one process can take in; a sandbox may have no other limit
_FIRST_LATENCY_S = 0.8  # a page took 0.5 to 0.8 s in 2026; corrected as soon as one is seen
SPAWNED_AT_ONCE = 8  # every CHECK_S, so that 32 more requests a second begin: above every budget


class Runner(Protocol):
    """What the workers of a pool do."""

    async def run_unit(self, lease: unit_queue.Lease, progress: worker_progress.Progress) -> None:
        """Work on a unit to its end, or give it back; raises errors.Stop to end the run."""

    def is_outage(self, lease: unit_queue.Lease) -> bool:
        """Whether the host is at fault that the lease's unit gets nowhere."""


@dataclass
class Worker:
    """One worker: its task, what it shows, and the unit it holds."""

    number: int
    progress: worker_progress.Progress
    task: asyncio.Task[None] | None = None
    lease: unit_queue.Lease | None = None
    leaving: bool = False


def size_for(budget: endpoints.Budget, share: float, latency_s: float | None) -> int:
    """Workers that spend a share of a budget at this latency (None: not seen yet), and half as
    many again.
    """
    rate = min(budget.requests * share / budget.window_s, _FASTEST_PER_S)
    return min(_MAX_WORKERS, math.ceil(rate * (latency_s or _FIRST_LATENCY_S) * 1.5) + 2)


class WorkerPool:
    """N workers over one queue."""

    def __init__(
        self,
        kind: str,
        *,
        queue: unit_queue.Queue,
        runner: Runner,
        size: Callable[[], int],
        stall_s: float,
        clock: clocks.Clock,
    ) -> None:
        self.kind = kind
        self.queue = queue
        self._runner = runner
        self._size = size
        self._stall_s = stall_s
        self._clock = clock
        self._workers: list[Worker] = []
        self._cancelled: set[asyncio.Task[None]] = set()
        self._spawned = 0
        self._marks_of_gone = 0
        self._stopping = False
        self.stalls = 0

    async def run(self) -> None:
        """Work until the queue has nothing left; raises errors.Stop from a worker."""
        try:
            while True:
                self._collect()
                if not self._workers and (self._stopping or self.queue.drained):
                    return
                self._spawn()
                self._replace_stalled()
                await self._clock.sleep(min(CHECK_S, self._stall_s / 4))
        finally:
            await self._cancel_all()

    def stop(self) -> None:
        """Hire nobody any more; `run` returns when the last worker is through."""
        self._stopping = True
        self.queue.stop()

    def release_waiting(self) -> None:
        """Cancel the workers in a declared wait: on a stop nobody sits out a back-off."""
        for worker in self._workers:
            if worker.progress.wait_reason is not None and worker.task is not None:
                worker.task.cancel("stop")

    @property
    def idle(self) -> bool:
        """Nobody holds a unit."""
        return all(worker.lease is None for worker in self._workers)

    @property
    def marks(self) -> int:
        """Marks of all workers there ever were: grows with every page, and with nothing else."""
        return self._marks_of_gone + sum(worker.progress.marks for worker in self._workers)

    def waits(self) -> list[str]:
        """The declared waits of those who hold a unit."""
        holding = [worker.progress for worker in self._workers if worker.lease is not None]
        return [progress.wait_reason for progress in holding if progress.wait_reason is not None]

    def stats(self) -> dict[str, object]:
        """Workers, how many hold a unit, what they wait for, the longest idle time in seconds."""
        waits: dict[str, int] = {}
        for worker in self._workers:
            reason = worker.progress.wait_reason or "working"
            waits[reason] = waits.get(reason, 0) + 1
        return {
            "workers": len(self._workers),
            "busy": sum(worker.lease is not None for worker in self._workers),
            "waits": waits,
            "longest_idle_s": round(
                max((w.progress.idle_s() for w in self._workers), default=0), 1
            ),
            "stalls": self.stalls,
        }

    def describe_workers(self, count_pages: Callable[[units.Unit], int]) -> list[dict[str, object]]:
        """Those who hold a unit: what they do, the declared wait, seconds since the last mark.
        `count_pages`: of a unit, whose rows are stored.
        """
        return [
            {
                "worker": f"{self.kind}-{worker.number}",
                "unit": worker.lease.unit.id,
                "doing": worker.progress.doing,
                "wait": worker.progress.wait_reason,
                "pages": count_pages(worker.lease.unit),
                "idle_s": round(worker.progress.idle_s(), 1),
            }
            for worker in self._workers
            if worker.lease is not None
        ]

    def _spawn(self) -> None:
        # A few at a time: the first answers tell how many are needed.
        for _ in range(SPAWNED_AT_ONCE):
            if len(self._workers) >= self._size() or self._stopping or self.queue.drained:
                return
            self._spawned += 1
            worker = Worker(self._spawned, worker_progress.Progress(self._clock))
            name = f"{self.kind}-{worker.number}"
            worker.task = asyncio.create_task(self._loop(worker), name=name)
            self._workers.append(worker)

    async def _loop(self, worker: Worker) -> None:
        name = f"{self.kind}-{worker.number}"
        while self._is_needed(worker):
            with worker.progress.waiting("queue"):
                worker.lease = await self.queue.lease_next(name)
            if worker.lease is None:
                return
            worker.progress.begin("unit taken")
            try:
                await self._runner.run_unit(worker.lease, worker.progress)
            except asyncio.CancelledError:
                self.queue.give_back(worker.lease, count_attempt=False)
                raise
            finally:
                worker.lease = None

    def _is_needed(self, worker: Worker) -> bool:
        """One too many leaves; its task is collected later, so it is marked as gone at once."""
        worker.leaving = sum(not other.leaving for other in self._workers) > self._size()
        return not worker.leaving

    def _collect(self) -> None:
        for worker in list(self._workers):
            if worker.task is not None and worker.task.done():
                self._remove(worker)
                if not worker.task.cancelled():
                    worker.task.result()  # a Stop, or a fault of ours, ends the run loudly

    def _replace_stalled(self) -> None:
        for worker in list(self._workers):
            if worker.progress.idle_s() <= self._stall_s or worker.task is None:
                continue
            self.stalls += 1
            log.error(
                "worker.stalled",
                worker=f"{self.kind}-{worker.number}",
                unit=worker.lease.unit.id if worker.lease else None,
                doing=worker.progress.doing,
                idle_s=round(worker.progress.idle_s(), 1),
                stack=await_stack.format_stack(worker.task),
            )
            if worker.lease is not None:
                # Expired first: what the cancelled task still does to its lease is refused.
                outage = self._runner.is_outage(worker.lease)
                self.queue.expire(worker.lease, count_attempt=not outage)
            self._cancel(worker.task)
            self._remove(worker)

    def _remove(self, worker: Worker) -> None:
        self._marks_of_gone += worker.progress.marks
        self._workers.remove(worker)

    def _cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel("stalled")
        self._cancelled.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._cancelled.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("worker.ended_badly", worker=task.get_name(), error=repr(error))

    async def _cancel_all(self) -> None:
        """Cancel everybody and wait for their end, but not for ever for one that does not."""
        for worker in self._workers:
            if worker.task is not None:
                self._cancel(worker.task)
        if not self._cancelled:
            return
        _, stuck = await asyncio.wait(set(self._cancelled), timeout=CANCEL_WAIT_S)
        for task in stuck:
            log.error(
                "worker.does_not_end", worker=task.get_name(), stack=await_stack.format_stack(task)
            )
