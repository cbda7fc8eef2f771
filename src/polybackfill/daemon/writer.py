"""The one writer: commit, then record.

A cut goes to the store table by table. Only when every insert is acknowledged does the ledger move,
and only when the ledger is on disk does the queue hear that a unit is finished. A crash between any
two of these steps means the same rows are sent again, and the store adds none of them twice.
"""

from __future__ import annotations

import random
from typing import Protocol

import msgspec
import structlog

from polybackfill import clock as clocks
from polybackfill import errors
from polybackfill import progress as marks
from polybackfill.daemon import batch as batches
from polybackfill.work import ledger as ledgers
from polybackfill.work import queue as queues
from polybackfill.work import transitions

log = structlog.get_logger()

# The landing tables: what is inserted there arrives in the tables people read, without repeats.
TRADES = "external_trades_landing"
ACTIVITY = "wallet_activity_landing"
QUARANTINE = "quarantine_landing"
TABLES = (TRADES, ACTIVITY, QUARANTINE)
_RETRY_CAP_S = 10.0


class Sink(Protocol):
    """What the writer needs of a store."""

    async def insert(self, table: str, lines: bytes, *, rows: int) -> None:
        """Return once every row is in the store for good; errors.Retry or errors.Stop otherwise."""


class Tally:
    """The sink of a dry run: counts what would be stored and forgets it."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    async def insert(self, table: str, lines: bytes, *, rows: int) -> None:
        """Count the rows; `lines` go nowhere."""
        del lines
        self.rows[table] = self.rows.get(table, 0) + rows


class Writer:
    """Takes cuts from the batch to the store, and what was acknowledged to the ledger."""

    def __init__(
        self,
        *,
        batch: batches.Batch,
        sink: Sink,
        ledger: ledgers.Ledger,
        queues_by_kind: dict[str, queues.Queue],
        clock: clocks.Clock,
        rng: random.Random,
    ) -> None:
        self._batch = batch
        self._sink = sink
        self._ledger = ledger
        self._queues = queues_by_kind
        self._clock = clock
        self._rng = rng
        self.progress = marks.Progress(clock)
        self.rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self.cuts = 0

    async def run(self) -> None:
        """Work until the batch is closed and empty; raises errors.Stop when the store refuses."""
        while (cut := await self._next_cut()) is not None:
            for table in TABLES:
                await self._insert(table, cut)
            await self._record(cut)
            self.cuts += 1
            self.progress.mark("cut recorded")

    async def _next_cut(self) -> batches.Cut | None:
        with self.progress.waiting("rows"):
            return await self._batch.cut()

    async def _insert(self, table: str, cut: batches.Cut) -> None:
        rows = cut.rows(table)
        if not rows:
            return
        lines = cut.lines(table)
        for attempt in range(
            1, 1_000_000
        ):  # the store may be away all night; the run's own bound ends it
            try:
                await self._sink.insert(table, lines, rows=rows)
            except errors.Retry as error:
                wait_s = self._rng.uniform(0.1, min(_RETRY_CAP_S, 0.2 * 2 ** min(attempt, 10)))
                log.warning(
                    "store.retry", table=table, rows=rows, attempt=attempt, error=str(error)
                )
                with self.progress.waiting("store"):
                    await self._clock.sleep(error.after_s or wait_s)
            else:
                self.rows[table] += rows
                return

    async def _record(self, cut: batches.Cut) -> None:
        # From here on a crash repeats nothing: the store would add none of these rows again.
        ended = [parcel.lease for parcel in cut.parcels if self._enter(parcel) and parcel.last]
        await self._ledger.sync()
        for lease in ended:
            log.info("unit.done", unit=lease.unit.id, attempt=lease.attempt)
            self._queues[lease.unit.kind].finish(lease)

    def _enter(self, parcel: batches.Parcel) -> bool:
        """Move the ledger; False when the lease is no longer the unit's."""
        step = transitions.Counts(
            rows=parcel.row_count - parcel.rows.get(QUARANTINE, 0),
            pages=1,
            rejected=parcel.rows.get(QUARANTINE, 0),
            first_second=parcel.first_second,
            last_second=parcel.last_second,
        )
        unit_id, attempt = parcel.lease.unit.id, parcel.lease.attempt
        if parcel.last:
            return self._ledger.finish(unit_id, attempt, step)
        resume = msgspec.to_builtins(parcel.resume)
        return self._ledger.advance(unit_id, attempt, resume, step)
