"""Where a run stands: collected from the owners of the counters once a second, shown by others."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from polybackfill import clock as clocks
from polybackfill.daemon import batch as batches
from polybackfill.daemon import crew as crews
from polybackfill.daemon import feed, supervisor, worker, writer
from polybackfill.polymarket import endpoints, http
from polybackfill.polymarket import limits as rate_limits
from polybackfill.work import queue as queues
from polybackfill.work import units

log = structlog.get_logger()

_WINDOW_S = 15
_RATE_AFTER = 5  # pages before the rate seen counts for more than the rate allowed


@dataclass(frozen=True)
class Part:
    """One part of the run, where its units come from, and the route that paces it."""

    crew: crews.Crew
    queue: queues.Queue
    walker: worker.Walker
    source: feed.Source
    route: endpoints.Route


@dataclass(frozen=True)
class _Sample:
    at: float
    rows: int
    pages: dict[str, int]


def file_of(data_dir: Path, run_name: str) -> Path:
    """Where a run keeps its newest picture."""
    return data_dir / "status" / f"{run_name}.json"


def _replace(file: Path, content: bytes) -> None:
    """A picture that cannot be written is a pity, but no reason to end a run."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".tmp")
        fresh.write_bytes(content)
        fresh.replace(file)
    except OSError as error:
        log.warning("status.not_written", file=str(file), error=error.strerror)


def requests(
    routes: Iterable[endpoints.Route], budgets: Mapping[str, Mapping[str, Any]]
) -> tuple[float, float]:
    """Requests/s sent to and allowed for `routes` together: what they share counts once, and a host
    allows no more than the widest of its budgets. `budgets`: `limits.Limits.stats`.
    """
    narrow: dict[str, set[str]] = {}
    for route in routes:
        narrow.setdefault(route.budgets[-1], set()).add(route.budgets[0])
    sent = sum(budgets[name]["rate_per_s"] for own in narrow.values() for name in own)
    allowed = sum(
        min(
            budgets[widest]["limit"] / budgets[widest]["window_s"],
            sum(budgets[name]["allowed_per_s"] for name in own),
        )
        for widest, own in narrow.items()
    )
    return round(sent, 2), round(allowed, 2)


