"""The one writer: commit, then record.

A cut goes to the store table by table. Only when every insert is acknowledged does the ledger move,
and only when the ledger is on disk does the queue hear that a unit is finished. A crash between any
two of these steps means the same rows are sent again, and the store adds none of them twice.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from polybackfill import clocks, errors, records, worker_progress
from polybackfill.daemon import batch as batches
from polybackfill.work import ledger as ledgers
from polybackfill.work import queue as queues
from polybackfill.work import transitions, units

log = structlog.get_logger()

# The landing tables: what is inserted there arrives in the tables people read, without repeats.
TRADES = "external_trades_landing"
ACTIVITY = "wallet_activity_landing"
QUARANTINE = "quarantine_landing"
POSITIONS = "api_positions_landing"
_TABLE_OF: dict[type[records.Row], str] = {
    records.Trade: TRADES,
    records.Activity: ACTIVITY,
    records.Rejected: QUARANTINE,
    records.Market: "api_market_rows",
    records.Event: "api_event_rows",
    records.Position: POSITIONS,
    records.PositionsEnd: POSITIONS,
    records.Resolution: "api_resolution_rows",
    records.UserStats: "api_user_stat_rows",
}
TABLES = tuple(dict.fromkeys(_TABLE_OF.values()))
_RETRY_CAP_S = 10.0
_REASON_CHARS = 200


def table_of(rows: Sequence[records.Row]) -> str:
    """Where rows of one type are inserted."""
    return _TABLE_OF[type(rows[0])]


class Sink(Protocol):
    """What the writer needs of a store."""

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """Return once every row is in the store for good; errors.Retry or errors.Stop otherwise."""


class Tally:
    """The sink of a dry run: counts what would be stored and forgets it."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
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
        self.progress = worker_progress.Progress(clock)
        self.rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self.cuts = 0
        self.refused_rows = 0
        self._inserting_since: float | None = None
        self._watchers: list[Callable[[units.Unit, int], None]] = []

    def on_done(self, watcher: Callable[[units.Unit, int], None]) -> None:
        """Tell `watcher` of every unit that is done, and of how many pages it had, once the ledger
        is on disk.
        """
        self._watchers.append(watcher)

    async def run(self) -> None:
        """Work until the batch is closed and empty; raises errors.Stop when the store refuses."""
        while (cut := await self._next_cut()) is not None:
            for table in TABLES:
                if cut.rows(table):
                    await self._insert(table, cut.lines(table), cut.rows(table))
                if table == POSITIONS:
                    self.rows[table] -= cut.marks  # no rows to a person
            await self._record(cut)
            self.cuts += 1
            self.progress.mark("cut recorded")

    async def _next_cut(self) -> batches.Cut | None:
        with self.progress.waiting("rows"):
            return await self._batch.cut()

    @property
    def store_wait_s(self) -> float:
        """How long the insert under way has lasted, 0 when there is none."""
        if self._inserting_since is None:
            return 0.0
        return self._clock.monotonic() - self._inserting_since

    async def _insert(self, table: str, lines: Sequence[bytes], rows: int) -> None:
        self._inserting_since = self._clock.monotonic()
        try:
            # An insert may last as long as the store is away, which is nobody's stall.
            with self.progress.waiting("store"):
                await self._insert_patiently(table, lines, rows)
            self.rows[table] += rows
        except errors.GiveUp as error:
            await self._insert_apart(table, lines, error)
        finally:
            self._inserting_since = None

    async def _insert_patiently(self, table: str, lines: Sequence[bytes], rows: int) -> None:
        """Until the store acknowledges; that it may be away all night is bounded by the run."""
        for attempt in itertools.count(1):
            try:
                await self._sink.insert(table, lines, rows=rows)
            except errors.Retry as error:
                log.warning(
                    "store.retry", table=table, rows=rows, attempt=attempt, error=str(error)
                )
                wait_s = self._rng.uniform(0.1, min(_RETRY_CAP_S, 0.2 * 2 ** min(attempt, 10)))
                await self._clock.sleep(error.after_s or wait_s)
            else:
                return

    async def _insert_apart(
        self, table: str, lines: Sequence[bytes], refusal: errors.GiveUp
    ) -> None:
        """A row the store will never take must not hold up the others: halve until it is alone."""
        whole = b"".join(lines).splitlines(keepends=True)
        if len(whole) > 1:
            middle = len(whole) // 2
            for half in (whole[:middle], whole[middle:]):
                await self._insert(table, half, len(half))
            return
        if table == QUARANTINE:
            raise refusal
        log.error("store.row_refused", table=table, error=str(refusal))
        rejected = records.reject(
            reason=f"refused by the store: {str(refusal)[:_REASON_CHARS]}",
            request=f"INSERT INTO {table}",
            raw=whole[0].decode(errors="replace"),
            unit="",
            rejected_at=int(self._clock.now()),
        )
        await self._insert(QUARANTINE, [records.encode_lines([rejected])], 1)
        self.refused_rows += 1

    async def _record(self, cut: batches.Cut) -> None:
        # From here on a crash repeats nothing: the store would add none of these rows again.
        ended: list[tuple[queues.Lease, int]] = []
        for parcel in cut.parcels:
            pages = self._ledger.pages(parcel.lease.unit)
            if self._enter(parcel) and parcel.last:
                ended.append((parcel.lease, pages + 1))
        await self._ledger.sync()
        for lease, pages in ended:
            log.info("unit.done", unit=lease.unit.id, attempt=lease.attempt)
            self._queues[lease.unit.kind].finish(lease)
            for watcher in self._watchers:
                watcher(lease.unit, pages)

    def _enter(self, parcel: batches.Parcel) -> bool:
        """Move the ledger; False when the lease is no longer the unit's."""
        step = transitions.Counts(
            rows=parcel.row_count - parcel.rows.get(QUARANTINE, 0) - parcel.marks,
            pages=1,
            rejected=parcel.set_aside,
            first_second=parcel.first_second,
            last_second=parcel.last_second,
        )
        unit_id, attempt = parcel.lease.unit.id, parcel.lease.attempt
        if parcel.restarted:
            self._ledger.restart(unit_id, attempt)
        if parcel.last:
            return self._ledger.finish(unit_id, attempt, step, parcel.end)
        resume = msgspec.to_builtins(parcel.resume)
        return self._ledger.advance(unit_id, attempt, resume, step)
