"""From the workers to the store: a bounded buffer, and the one writer: commit, then record.

Workers `add` the rows of one page at a time to the buffer, which is cut by rows, bytes and age and
bounded in memory. Pages leave it in the order they came, so that the pages of a unit are
acknowledged in the order of its walk.

An insert batch goes to the store table by table. Only when every insert is acknowledged does the
checkpoint move, and only when it is on disk does the queue hear that a unit is finished. A crash
between any two of these steps means the same rows are sent again, and the store adds none of
them twice.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog

from polybackfill import clocks, errors, records, units, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import unit_queue
from polybackfill.kinds import registry
from polybackfill.polymarket import pagination

log = structlog.get_logger()

QUARANTINE = "quarantine_landing"
_TABLE_OF: dict[type[records.Row], str] = {
    records.Rejected: QUARANTINE,
    **{row: table.inserted for table in registry.TABLES for row in table.rows},
}
TABLES = tuple(dict.fromkeys(_TABLE_OF.values()))
_MARKED = frozenset(table for row, table in _TABLE_OF.items() if issubclass(row, records.Mark))
_RETRY_CAP_S = 10.0
_AGAIN_S = 5.0
_REASON_CHARS = 200


def find_table(rows: Sequence[records.Row]) -> str:
    """Where rows of one type are inserted."""
    return _TABLE_OF[type(rows[0])]


Lacks = Callable[[bytes], bool]
"""Whether a row of these lines is not stored yet."""


class Sink(Protocol):
    """What the writer needs of a store."""

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """Return once every row is in the store for good; errors.Retry or errors.Stop otherwise.

        errors.PartlyStored where some are, and the others may be later.
        """


class DryRunSink:
    """The sink of a dry run: counts what would be stored and forgets it."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """Count the rows; `lines` go nowhere."""
        del lines
        self.rows[table] = self.rows.get(table, 0) + rows


class ExclusiveSink:
    """A store that rows go to while `lock` is free: a step that must not meet an insert holds it,
    and waits for the one that is under way.
    """

    def __init__(self, sink: Sink, lock: asyncio.Lock) -> None:
        self._sink = sink
        self._lock = lock

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """As the store's own."""
        async with self._lock:
            await self._sink.insert(table, lines, rows=rows)


