"""A checkpoint with a million finished units: open, memory, cost of one more.

Run: python tests/bench/bench_checkpoint.py [units]
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import unit_queue

ROUND = 5_000


def wallet(number: int) -> units.Unit:
    """A wallet unit of its own for every number."""
    return units.Unit(units.WALLETS, (f"{number * 2654435761 % 2**160:040x}",))


async def finish_units(book: run_checkpoint.Checkpoint, first: int, count: int) -> list[float]:
    """Begin, advance and finish `count` units, a sync for every 20; seconds of each sync."""
    sync_s = []
    for number in range(first, first + count):
        unit = wallet(number)
        attempt = book.begin(unit)
        step = units.Counts(rows=300, pages=1, first_second=1_700_000_000)
        book.advance(unit.id, attempt, {"cursor": "opaque", "second": 1_700_000_000}, step)
        end = units.FeedEnd(second=1_790_000_000, lag_s=4.0)
        book.finish(unit.id, attempt, end=end)
        if number % 1_000 == 0:
            for end in book.transitions_since(book.synced_seq)[-1:]:
                book.note_plan_synced(end.seq)
        if number % 20 == 0:
            started = time.perf_counter()
            await book.sync()
            sync_s.append(time.perf_counter() - started)
    return sync_s


async def feed_done_ones(book: run_checkpoint.Checkpoint, count: int) -> float:
    """Seconds a queue needs to pass over `count` finished units."""
    lined_up = unit_queue.Queue(
        units.WALLETS,
        feed=(wallet(number) for number in range(count)),
        checkpoint=book,
        clock=clocks.SystemClock(),
    )
    started = time.perf_counter()
    assert await lined_up.lease_next("bench") is None
    return time.perf_counter() - started


def report(name: str, seconds: float, sync_s: list[float]) -> None:
    """One line for a round."""
    ordered = sorted(sync_s)
    print(
        f"{name}: {seconds / ROUND * 1e6:6.1f} µs a unit, sync median "
        f"{statistics.median(ordered) * 1e3:.2f} ms, longest (a fold) {ordered[-1] * 1e3:.0f} ms"
    )


def open_alone(folder: Path) -> None:
    """Time and memory of opening, in a process that has done nothing else."""
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    started = time.perf_counter()
    book = run_checkpoint.Checkpoint.open(folder)
    opened_s = time.perf_counter() - started
    grown_mb = (process.memory_info().rss - before_bytes) / 1e6
    on_disk_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    book.close()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"opened in {opened_s:.2f} s, {grown_mb:.0f} MB more memory, "
        f"process peak {peak_mb:.0f} MB, {on_disk_mb:.0f} MB on disk"
    )


async def main(count: int) -> None:
    """Fill, then measure against an empty one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "full"
        book = run_checkpoint.Checkpoint.open(Path(name) / "empty")
        started = time.perf_counter()
        sync_s = await finish_units(book, 0, ROUND)
        report("empty checkpoint  ", time.perf_counter() - started, sync_s)
        book.close()

        book = run_checkpoint.Checkpoint.open(folder)
        started = time.perf_counter()
        for first in range(0, count, 100_000):
            await finish_units(book, first, min(100_000, count - first))
        print(f"filled with {count} units in {time.perf_counter() - started:.1f} s")
        book.close()

        await asyncio.to_thread(
            subprocess.run, [sys.executable, __file__, "--open", str(folder)], check=True
        )
        book = run_checkpoint.Checkpoint.open(folder)
        started = time.perf_counter()
        sync_s = await finish_units(book, count, ROUND)
        report("full checkpoint   ", time.perf_counter() - started, sync_s)
        print(f"passing over {count} finished units: {await feed_done_ones(book, count):.2f} s")
        started = time.perf_counter()
        rows = sum(receipt.counts.rows for receipt in book.receipts())
        print(f"all receipts read in {time.perf_counter() - started:.1f} s, {rows} rows")
        assert rows == (count + ROUND) * 300
        book.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--open"]:
        open_alone(Path(sys.argv[2]))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
