"""Rows on their way to the store: cut by rows, bytes and age, bounded in memory.

Workers `add` the rows of one page at a time; the one writer takes `next_insert`s. Pages leave in
the order they came, so that the pages of a unit are acknowledged in the order of its walk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from polybackfill import clocks, units, worker_progress
from polybackfill.engine import unit_queue
from polybackfill.polymarket import pagination


@dataclass(frozen=True)
class PageBatch:
    """What the store must hold before the ledger may move: the rows of one page, encoded.

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
    """Parcels that go to the store together, in the order they were added."""

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

    async def next_insert(self) -> InsertBatch | None:
        """The next pages for the store, recorded by the time the writer asks for more.

        None once the buffer is closed and empty.
        """
        async with self._changed:
            self._bytes_being_inserted = 0
            self._changed.notify_all()
            while not self._due():
                if self._closed and not self._pages:
                    return None
                await self._wait_for_change()
            return self._cut_insert()

    async def flush_soon(self) -> None:
        """Nobody is fetching: what is held need not wait for more."""
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

    async def _wait_for_change(self) -> None:
        # An empty buffer waits for a page; a young one no longer than until its oldest row is due.
        timeout_s = max(0.0, self._age_left_s()) if self._pages else None
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
        self._bytes_being_inserted = size
        self._changed.notify_all()
        return insert
