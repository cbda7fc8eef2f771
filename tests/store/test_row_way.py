"""A row's way, from the bytes of a response to the checkpoint, as docs/design.md describes it.

One real page is followed, from the sandbox into a real store that has taken rows before, so that
what is done once (reading the schema) is over. Every call from one module of the program into
another is recorded meanwhile, in all threads.

A module is *entered* when another one calls it while it is not at work below on the stack; a module
that calls others and goes on when they return is entered once.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests import harness

import polybackfill
from polybackfill import clocks, records, units, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import market_id_cache, source_lag, store_writer, unit_queue, worker
from polybackfill.kinds import registry
from polybackfill.polymarket import (
    endpoints,
    http,
    pagination,
    rate_limiter,
    retry,
    route_health,
    v2_envelope,
)
from polybackfill.store import client, market_ids

PACKAGE = f"{Path(polybackfill.__file__).parent}/"
DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
MOST = 12

# What is called on the way, but is no place that a row comes to.
BESIDE = {
    "clocks": "time",
    "worker_progress": "tells the supervisor that something moves",
    "polymarket/rate_limiter": "the limits",
    "polymarket/bodies": "the bound of memory over all responses",
    "polymarket/route_answers": "which routes answer, for whoever judges an outage",
    "polymarket/endpoints": "the names of routes",
    "polymarket/retry": "when a page that failed is asked for again",
    "polymarket/tokens": "arithmetic: which outcome a token id stands for",
    "store/landing": "whether tables and views are still those of before; no row comes there",
    "filesystem/sealed_json": "the checksum of a line on the disk",
    "filesystem/files": "system calls, and the error a person can read",
    "records": "the row itself: every station has it in its hands",
}
# What is carried from station to station. To ask a page how many rows it has enters no module.
CARRIED = (
    http.Response,
    pagination.Page,
    v2_envelope.Pagination,
    records.Row,
    store_writer.InsertBatch,
    store_writer.PageBatch,
    units.Counts,
)


@dataclass(frozen=True)
class Entry:
    """A module was called by `door`, while those of `at_work` waited for it."""

    module: str
    door: str
    at_work: frozenset[str]


def _module(frame: FrameType) -> str | None:
    """The module of the program that a frame belongs to."""
    name = frame.f_code.co_filename
    if not name.startswith(PACKAGE) or _asks_what_is_carried(frame):
        return None
    return name.removeprefix(PACKAGE).removesuffix(".py")


def _asks_what_is_carried(frame: FrameType) -> bool:
    """Also a loop in such a method, which is a frame of its own."""
    outer = frame.f_back if frame.f_code.co_name.startswith("<") else None
    return any(
        isinstance(one.f_locals.get("self"), CARRIED) for one in (frame, outer) if one is not None
    )


def _all_below(frame: FrameType | None) -> Iterator[str | None]:
    """Modules that wait for a frame, and its own, the nearest first."""
    while frame is not None:
        yield _module(frame)
        frame = frame.f_back


def _below(frame: FrameType | None) -> Iterator[str]:
    """Places on the way that wait for a frame, the nearest first."""
    return (module for module in _all_below(frame) if module is not None and module not in BESIDE)


@dataclass
class Recording:
    """`start`: modules at work when the recording began, in the order in which they get the row."""

    is_on: bool = False
    start: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)
    _begun: set[FrameType] = field(default_factory=set)

    def profile(self, frame: FrameType, event: str, result: object) -> None:
        """See every call; a coroutine that goes on is no new one."""
        if event == "return" and isinstance(result, bytes):
            self._note_body(frame)
        if event != "call" or frame in self._begun:
            return
        self._begun.add(frame)
        module = _module(frame)
        if not self.is_on or module is None:
            return
        if module in BESIDE:
            self.beside.add(module)
            return
        below = list(_below(frame.f_back))
        if not below or module not in below:  # a thread or a task goes on with a module's own work
            door = below[0] if below else module
            self.entries.append(Entry(module, door, frozenset(below)))

    def _note_body(self, frame: FrameType) -> None:
        """The bytes of the response are whole: here the way begins."""
        if frame.f_code.co_name == "_read_body" and not self.start:
            self.is_on = True
            self.start = list(dict.fromkeys(_below(frame)))
            self.beside |= BESIDE.keys() & set(_all_below(frame))

    def way(self) -> list[str]:
        """Every module, in the order in which they were entered."""
        return list(dict.fromkeys([*self.start, *(entry.module for entry in self.entries)]))

    def entered_again(self) -> list[str]:
        """Modules with two doors, or entered once more after the way had gone on elsewhere."""
        doors: dict[str, set[str]] = {}
        for entry in self.entries:
            doors.setdefault(entry.module, set()).add(entry.door)
        again = [
            f"{module} by {', '.join(sorted(of_module))}"
            for module, of_module in doors.items()
            if len(of_module - {module}) > 1
        ]
        for module in doors:
            own = [at for at, entry in enumerate(self.entries) if entry.module == module]
            callers = set().union(*(self.entries[at].at_work for at in own))
            between = {
                entry.module
                for entry in self.entries[own[0] : own[-1]]
                if module not in {entry.module, *entry.at_work} and entry.module not in callers
            }
            again += [f"{module} again after {other}" for other in sorted(between)]
        return again


@contextmanager
def _profiled(recording: Recording) -> Iterator[None]:
    """Record this thread, and those that are started meanwhile."""
    threading.setprofile(recording.profile)
    sys.setprofile(recording.profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


class Checkpoint(run_checkpoint.Checkpoint):
    """The recording ends where the page is recorded."""

    recording: Recording | None = None

    async def sync(self) -> None:
        await super().sync()
        if self.recording is not None:
            self.recording.is_on = False


class OnePage(store_writer.WriteBuffer):
    """Takes one page and hands it out; nothing is recorded while it lies there."""

    def __init__(self, recording: Recording, clock: clocks.Clock) -> None:
        super().__init__(cut_rows=1, cut_bytes=1, cut_age_s=60.0, buffer_bytes=10**9, clock=clock)
        self.recording = recording
        self.page: asyncio.Future[store_writer.PageBatch] = asyncio.Future()
        self.is_taken = False

    async def add(self, page: store_writer.PageBatch, progress: worker_progress.Progress) -> None:
        await super().add(page, progress)
        self.recording.is_on = False
        self.page.set_result(page)
        await asyncio.Event().wait()  # the next page is not read

    async def next_insert(
        self, *, waiting_bytes: int = 0, within_s: float | None = None
    ) -> store_writer.InsertBatch | None:
        if not self.page.done() or self.is_taken:
            return None
        self.is_taken = self.recording.is_on = True
        return await super().next_insert(waiting_bytes=waiting_bytes, within_s=within_s)


@asynccontextmanager
async def _parts(
    url: str, folder: Path, clock: clocks.Clock
) -> AsyncIterator[tuple[http.Client, Checkpoint]]:
    asker = http.Client(
        base_urls={"data": f"{url}/data"},
        limits=rate_limiter.RateLimiter(
            {name: endpoints.Budget(1_000_000) for name in endpoints.PUBLISHED}, clock=clock
        ),
        clock=clock,
        controls=route_health.CONTROLS,
    )
    book = Checkpoint.open(folder)
    yield asker, book
    await asker.close()
    book.close()


async def _follow(
    recording: Recording, store: client.Store, sandbox: harness.Sandbox, folder: Path
) -> None:
    """A worker and the writer, one after the other: between them is the buffer alone."""
    clock, rng = clocks.SourceClock(), random.Random(1)
    async with _parts(sandbox.url, folder, clock) as (asker, book):
        unit = units.Unit("wallets", (sandbox.wallets[0].removeprefix("0x"),))
        queue = unit_queue.Queue("wallets", feed=[unit], checkpoint=book, clock=clock)
        buffer = OnePage(recording, clock)
        ids = market_id_cache.MarketIdCache(market_ids.MarketIds(store), clock=clock)
        runner = worker.UnitRunner(
            registry.KINDS["wallets"],
            client=asker,
            buffer=buffer,
            queue=queue,
            pacer=worker.Pacer(0, clock),
            retries=retry.PageRetries(3, clock, rng),
            clock=clock,
            lag=source_lag.SourceLag(asker, clock),
            market_ids=ids,
        )
        writer = store_writer.StoreWriter(
            buffer=buffer,
            sink=store,
            checkpoint=book,
            queues_by_kind={"wallets": queue},
            clock=clock,
            rng=rng,
        )
        await ids.refresh()
        book.recording = recording
        lease = await queue.lease_next("worker")
        assert lease is not None
        working = asyncio.create_task(
            runner.run_unit(lease, worker_progress.Progress(clock)), name="worker"
        )
        page = await asyncio.wait_for(buffer.page, 30)
        for table, lines in page.lines.items():  # to repeat them is harmless
            await store.insert(table, [lines], rows=page.rows[table])
        await writer.run()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert book.pages(unit) == 1, "the page is in the checkpoint"
        await queue.close()


def _described() -> list[str]:
    """The modules of the list in docs/design.md."""
    section = DESIGN.read_text().split("<!-- a row's way -->")[1]
    return re.findall(r"^\d+\. `([\w/]+)`", section, re.MULTILINE)


async def test_a_rows_way_is_the_one_that_the_design_names(
    migrated: client.Store, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    recording = Recording()
    with _profiled(recording):
        await _follow(recording, migrated, sandbox, tmp_path / "checkpoint")
    assert recording.entered_again() == []
    assert recording.way() == _described()
    assert len(_described()) <= MOST
    assert recording.beside == BESIDE.keys(), "what is told apart is what is called"
