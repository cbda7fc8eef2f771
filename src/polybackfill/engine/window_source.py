"""The windows of a feed that a run follows, made as time passes.

A window ends where the source says that it is fresh. It begins a little before the end of the one
before, for rows that come late. Every ten minutes, every hour and every day one reaches back by as
much: it finds rows that are late by up to a day, and takes the place of those within it. While a
window cannot be read no other is begun: the next one begins where the last proven one ended,
however long ago.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from polybackfill import clocks, units
from polybackfill.engine import followed_windows, plan_source, sources, unit_queue
from polybackfill.polymarket import time_window

log = structlog.get_logger()

_LONGER_S = (600, 3_600, 86_400)
_SETTLES_S = 1  # the newest second of the source may not be over


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """`every_s`: from one window to the next; `overlap_s`: of two; `began`: the first second, when
    nothing was followed before; `reach`: the first second that the feed shows at a time.
    """

    every_s: float
    overlap_s: int
    began: int
    reach: Callable[[float], int]


class WindowSource:
    """The source of one kind. `read_lag_s`: how far the feed lies behind now; `only_once`: of a
    rehearsal, one window.
    """

    counted = True
    took_s = 0.0
    is_behind = False

    def __init__(
        self,
        kind: str,
        *,
        schedule: Schedule,
        followed: followed_windows.FollowedWindows,
        upstream: sources.Upstream,
        read_lag_s: Callable[[], Awaitable[float]],
        queue: Callable[[], unit_queue.Queue],
        clock: clocks.Clock,
        only_once: bool = False,
    ) -> None:
        self._kind = kind
        self._schedule = schedule
        self.followed = followed
        self._upstream = upstream
        self._read_lag_s = read_lag_s
        self._queue = queue
        self._clock = clock
        self._only_once = only_once
        self._longer: dict[int, time_window.TimeWindow] = {}
        self.rests = False
        self.known = plan_source.WorkEstimate(1, 1)

    async def expected(self) -> plan_source.WorkEstimate:
        """One window is always to come."""
        return self.known

    async def _next_window(self) -> time_window.TimeWindow | None:
        lag_s = 0.0

        async def read() -> None:
            nonlocal lag_s
            lag_s = await self._read_lag_s()

        await sources.with_retries(self._kind, read, self._clock)
        until = int(self._clock.now() - lag_s) - _SETTLES_S
        end = self.followed.end
        if end is not None and until <= end:
            return None
        since = self._schedule.began if end is None else end + 1 - self._schedule.overlap_s
        return self._reachable(since, until) if since <= until else None

    def _longer_windows(self, until: int) -> list[time_window.TimeWindow]:
        """Those that are due: each reaches back by its length behind the end of the one before."""
        due = []
        for length_s in _LONGER_S:
            first = min((one.since for one in self.followed.windows), default=None)
            end = self.followed.end_of(length_s)
            end = first if end is None else end
            if length_s in self._longer or end is None or until - end < length_s:
                continue
            window = self._reachable(end + 1 - length_s, until)
            self._longer[length_s] = window
            due.append(window)
        return due

    def _reachable(self, since: int, until: int) -> time_window.TimeWindow:
        """What the feed no longer shows is a gap, and stays one."""
        reach = self._schedule.reach(self._clock.now())
        if since < reach:
            log.warning("follow.gap", kind=self._kind, since=since, until=reach - 1)
        return time_window.TimeWindow(min(max(since, reach), until), until)

    def _note_ends(self, window: time_window.TimeWindow) -> None:
        queue = self._queue()
        if self.followed.is_done(window):
            queue.drop_failed(self.followed.note(window))
        for length_s, longer in list(self._longer.items()):
            if self.followed.is_done(longer):
                queue.drop_failed(self.followed.note(longer))
            if not queue.holds(self._unit(longer)):
                del self._longer[length_s]

    def _unit(self, window: time_window.TimeWindow) -> units.Unit:
        return units.Unit(self._kind, (window.key,), expected_rows=None)

    async def units(self) -> AsyncIterator[units.Unit]:
        """One window after the other, without end."""
        self.rests = True
        while not self._upstream.ended():
            await self._upstream.changed.wait(60.0)
        self.known = self.known.handed_out()
        while True:
            began_at = self._clock.monotonic()
            window = await self._next_window()
            if window is not None:
                self.rests = False
                for longer in self._longer_windows(window.until):
                    yield self._unit(longer)
                unit = self._unit(window)
                yield unit
                await self._queue().wait_for_end(unit)
                self._note_ends(window)
            if self._only_once:
                return
            self.rests = True
            self._queue().note_rest()
            took_s = self._clock.monotonic() - began_at
            await self._clock.sleep(max(0.1, self._schedule.every_s - took_s))


def describe(followed: followed_windows.FollowedWindows, now: float) -> dict[str, Any] | None:
    """What views show: since when, how fresh (`fresh_to`, epoch seconds), how far behind now, and
    the gaps; None before the first window has ended.
    """
    if followed.end is None:
        return None
    gaps = followed_windows.find_gaps(followed.windows)
    return {
        "since": min(window.since for window in followed.windows),
        "fresh_to": followed.end,
        "lag_s": round(max(0.0, now - followed.end), 1),
        "gaps": [[gap.since, gap.until] for gap in gaps],
    }
