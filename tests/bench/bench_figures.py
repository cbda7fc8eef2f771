"""Measured figures with their targets, and how busy the machine was with other things."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

SAMPLE_S = 0.1


@dataclass(frozen=True)
class Figure:
    """One line of the result. `holds`: None where nothing is promised."""

    name: str
    measured: str
    target: str = ""
    holds: bool | None = None


def cpu_s(process: psutil.Process) -> float:
    """Processor seconds a process has used, its ended children left out."""
    used = process.cpu_times()
    return float(used.user + used.system)


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares: how much the second number grows per unit of the first."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


@dataclass
class Watch:
    """What a process used while it was watched. `rss`: (seconds, bytes) samples."""

    rss: list[tuple[float, float]] = field(default_factory=list)
    cpu_s: float = 0.0

    @property
    def peak_mb(self) -> float:
        """Most resident memory seen."""
        return max(held for _, held in self.rss) / 1e6

    def growth_mb_per_min(self) -> float:
        """How fast memory grew over the second half."""
        half = self.rss[len(self.rss) // 2 :]
        return slope(half) / 1e6 * 60


@contextmanager
def watching(find: Callable[[], int | None]) -> Iterator[Watch]:
    """Sample the process whose pid `find` tells, from when there is one until it has gone."""
    watch, ended = Watch(), threading.Event()

    def sample() -> None:
        process, used_before = None, 0.0
        began_at = time.monotonic()
        while not ended.wait(SAMPLE_S):
            try:
                if process is None:
                    pid = find()
                    process = None if pid is None else psutil.Process(pid)
                    used_before = 0.0 if process is None else cpu_s(process)
                if process is not None:
                    watch.cpu_s = cpu_s(process) - used_before
                    held = float(process.memory_info().rss)
                    watch.rss.append((time.monotonic() - began_at, held))
            except psutil.Error:
                return  # it has ended

    thread = threading.Thread(target=sample, name="watch")
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


@dataclass
class Noise:
    """What the machine did while something was measured. `others`: cores taken by strangers."""

    busy: float = 0.0
    others: float = 0.0


@contextmanager
def noise() -> Iterator[Noise]:
    """Cores in use, and those not used by this process and its descendants."""
    found = Noise()
    before, ours_before, began_at = _busy_s(), _ours_s(), time.monotonic()
    yield found
    took_s = time.monotonic() - began_at
    found.busy = (_busy_s() - before) / took_s
    found.others = max(0.0, found.busy - (_ours_s() - ours_before) / took_s)


def _busy_s() -> float:
    used = psutil.cpu_times()
    return float(sum(used) - used.idle - getattr(used, "iowait", 0.0) - getattr(used, "guest", 0.0))


def _ours_s() -> float:
    # The store's child belongs to nobody once the command that started it has ended.
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    total = sum(os.times()[:4])
    for process in psutil.process_iter(["pid", "environ"]):
        if process.pid == os.getpid():
            continue
        marked = (process.info["environ"] or {}).get("POLYBACKFILL_BENCH") == str(os.getpid())
        if process.pid in own or marked:
            try:
                total += cpu_s(process)
            except psutil.Error:
                continue  # it has ended; os.times counts it when it was ours
    return total


def mark_children() -> None:
    """Let everything started from now on be recognised as ours by `noise`."""
    os.environ["POLYBACKFILL_BENCH"] = str(os.getpid())


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    widths = [max(len(getattr(one, name)) for one in figures) for name in ("name", "measured")]
    verdicts = {True: "ok", False: "MISSED", None: ""}
    return "\n".join(
        f"  {one.name:<{widths[0]}}  {one.measured:>{widths[1]}}  {one.target:<14} "
        f"{verdicts[one.holds]}".rstrip()
        for one in figures
    )