@dataclass(frozen=True)
class PageBatch:
    """What the store must hold before the checkpoint may move: the rows of one page, encoded.

    `lines`: table name → JSONEachRow bytes; `rows`: table name → number of rows.
    `resume`: where a restart goes on once these rows are acknowledged.
    `last`: the feed said it ended with this page; `end`: when, and what the source said of itself.
    `restarted`: the walk began anew with it.
    `marks`: how many of the rows are no data (`records.Mark`).
    `set_aside`: how many of the rows could not be read.
    """

    lease: unit_queue.Lease
    lines: dict[str, bytes]
    rows: dict[str, int]
    resume: pagination.Resume
    last: bool
    first_second: int | None = None
    last_second: int | None = None
    restarted: bool = False
    marks: int = 0
    set_aside: int = 0
    end: units.FeedEnd | None = None

    @property
    def bytes(self) -> int:
        """Bytes of all tables together."""
        return sum(map(len, self.lines.values()))

    @property
    def row_count(self) -> int:
        """Rows of all tables together."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class InsertBatch:
    """Pages that go to the store together, in the order they were added."""

    pages: list[PageBatch] = field(default_factory=list)

    def lines(self, table: str) -> list[bytes]:
        """All lines of one table, in pieces: they are megabytes, and nobody needs them in one."""
        return [page.lines[table] for page in self.pages if table in page.lines]

    def rows(self, table: str) -> int:
        """Number of rows of one table."""
        return sum(page.rows.get(table, 0) for page in self.pages)

    def marks(self, table: str) -> int:
        """How many rows of one table are no data; a page brings marks for one table."""
        return sum(page.marks for page in self.pages if table in page.rows)


class WriteBuffer:
    """The bounded buffer between the workers and the writer."""

    def __init__(
        self,
        *,
        cut_rows: int,
        cut_bytes: int,
        cut_age_s: float,
        buffer_bytes: int,
        clock: clocks.Clock,
    ) -> None:
        self._cut_rows = cut_rows
        self._cut_bytes = cut_bytes
        self._cut_age_s = cut_age_s
        self._buffer_bytes = buffer_bytes
        self._clock = clock
        self._pages: deque[tuple[float, PageBatch]] = deque()
        self._rows = 0
        self._bytes = 0
        self._bytes_being_inserted = 0
        self._closed = False
        self._flush_requested = False
        self._changed = asyncio.Condition()

    async def add(self, page: PageBatch, progress: worker_progress.Progress) -> None:
        """Hand a page over; waits, declared, while the store is behind."""
        async with self._changed:
            if not self._has_room():
                with progress.waiting("store"):
                    await self._changed.wait_for(self._has_room)
            self._pages.append((self._clock.monotonic(), page))
            self._rows += page.row_count
            self._bytes += page.bytes
            self._changed.notify_all()

    async def next_insert(
        self, *, waiting_bytes: int = 0, within_s: float | None = None
    ) -> InsertBatch | None:
        """The next pages for the store, recorded by the time the writer asks for more; no page when
        none are due `within_s`. None once the buffer is closed and empty.

        `waiting_bytes`: of earlier pages, which the writer has to insert again.
        """
        give_up_at = None if within_s is None else self._clock.monotonic() + within_s
        async with self._changed:
            self._bytes_being_inserted = waiting_bytes
            self._changed.notify_all()
            while not self._due():
                if self._closed and not self._pages:
                    return None
                left_s = None if give_up_at is None else give_up_at - self._clock.monotonic()
                if left_s is not None and left_s <= 0:
                    return InsertBatch()
                await self._wait_for_change(left_s)
            return self._cut_insert()

    async def flush_soon(self) -> None:
        """Nobody is fetching, or somebody waits for it: what is held need not wait for more."""
        async with self._changed:
            self._flush_requested = bool(self._pages)
            self._changed.notify_all()

    async def close(self) -> None:
        """No more pages will come: what is held goes out at once."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stats(self) -> dict[str, float]:
        """Rows and bytes held, and the age of the oldest page in seconds."""
        age_s = self._clock.monotonic() - self._pages[0][0] if self._pages else 0.0
        return {"rows": self._rows, "bytes": self._bytes, "age_s": round(age_s, 3)}

    def _has_room(self) -> bool:
        return self._bytes + self._bytes_being_inserted < self._buffer_bytes

    def _due(self) -> bool:
        if not self._pages:
            return False
        full = self._rows >= self._cut_rows or self._bytes >= self._cut_bytes
        full = full or not self._has_room()  # or nobody could ever fill the insert
        return full or self._closed or self._flush_requested or self._age_left_s() <= 0

    def _age_left_s(self) -> float:
        return self._pages[0][0] + self._cut_age_s - self._clock.monotonic()

    async def _wait_for_change(self, within_s: float | None) -> None:
        # An empty buffer waits for a page; a young one no longer than until its oldest row is due.
        timeout_s = max(0.0, self._age_left_s()) if self._pages else within_s
        if timeout_s is not None and within_s is not None:
            timeout_s = min(timeout_s, within_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _cut_insert(self) -> InsertBatch:
        insert = InsertBatch()
        self._flush_requested = False
        rows = size = 0
        while self._pages and (rows < self._cut_rows and size < self._cut_bytes):
            _, page = self._pages.popleft()
            insert.pages.append(page)
            rows += page.row_count
            size += page.bytes
        self._rows -= rows
        self._bytes -= size
        self._bytes_being_inserted += size
        self._changed.notify_all()
        return insert


class WaitingPages:
    """Pages with rows for a server of a cluster that is away, and all later pages of their units,
    since pages of a unit are recorded in order. They are inserted again every `_AGAIN_S`.
    """

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._pages: list[PageBatch] = []
        self._again_at = 0.0

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return sum(page.bytes for page in self._pages)

    @property
    def wait_s(self) -> float | None:
        """Until they are due; None when there are none."""
        return max(0.0, self._again_at - self._clock.monotonic()) if self._pages else None

    def join(self, fresh: Sequence[PageBatch]) -> InsertBatch:
        """What is to be inserted now: fresh pages with those that are due, or without those that
        have to wait.
        """
        if not self.wait_s:
            pages, self._pages = [*self._pages, *fresh], []
            return InsertBatch(pages)
        return InsertBatch(self._split(fresh, lambda _: False))

    def split(self, insert: InsertBatch, lacks: Mapping[str, Lacks]) -> InsertBatch:
        """The pages that are stored whole; the others are waiting. `lacks`: by table."""
        self._again_at = self._clock.monotonic() + _AGAIN_S
        return InsertBatch(
            self._split(
                insert.pages,
                lambda page: any(
                    table in page.lines and lines_lack(page.lines[table])
                    for table, lines_lack in lacks.items()
                ),
            )
        )

    def _split(
        self, pages: Sequence[PageBatch], must_wait: Callable[[PageBatch], bool]
    ) -> list[PageBatch]:
        free = []
        waiting_units = {page.lease.unit.id for page in self._pages}
        for page in pages:
            if page.lease.unit.id in waiting_units or must_wait(page):
                waiting_units.add(page.lease.unit.id)
                self._pages.append(page)
            else:
                free.append(page)
        return free


class StoreWriter:
    """Takes insert batches to the store, and what was acknowledged to the checkpoint."""

    def __init__(
        self,
        *,
        buffer: WriteBuffer,
        sink: Sink,
        checkpoint: run_checkpoint.Checkpoint,
        queues_by_kind: dict[str, unit_queue.Queue],
        clock: clocks.Clock,
        rng: random.Random,
    ) -> None:
        self._buffer = buffer
        self._sink = sink
        self._checkpoint = checkpoint
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
        """Tell `watcher` of every unit that is done, and of how many pages it had, once that is on
        disk.
        """
        self._watchers.append(watcher)

    async def run(self) -> None:
        """Work until the batch is closed and empty; raises errors.Stop when the store refuses."""
        waiting = WaitingPages(self._clock)
        while (insert := await self._next_insert(waiting)) is not None:
            lacks: dict[str, Lacks] = {}
            for table in TABLES:
                if insert.rows(table):
                    lacking = await self._insert(table, insert.lines(table), insert.rows(table))
                    lacks |= {table: lacking} if lacking else {}
            stored = waiting.split(insert, lacks) if lacks else insert
            if not stored.pages:
                continue
            for table in TABLES:  # marks are no rows to a person
                self.rows[table] += stored.rows(table)
                self.rows[table] -= stored.marks(table) if table in _MARKED else 0
            await self._record(stored)
            self.inserts += 1
            self.progress.mark("insert recorded")

    async def _next_insert(self, waiting: WaitingPages) -> InsertBatch | None:
        with self.progress.waiting("rows"):
            fresh = await self._buffer.next_insert(
                waiting_bytes=waiting.bytes, within_s=waiting.wait_s
            )
        if fresh is None and waiting.wait_s is not None:
            with self.progress.waiting("store"):
                await self._clock.sleep(waiting.wait_s)
            fresh = InsertBatch()
        return None if fresh is None else waiting.join(fresh.pages)

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

    async def _insert(
        self, table: str, lines: Sequence[bytes], rows: int, *, whole: bool = False
    ) -> Lacks | None:
        """Which lines are not stored yet; None when all are, as always with `whole`."""
        self._inserting_since = self._clock.monotonic()
        try:
            # An insert may last as long as the store is away, which is nobody's stall.
            with self.progress.waiting("store"):
                return await self._insert_with_retries(table, lines, rows, whole=whole)
        except errors.GiveUp as error:
            await self._insert_bisecting(table, lines, error)
        finally:
            self._inserting_since = None
        return None

    async def _insert_with_retries(
        self, table: str, lines: Sequence[bytes], rows: int, *, whole: bool
    ) -> Lacks | None:
        """Until the store acknowledges; that it may be away all night is bounded by the run."""
        for attempt in itertools.count(1):
            try:
                await self._sink.insert(table, lines, rows=rows)
            except errors.Retry as error:
                if isinstance(error, errors.PartlyStored) and not whole:
                    log.warning("store.partly_stored", table=table, error=str(error))
                    return error.lacks
                log.warning(
                    "store.retry", table=table, rows=rows, attempt=attempt, error=str(error)
                )
                wait_s = self._rng.uniform(0.1, min(_RETRY_CAP_S, 0.2 * 2 ** min(attempt, 10)))
                await self._clock.sleep(error.after_s or wait_s)
            else:
                break
        return None

    async def _insert_bisecting(
        self, table: str, lines: Sequence[bytes], refusal: errors.GiveUp
    ) -> None:
        """A row the store will never take must not hold up the others: halve until it is alone."""
        rows_left = b"".join(lines).splitlines(keepends=True)
        if len(rows_left) > 1:
            middle = len(rows_left) // 2
            for half in (rows_left[:middle], rows_left[middle:]):
                await self._insert(table, half, len(half), whole=True)
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
        self.rows[table] -= 1
        self.rows[QUARANTINE] += 1

    async def _record(self, insert: InsertBatch) -> None:
        # From here on a crash repeats nothing: the store would add none of these rows again.
        ended: list[tuple[unit_queue.Lease, int]] = []
        for page in insert.pages:
            pages = self._checkpoint.pages(page.lease.unit)
            if self._record_page(page) and page.last:
                ended.append((page.lease, pages + 1))
        await self._checkpoint.sync()
        for kind in {page.lease.unit.kind for page in insert.pages if page.rows}:
            self._queues[kind].note_rows()
        for lease, pages in ended:
            log.info("unit.done", unit=lease.unit.id, attempt=lease.attempt)
            self._queues[lease.unit.kind].finish(lease)
            for watcher in self._watchers:
                watcher(lease.unit, pages)

    def _record_page(self, page: PageBatch) -> bool:
        """Move the checkpoint; False when the lease is no longer the unit's."""
        step = units.Counts(
            rows=page.row_count - page.rows.get(QUARANTINE, 0) - page.marks,
            pages=1,
            rejected=page.set_aside,
            first_second=page.first_second,
            last_second=page.last_second,
        )
        unit_id, attempt = page.lease.unit.id, page.lease.attempt
        if page.restarted:
            self._checkpoint.restart(unit_id, attempt)
        if page.last:
            return self._checkpoint.finish(unit_id, attempt, step, page.end)
        resume = msgspec.to_builtins(page.resume)
        return self._checkpoint.advance(unit_id, attempt, resume, step)