class Snapshots:
    """Samples the counters and keeps the newest picture, in memory and in a file."""

    def __init__(
        self,
        *,
        run_name: str,
        parts: dict[str, Part],
        scribe: writer.Writer,
        batch: batches.Batch,
        limits: rate_limits.Limits,
        client: http.Client,
        watch: supervisor.Supervisor,
        file: Path | None,
        clock: clocks.Clock,
        progress_every: int,
        stop_at: float | None = None,
    ) -> None:
        self._run_name = run_name
        self._parts = parts
        self._scribe = scribe
        self._batch = batch
        self._limits = limits
        self._client = client
        self._watch = watch
        self._file = file
        self._clock = clock
        self._started_at = clock.now()
        self._began_at = clock.monotonic()
        self._stop_at = stop_at
        self._samples: deque[_Sample] = deque(maxlen=_WINDOW_S)
        self._first_page_at: dict[str, float] = {}
        self._busy_s = dict.fromkeys(parts, 0.0)
        self._progress_every = progress_every
        self._ended = dict.fromkeys(parts, 0)
        scribe.on_done(self._unit_done)

    async def tick(self) -> None:
        """Take a sample and write the picture to the status file."""
        rows = sum(self._scribe.rows.values())
        pages = {kind: part.walker.pages for kind, part in self._parts.items()}
        now = self._clock.monotonic()
        passed_s = now - self._samples[-1].at if self._samples else 0.0
        self._samples.append(_Sample(now, rows, pages))
        for kind, count in pages.items():
            if count:
                self._first_page_at.setdefault(kind, now)
                # A part that waits for others to find something is not slow.
                self._busy_s[kind] += passed_s if self._has_work(kind) else 0.0
        if self._file is not None:
            _replace(self._file, orjson.dumps(self.current(), default=str))

    def current(self) -> dict[str, Any]:
        """The picture: parts, rows, rates, budgets; share and ETA in seconds, both None until every
        part is counted.
        """
        budgets = self._limits.stats()
        rows_per_s, pages_per_s = self._rates()
        parts = {
            kind: self._part(part, budgets, pages_per_s[kind]) for kind, part in self._parts.items()
        }
        etas = [part["eta_s"] for part in parts.values()]
        sent_per_s, allowed_per_s = requests(self._busy_routes(), budgets)
        return {
            "run": self._run_name,
            "state": self._watch.state,
            "still_s": round(self._watch.still_s, 1),
            "waiting_for": self._watch.waiting_for,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": round(self._started_at, 1),
            "took_s": round(self._clock.monotonic() - self._began_at, 1),
            "stop_at": self._stop_at,
            "now": round(self._clock.now(), 1),
            "parts": parts,
            "share": None if None in etas else self._share(parts),
            "rows": dict(self._scribe.rows),
            "rows_per_s": round(rows_per_s, 1),
            "requests_per_s": sent_per_s,
            "allowed_per_s": allowed_per_s,
            "eta_s": None if None in etas else max(etas, default=0.0),
            "batch": self._batch.stats(),
            "store_wait_s": round(self._scribe.store_wait_s, 1),
            "budgets": budgets,
            "pauses": self._limits.pauses(),
            "out": self._out(),
        }

    def _unit_done(self, unit: units.Unit) -> None:
        """A line of progress whenever so many more keys of a part have ended."""
        stats = self._parts[unit.kind].queue.stats()
        ended = stats["done"] + stats["error"]
        before, self._ended[unit.kind] = self._ended[unit.kind], ended
        if ended // self._progress_every > before // self._progress_every:
            part = self.current()["parts"][unit.kind]
            log.info(
                "part.progress",
                part=unit.kind,
                last=unit.keys[-1],
                done=part["done"],
                error=part["error"],
                of=part["units"],
                share=round(part["share"], 4),
                rows=sum(self._scribe.rows.values()),
                eta_s=part["eta_s"],
            )

    def _part(self, part: Part, budgets: dict[str, Any], pages_per_s: float) -> dict[str, Any]:
        stats = part.queue.stats()
        known = part.source.known
        done = known.done_before - known.again + stats["done"] + stats["skipped_done"]
        failed = known.failed_before + stats["error"] + stats["skipped_error"]
        allowed_per_s = float(budgets[part.route.budgets[0]]["allowed_per_s"])
        requests_left = self._requests_left(part, stats)
        is_counted = known.keys > 0 or part.queue.complete
        answers = not self._client.out_s(part.route)
        knows = is_counted and (answers or not requests_left)
        rate_per_s = self._expected_rate(part, allowed_per_s, pages_per_s) if knows else 0.0
        # What an earlier run left open comes back, also where the store has its rows by now.
        met = done + failed + stats["leased"] + stats["ready"] + stats["waiting"]
        keys = max(known.keys, met)
        return {
            "units": keys,
            "done": done,
            "error": failed,
            "open": stats["leased"],
            "complete": part.queue.complete,
            "share": (done + failed) / keys if keys else 1.0,
            "pages": part.walker.pages,
            "requests_left": requests_left,
            "requests_per_s": round(pages_per_s, 2),
            "allowed_per_s": allowed_per_s,
            "eta_s": round(requests_left / rate_per_s, 1) if rate_per_s > 0 else None,
            "unknown_fields": dict(part.walker.unknown_fields),
            **part.crew.stats(),
        }

    def _out(self) -> dict[str, float]:
        """Routes of the parts that have work and only fail: for how many seconds."""
        return {
            route.name: round(out_s, 1)
            for route in self._busy_routes()
            if (out_s := self._client.out_s(route))
        }

    def _busy_routes(self) -> list[endpoints.Route]:
        return [part.route for kind, part in self._parts.items() if self._has_work(kind)]

    def _has_work(self, kind: str) -> bool:
        stats = self._parts[kind].queue.stats()
        return bool(stats["leased"] or stats["ready"] or stats["waiting"])

    def _requests_left(self, part: Part, stats: dict[str, int]) -> int:
        """Expected requests still to send, corrected by what finished units really took."""
        known = part.source.known
        asked = known.keys - known.done_before - known.failed_before + known.again
        finished = stats["done"] + stats["error"] + stats["skipped_done"] + stats["skipped_error"]
        if finished >= asked and part.queue.complete:
            return 0
        return part.walker.effort.left(known.requests)

    def _expected_rate(self, part: Part, allowed_per_s: float, pages_per_s: float) -> float:
        """Requests/s from now on: what is allowed, less where a pace or few workers hold back."""
        if part.walker.pages < _RATE_AFTER:
            return allowed_per_s
        busy_s = max(1e-3, self._busy_s[part.queue.kind])
        return min(allowed_per_s, max(pages_per_s, part.walker.pages / busy_s))

    def _rates(self) -> tuple[float, dict[str, float]]:
        """Rows/s, and pages/s of each part, over the last samples."""
        if len(self._samples) < 2:
            return 0.0, dict.fromkeys(self._parts, 0.0)
        first, last = self._samples[0], self._samples[-1]
        pages_per_s = {
            kind: (pages - first.pages[kind])
            / max(1.0, last.at - max(first.at, self._first_page_at.get(kind, first.at)))
            for kind, pages in last.pages.items()
        }
        return (last.rows - first.rows) / max(1e-3, last.at - first.at), pages_per_s

    @staticmethod
    def _share(parts: dict[str, dict[str, Any]]) -> float:
        """Work done of the work known, weighted by requests."""
        pages = sum(part["pages"] for part in parts.values())
        left = sum(part["requests_left"] for part in parts.values())
        return pages / (pages + left) if pages + left else 1.0
