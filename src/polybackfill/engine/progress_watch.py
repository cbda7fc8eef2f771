"""Whether a run gets anywhere: pages, acknowledged inserts and units given up are progress."""

from __future__ import annotations

from collections.abc import Callable, Collection

from polybackfill import clocks, errors
from polybackfill.engine import store_writer, worker_pool

_STANDS_S = 1.0  # a run that moved within this time moves


class ProgressWatch:
    """Looks at the pools and the writer of one run, as often as `check` is called.

    `outage` names what of the API is out, None while it answers; `paused`, what a person has
    paused: nothing else under way, the run may wait for that for ever. `no_progress_s`: the bound.
    For views: `stalled_s` seconds without progress, `waiting_for`: what, outside, if anything.
    """

    def __init__(
        self,
        pools: Collection[worker_pool.WorkerPool],
        writer: store_writer.StoreWriter,
        *,
        outage: Callable[[], str | None],
        paused: Callable[[], str | None] = lambda: None,
        no_progress_s: float,
        clock: clocks.Clock,
    ) -> None:
        self._pools = pools
        self._writer = writer
        self._outage = outage
        self._paused = paused
        self._no_progress_s = no_progress_s
        self._clock = clock
        self._progressed_at = clock.monotonic()
        self._mark = (-1, -1, -1)
        self.stalled_s = 0.0
        self.waiting_for: str | None = None

    @property
    def moves(self) -> bool:
        """Whether it got anywhere, or waited for something outside, within half of the bound."""
        return self.stalled_s < self._no_progress_s / 2 or self.waiting_for is not None

    def check(self) -> bool:
        """Whether a mark moved or a wait is declared; raises errors.Stop beyond the bound."""
        pages = sum(pool.marks for pool in self._pools)
        given_up = sum(pool.queue.stats()["error"] for pool in self._pools)
        mark = (self._writer.inserts, pages, given_up)
        now = self._clock.monotonic()
        if mark != self._mark:
            self._mark, self._progressed_at = mark, now
        self.waiting_for = self._outside_wait()
        if (paused := self._paused()) and all(pool.idle for pool in self._pools):
            self._progressed_at, self.waiting_for = now, paused
        self.stalled_s = now - self._progressed_at
        if self.stalled_s > self._no_progress_s:
            raise self._stop()
        return self.stalled_s < _STANDS_S or self.waiting_for is not None

    def _stop(self) -> errors.Stop:
        waiting = self.waiting_for
        reason = f" (waiting for {waiting})" if waiting else ""
        return errors.Stop(
            f"no progress for {self.stalled_s:.0f} s{reason}; what was stored is recorded: start "
            "again to continue",
            exit_code=errors.EXIT_UNAVAILABLE if waiting else errors.EXIT_NO_PROGRESS,
        )

    def _outside_wait(self) -> str | None:
        if self._writer.progress.wait_reason == "store":
            return "the store"
        if (route := self._outage()) is not None:
            return f"{route}, which does not answer"
        waits = [reason for pool in self._pools for reason in pool.waits()]
        return waits[0] if waits else None
