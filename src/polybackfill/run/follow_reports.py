"""What a run that follows makes of its rows: when all is read for the first time, once a day, and,
of the night so far, when it is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polybackfill import clocks
from polybackfill.engine import supervisor
from polybackfill.run import follow_sources, post_run

_LOOK_S = 10.0
_DAY_S = 86_400.0


async def _is_watched() -> None:
    """The supervisor says by itself that the run is alive."""


class FollowReports:
    """Of one run. `round_s`: how often fees, candles and market ids are brought up to date;
    `note_day`: called after the reports of each day.
    """

    def __init__(
        self,
        steps: post_run.PostRun,
        follow: follow_sources.FollowSources,
        *,
        round_s: float,
        note_day: Callable[[], None],
        clock: clocks.Clock,
    ) -> None:
        self._steps = steps
        self._follow = follow
        self._round_s = round_s
        self._note_day = note_day
        self._clock = clock
        self._reported_at: float | None = None
        self._kept_at = 0.0

    def periodic(self, current: Callable[[], dict[str, Any]]) -> supervisor.PeriodicTask:
        """What is repeated while the run goes on. `current`: its newest picture."""

        async def look() -> None:
            await self._look(current)

        return supervisor.PeriodicTask("follow reports", min(_LOOK_S, self._round_s), look)

    async def _look(self, current: Callable[[], dict[str, Any]]) -> None:
        if not self._follow.has_read_all:
            return
        now = self._clock.monotonic()
        if self._reported_at is None:
            self._follow.close_gaps()
        if self._reported_at is None or now - self._reported_at >= _DAY_S:
            self._reported_at = self._kept_at = now
            await self._steps.run(_is_watched, current, state="running")
            self._note_day()
        elif now - self._kept_at >= self._round_s:
            self._kept_at = now
            await self._steps.keep_up(_is_watched)
