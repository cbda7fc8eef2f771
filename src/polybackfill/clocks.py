"""Time as a value that is passed in, so that tests need no real seconds.

A machine's clock may be wrong by years: a dead battery, a second operating system, a snapshot that
was resumed. Two things must not follow from that. What is newer is told by `tick`, never by a time;
and up to when something was read is told by the source's own time (`SourceClock`).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import structlog

log = structlog.get_logger()

_SAMPLES = 9  # odd, so that the median is one of them; one server with a wrong clock moves nothing
_DIFFERS_S = 60.0
# Any Date outside is no date: this program is younger, and a ClickHouse DateTime ends in 2106.
_EARLIEST_S = 1_767_225_600.0  # 2026-01-01
_LATEST_S = 2.0**32


class Clock(Protocol):
    """What the program may know of time."""

    _ticked: int = 0

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, for measuring."""

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""

    def tick(self) -> int:
        """A number above all ticks before, whatever `now` says; else its milliseconds.

        A hybrid logical clock (Kulkarni et al., 2014): of two rows the one with the higher number
        is newer.
        """
        self._ticked = max(self._ticked + 1, int(self.now() * 1000))
        return self._ticked

    def start_above(self, tick: int) -> None:
        """Ticks go on above what an earlier run has stored."""
        self._ticked = max(self._ticked, tick)


class SystemClock(Clock):
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _since_boot() -> float:
    """As `time.monotonic`, which stands still while a machine sleeps; this one goes on."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SourceClock(SystemClock):
    """The time of the source, as the Date of its responses tells it; before, the machine's.

    `elapsed`: seconds that pass evenly, whatever is done to the machine's clock.
    """

    def __init__(self, elapsed: Callable[[], float] = _since_boot) -> None:
        self._elapsed = elapsed
        self._offsets: deque[float] = deque(maxlen=_SAMPLES)
        self._has_told = False

    def now(self) -> float:
        if not self._offsets:
            return self.machine_now()
        return self._elapsed() + statistics.median_low(self._offsets)

    @property
    def is_confirmed(self) -> bool:
        """Whether the source has said what time it is."""
        return bool(self._offsets)

    @staticmethod
    def machine_now() -> float:
        """What the machine's clock shows, epoch seconds."""
        return time.time()

    def hear(self, second: float) -> None:
        """The source says that it is this second since the epoch; nonsense is not believed."""
        if not _EARLIEST_S <= second < _LATEST_S:
            return
        self._offsets.append(second - self._elapsed())
        ahead_s = self.machine_now() - self.now()
        if abs(ahead_s) > _DIFFERS_S and not self._has_told:
            self._has_told = True
            log.warning("clock.differs", machine_ahead_s=round(ahead_s), used="the source's time")


def utc_text(moment: float) -> str:
    """Epoch seconds as `2026-11-21T08:35:40Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def awake_s() -> float:
    """Seconds that never run backwards and go on while the machine sleeps, where it can tell."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
