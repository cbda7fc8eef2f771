"""One part of a run, put together: its units, its queue, its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from polybackfill.engine import plan_source, unit_queue, worker, worker_pool
from polybackfill.polymarket import endpoints


@dataclass(frozen=True)
class RunningPart:
    """One part of the run, where its units come from, and the route that paces it.

    `quarantined`: its rows in quarantine, of earlier runs too, when the store was last asked.
    """

    pool: worker_pool.WorkerPool
    queue: unit_queue.Queue
    runner: worker.UnitRunner
    source: plan_source.UnitSource
    route: endpoints.Route
    quarantined: Callable[[], int]

    @property
    def has_work(self) -> bool:
        """A unit is in hand or in line: the part does not wait for others to find something."""
        stats = self.queue.stats()
        return bool(stats["leased"] or stats["ready"] or stats["waiting"])

    @property
    def set_aside(self) -> int:
        """Rows that could not be read: the part is complete but for them."""
        return max(self.quarantined(), self.runner.counts.set_aside)
