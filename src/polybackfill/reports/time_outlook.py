"""When a run will end, and how much of it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polybackfill import clocks
from polybackfill.engine import running_part, store_writer, supervisor, time_left

# Rows are acknowledged some seconds after they were fetched, many at once; in between the clock
# alone moves the end nearer, but not for longer than this.
_ACKNOWLEDGED_WITHIN_S = 15.0


@dataclass(frozen=True)
class _ExpectedEnd:
    """When the run will end by what was acknowledged `at`: both monotonic."""

    mark: tuple[int, ...]
    at: float
    end: float


class TimeOutlook:
    """Of one run. `post_run_s`: how long the steps after the last unit are expected to take."""

    def __init__(
        self,
        parts: Mapping[str, running_part.RunningPart],
        *,
        writer: store_writer.StoreWriter,
        watch: supervisor.Supervisor,
        clock: clocks.Clock,
        post_run_s: float,
    ) -> None:
        self._parts = parts
        self._writer = writer
        self._watch = watch
        self._clock = clock
        self._end: _ExpectedEnd | None = None
        self._share: float | None = None
        self._post_run_began: float | None = None
        self.post_run_s = post_run_s

    def read(
        self, loads: Mapping[str, time_left.Load | None], budgets: Mapping[str, Mapping[str, Any]]
    ) -> tuple[float | None, float | None]:
        """Seconds to the end, None when of some part nobody can tell; the share that is done, None
        until every part was counted once.

        The share never falls: what is found on the way makes the rest longer, not the past shorter.
        """
        if self._watch.state in {"finishing", "finished"}:
            return self._post_run_left()
        known = [load for load in loads.values() if load is not None]
        if len(known) < len(loads):
            self._end = None
            return None, self._share
        if not all(load.is_known for load in known):
            self._end = None
            return None, self._share_of(known)
        now, mark = self._clock.monotonic(), self._acknowledged()
        last = self._end
        if last is None or last.mark != mark or now - last.at > _ACKNOWLEDGED_WITHIN_S:
            allowed = {name: float(budget["allowed_per_s"]) for name, budget in budgets.items()}
            self._share_of(known)
            end = now + time_left.seconds(known, allowed) + self._tail_s()
            self._end = last = _ExpectedEnd(mark, now, end)
        return round(max(0.0, last.end - now), 1), self._share

    def _share_of(self, loads: Sequence[time_left.Load]) -> float:
        share = round(time_left.share(loads, self._tail_s()), 6)
        self._share = max(share, self._share or 0.0)
        return self._share

    def _post_run_left(self) -> tuple[float | None, float | None]:
        now = self._clock.monotonic()
        if self._watch.state == "finished":
            if self._post_run_began is not None:
                self.post_run_s, self._post_run_began = now - self._post_run_began, None
            return 0.0, 1.0
        if self._post_run_began is None:
            self._post_run_began = now
        left_s = max(0.0, self.post_run_s - (now - self._post_run_began))
        return round(left_s, 1), self._share if left_s else 1.0

    def _acknowledged(self) -> tuple[int, ...]:
        """Changes with everything that is acknowledged, or given up."""
        ended = (part.queue.stats() for part in self._parts.values())
        return (self._writer.inserts, *(stats["done"] + stats["error"] for stats in ended))

    def _tail_s(self) -> float:
        """What finds its keys in the work of others looks once more when these have ended; then
        come the post-run steps.
        """
        open_parts = [part for part in self._parts.values() if not part.queue.complete]
        return sum(part.source.took_s for part in open_parts) + self.post_run_s
