"""The one writer: commit, then record.

An insert batch goes to the store table by table. Only when every insert is acknowledged does the
ledger move, and only when the ledger is on disk does the queue hear that a unit is finished. A
crash between any two of these steps means the same rows are sent again, and the store adds none of
them twice.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from polybackfill import clocks, errors, records, units, worker_progress
from polybackfill.checkpoint import ledgers
from polybackfill.engine import unit_queue, write_buffer
from polybackfill.kinds import registry

log = structlog.get_logger()

QUARANTINE = "quarantine_landing"
_TABLE_OF: dict[type[records.Row], str] = {
    records.Rejected: QUARANTINE,
    **{row: table.inserted for table in registry.TABLES for row in table.rows},
}
TABLES = tuple(dict.fromkeys(_TABLE_OF.values()))
_MARKED = frozenset(table for row, table in _TABLE_OF.items() if issubclass(row, records.Mark))
_RETRY_CAP_S = 10.0
_REASON_CHARS = 200


def find_table(rows: Sequence[records.Row]) -> str:
    """Where rows of one type are inserted."""
    return _TABLE_OF[type(rows[0])]


class Sink(Protocol):
    """What the writer needs of a store."""

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """Return once every row is in the store for good; errors.Retry or errors.Stop otherwise."""


class DryRunSink:
    """The sink of a dry run: counts what would be stored and forgets it."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """Count the rows; `lines` go nowhere."""
        del lines
        self.rows[table] = self.rows.get(table, 0) + rows


class StoreWriter:
    """Takes insert batches to the store, and what was acknowledged to the ledger."""

    def __init__(
        self,
        *,
        buffer: write_buffer.WriteBuffer,
        sink: Sink,
        ledger: ledgers.Ledger,
        queues_by_kind: dict[str, unit_queue.Queue],
        clock: clocks.Clock,
        rng: random.Random,
    ) -> None:
        self._buffer = buffer
        self._sink = sink
        self._ledger = ledger
        self._queues = queues_by_kind
        self._clock = clock
        self._rng = rng
        self.progress = worker_progress.Progress(clock)
        self.rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self.inserts = 0
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
        while (insert := await self._next_insert()) is not None:
            for table in TABLES:
                if insert.rows(table):
                    await self._insert(table, insert.lines(table), insert.rows(table))
                if table in _MARKED:
                    self.rows[table] -= insert.marks(table)  # no rows to a person
            await self._record(insert)
            self.inserts += 1
            self.progress.mark("insert recorded")

    async def _next_insert(self) -> write_buffer.InsertBatch | None:
        with self.progress.waiting("rows"):
            return await self._buffer.next_insert()

    @property
    def row_count(self) -> int:
        """Rows stored so far."""
        return sum(self.rows.values())

    def stats(self) -> dict[str, Any]:
        """Rows by table, rows that the store refused, what waits in the buffer, and for how many
        seconds the insert under way has lasted.
        """
        return {
            "rows": dict(self.rows),
            "refused_rows": self.refused_rows,
            "batch": self._buffer.stats(),
            "store_wait_s": round(self.store_wait_s, 1),
        }

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
                await self._insert_with_retries(table, lines, rows)
            self.rows[table] += rows
        except errors.GiveUp as error:
            await self._insert_bisecting(table, lines, error)
        finally:
            self._inserting_since = None

    async def _insert_with_retries(self, table: str, lines: Sequence[bytes], rows: int) -> None:
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

    async def _insert_bisecting(
        self, table: str, lines: Sequence[bytes], refusal: errors.GiveUp
    ) -> None:
        """A row the store will never take must not hold up the others: halve until it is alone."""
        rows_left = b"".join(lines).splitlines(keepends=True)
        if len(rows_left) > 1:
            middle = len(rows_left) // 2
            for half in (rows_left[:middle], rows_left[middle:]):
                await self._insert(table, half, len(half))
            return
        if table == QUARANTINE:
            raise refusal
        log.error("store.row_refused", table=table, error=str(refusal))
        rejected = records.reject(
            reason=f"refused by the store: {str(refusal)[:_REASON_CHARS]}",
            request=f"INSERT INTO {table}",
            raw=rows_left[0].decode(errors="replace"),
            unit="",
            rejected_at=int(self._clock.now()),
        )
        await self._insert(QUARANTINE, [records.encode_lines([rejected])], 1)
        self.refused_rows += 1

    async def _record(self, insert: write_buffer.InsertBatch) -> None:
        # From here on a crash repeats nothing: the store would add none of these rows again.
        ended: list[tuple[unit_queue.Lease, int]] = []
        for page in insert.pages:
            pages = self._ledger.pages(page.lease.unit)
            if self._record_page(page) and page.last:
                ended.append((page.lease, pages + 1))
        await self._ledger.sync()
        for lease, pages in ended:
            log.info("unit.done", unit=lease.unit.id, attempt=lease.attempt)
            self._queues[lease.unit.kind].finish(lease)
            for watcher in self._watchers:
                watcher(lease.unit, pages)

    def _record_page(self, page: write_buffer.PageBatch) -> bool:
        """Move the ledger; False when the lease is no longer the unit's."""
        step = units.Counts(
            rows=page.row_count - page.rows.get(QUARANTINE, 0) - page.marks,
            pages=1,
            rejected=page.set_aside,
            first_second=page.first_second,
            last_second=page.last_second,
        )
        unit_id, attempt = page.lease.unit.id, page.lease.attempt
        if page.restarted:
            self._ledger.restart(unit_id, attempt)
        if page.last:
            return self._ledger.finish(unit_id, attempt, step, page.end)
        resume = msgspec.to_builtins(page.resume)
        return self._ledger.advance(unit_id, attempt, resume, step)
