"""Where a run stands: collected from the owners of the counters once a second, shown by others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog

from polybackfill import clocks, units
from polybackfill.checkpoint import ledgers
from polybackfill.engine import (
    kinds,
    request_estimate,
    running_part,
    store_writer,
    supervisor,
    time_left,
    write_buffer,
)
from polybackfill.filesystem import lock, sealed_json
from polybackfill.polymarket import endpoints, http, rate_limiter

log = structlog.get_logger()

_WINDOW_S = 15
_RATE_AFTER = 5  # pages before the rate seen counts for more than the rate allowed
# Rows are acknowledged some seconds after they were fetched, many at once; in between the clock
# alone moves the end nearer, but not for longer than this.
_ACKNOWLEDGED_WITHIN_S = 15.0


@dataclass(frozen=True)
class _Sample:
    at: float
    rows: int
    pages: dict[str, int]


def snapshot_path(data_dir: Path, run_name: str) -> Path:
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
    allows no more than the widest of its budgets. `budgets`: `RateLimiter.stats`.
    """
    narrow: dict[str, set[str]] = {}
    for route in routes:
        narrow.setdefault(route.budgets[-1], set()).add(route.budgets[0])
    sent = sum(budgets[name]["rate_per_s"] for names in narrow.values() for name in names)
    allowed = sum(
        min(
            budgets[widest]["limit"] / budgets[widest]["window_s"],
            sum(budgets[name]["allowed_per_s"] for name in names),
        )
        for widest, names in narrow.items()
    )
    return round(sent, 2), round(allowed, 2)


@dataclass(frozen=True)
class _Outlook:
    """When the run will end by what was acknowledged `at`: both monotonic."""

    mark: tuple[int, ...]
    at: float
    end: float


class Snapshots:
    """Samples the counters and keeps the newest picture, in memory and in a file.

    `post_run_s`: how long the steps after the last unit are expected to take.
    """

    def __init__(
        self,
        *,
        run_name: str,
        parts: dict[str, running_part.RunningPart],
        ledger: ledgers.Ledger,
        writer: store_writer.StoreWriter,
        buffer: write_buffer.WriteBuffer,
        limits: rate_limiter.RateLimiter,
        client: http.Client,
        watch: supervisor.Supervisor,
        file: Path | None,
        clock: clocks.Clock,
        progress_every: int,
        stop_at: float | None = None,
        post_run_s: float = 0.0,
        held_back: Mapping[str, str] | None = None,
        paths: Mapping[str, Path] | None = None,
    ) -> None:
        self._run_name = run_name
        self._parts = parts
        self._ledger = ledger
        self._writer = writer
        self._buffer = buffer
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
        self._held_back = dict(held_back or {})
        self._ended = dict.fromkeys(parts, 0)
        self._estimates = {
            kind: request_estimate.RequestEstimate(kinds.KINDS[kind]) for kind in parts
        }
        self._pages_per_key = _pages_per_key(ledger, parts)
        # Whoever reads the picture may stand in another folder.
        self._paths = {name: str(path.absolute()) for name, path in (paths or {}).items()}
        self._owner = lock.this_process(self._started_at)
        self._outlook: _Outlook | None = None
        self._share: float | None = None
        self._post_run_s = post_run_s
        self._post_run_began: float | None = None
        writer.on_done(self._unit_done)

    async def tick(self) -> None:
        """Take a sample and write the picture to the status file."""
        rows = sum(self._writer.rows.values())
        pages = {kind: part.runner.counts.pages for kind, part in self._parts.items()}
        now = self._clock.monotonic()
        passed_s = now - self._samples[-1].at if self._samples else 0.0
        self._samples.append(_Sample(now, rows, pages))
        for kind, count in pages.items():
            if count:
                self._first_page_at.setdefault(kind, now)
                # A part that waits for others to find something is not slow.
                self._busy_s[kind] += passed_s if self._has_work(kind) else 0.0
        if self._file is not None:
            _replace(self._file, sealed_json.seal(orjson.dumps(self.current(), default=str)))

    def current(self) -> dict[str, Any]:
        """The picture: parts, rows, rates, budgets; share and ETA in seconds, None where nobody can
        tell.
        """
        budgets = self._limits.stats()
        rows_per_s, pages_per_s = self._rates()
        loads = {
            kind: self._load(part, budgets, pages_per_s[kind]) for kind, part in self._parts.items()
        }
        eta_s, share = self._time_left(loads, budgets)
        sent_per_s, allowed_per_s = requests(self._busy_routes(), budgets)
        return {
            "run": self._run_name,
            "state": self._watch.state,
            "still_s": round(self._watch.progress.stalled_s, 1),
            "waiting_for": self._watch.progress.waiting_for,
            "host": self._owner.host,
            "pid": self._owner.pid,
            "owner": msgspec.to_builtins(self._owner),
            "paths": self._paths,
            "started_at": round(self._started_at, 1),
            "took_s": round(self._clock.monotonic() - self._began_at, 1),
            "stop_at": self._stop_at,
            "now": round(self._clock.now(), 1),
            "parts": {
                kind: self._part(part, loads[kind], budgets, pages_per_s[kind])
                for kind, part in self._parts.items()
            },
            "share": share,
            "rows": dict(self._writer.rows),
            "refused_rows": self._writer.refused_rows,
            "rows_per_s": round(rows_per_s, 1),
            "requests_per_s": sent_per_s,
            "allowed_per_s": allowed_per_s,
            "eta_s": eta_s,
            "post_run_s": round(self._post_run_s, 1),
            "batch": self._buffer.stats(),
            "store_wait_s": round(self._writer.store_wait_s, 1),
            "budgets": budgets,
            "pauses": self._limits.pauses(),
            "out": self._out(),
            "held_back": self._held_back,
        }

    def _time_left(
        self, loads: Mapping[str, time_left.Load | None], budgets: Mapping[str, Mapping[str, Any]]
    ) -> tuple[float | None, float | None]:
        """Seconds to the end, None when of some part nobody can tell; the share that is done, None
        until every part was counted once.

        The share never falls: what is found on the way makes the rest longer, not the past shorter.
        """
        if self._watch.state in {"finishing", "finished"}:
            return self._post_run_left(loads)
        known = [load for load in loads.values() if load is not None]
        if len(known) < len(loads):
            self._outlook = None
            return None, self._share
        if not all(load.is_known for load in known):
            self._outlook = None
            return None, self._share_of(known)
        now, mark = self._clock.monotonic(), self._acknowledged()
        last = self._outlook
        if last is None or last.mark != mark or now - last.at > _ACKNOWLEDGED_WITHIN_S:
            allowed = {name: float(budget["allowed_per_s"]) for name, budget in budgets.items()}
            self._share_of(known)
            end = now + time_left.seconds(known, allowed) + self._tail_s()
            self._outlook = last = _Outlook(mark, now, end)
        return round(max(0.0, last.end - now), 1), self._share

    def _share_of(self, loads: Sequence[time_left.Load]) -> float:
        share = round(time_left.share(loads, self._tail_s()), 6)
        self._share = max(share, self._share or 0.0)
        return self._share

    def _post_run_left(
        self, loads: Mapping[str, time_left.Load | None]
    ) -> tuple[float | None, float | None]:
        now = self._clock.monotonic()
        if self._watch.state == "finished":
            if self._post_run_began is not None:
                self._post_run_s, self._post_run_began = now - self._post_run_began, None
            return 0.0, 1.0
        if self._post_run_began is None:
            self._post_run_began = now
        left_s = max(0.0, self._post_run_s - (now - self._post_run_began))
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
        return sum(part.source.took_s for part in open_parts) + self._post_run_s

    def _load(
        self,
        part: running_part.RunningPart,
        budgets: Mapping[str, Mapping[str, Any]],
        pages_per_s: float,
    ) -> time_left.Load | None:
        """What a part has done and has left, in requests; None while nobody knows."""
        kind, known, stats = part.queue.kind, part.source.known, part.queue.stats()
        estimate, backlog = self._estimates[kind], self._remaining_work(part)
        leased = [lease.unit for lease in part.queue.leases()]
        longest = max(
            (estimate.of_unit(unit, self._ledger.pages(unit)) for unit in leased), default=0.0
        )
        left = estimate.left(backlog)
        before = known.done_before - known.again + stats["skipped_done"]
        done = estimate.pages + sum(pages for _, pages in backlog.begun)
        if part.queue.complete:
            longest, left = 0.0, 0.0
        elif not part.source.counted:
            return None
        narrow = part.route.budgets[0]
        rate_per_s = self._expected_rate(part, float(budgets[narrow]["allowed_per_s"]), pages_per_s)
        if left and (rate_per_s <= 0 or self._client.answers.out_s(part.route)):
            return None
        return time_left.Load(
            done=done + max(0, before) * self._pages_per_key[kind],
            left=left,
            rate_per_s=rate_per_s,
            budgets=part.route.budgets,
            chain_s=longest * (self._limits.latency_s(narrow) or 0.0),
            is_known=part.queue.complete or estimate.is_known(backlog),
            is_behind=part.source.is_behind,
        )

    def _remaining_work(self, part: running_part.RunningPart) -> request_estimate.RemainingWork:
        pages, known = self._ledger.pages, part.source.known
        leased = [lease.unit for lease in part.queue.leases()]
        waiting = [(unit, pages(unit)) for unit in part.queue.waiting_units()]
        begun = [(unit, pages(unit)) for unit in leased] + [each for each in waiting if each[1]]
        fresh = [unit for unit, count in waiting if not count]
        return request_estimate.RemainingWork(begun, fresh, known.requests, known.unsized)

    def _unit_done(self, unit: units.Unit, pages: int) -> None:
        """Learn from it; a line of progress whenever so many more keys of a part have ended."""
        self._estimates[unit.kind].unit_ended(unit, pages)
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
                rows=sum(self._writer.rows.values()),
                eta_s=part["eta_s"],
            )

    def _part(
        self,
        part: running_part.RunningPart,
        load: time_left.Load | None,
        budgets: dict[str, Any],
        pages_per_s: float,
    ) -> dict[str, Any]:
        stats = part.queue.stats()
        known = part.source.known
        done = known.done_before - known.again + stats["done"] + stats["skipped_done"]
        failed = known.failed_before + stats["error"] + stats["skipped_error"]
        # What an earlier run left open comes back, also where the store has its rows by now.
        met = done + failed + stats["leased"] + stats["ready"] + stats["waiting"]
        keys = max(known.keys, met)
        left = load if load is not None and load.is_known else None
        return {
            "units": keys,
            "done": done,
            "error": failed,
            "open": stats["leased"],
            "complete": part.queue.complete,
            "share": (done + failed) / keys if keys else 1.0,
            "pages": part.runner.counts.pages,
            "set_aside": part.set_aside,
            "requests_left": None if left is None else round(left.left),
            "requests_per_s": round(pages_per_s, 2),
            "allowed_per_s": float(budgets[part.route.budgets[0]]["allowed_per_s"]),
            "eta_s": None if left is None else round(left.left_s, 1),
            "unknown_fields": dict(part.runner.counts.unknown_fields),
            **part.pool.stats(),
        }

    def _out(self) -> dict[str, float]:
        """Routes of the parts that have work and only fail: for how many seconds."""
        return {
            route.name: round(out_s, 1)
            for route in self._busy_routes()
            if (out_s := self._client.answers.out_s(route))
        }

    def _busy_routes(self) -> list[endpoints.Route]:
        return [part.route for kind, part in self._parts.items() if self._has_work(kind)]

    def _has_work(self, kind: str) -> bool:
        stats = self._parts[kind].queue.stats()
        return bool(stats["leased"] or stats["ready"] or stats["waiting"])

    def _expected_rate(
        self, part: running_part.RunningPart, allowed_per_s: float, pages_per_s: float
    ) -> float:
        """Requests/s from now on: what is allowed, less where a pace or few workers hold back."""
        if part.runner.counts.pages < _RATE_AFTER:
            return allowed_per_s
        busy_s = max(1e-3, self._busy_s[part.queue.kind])
        return min(allowed_per_s, max(pages_per_s, part.runner.counts.pages / busy_s))

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


def _pages_per_key(ledger: ledgers.Ledger, kinds_of_run: Iterable[str]) -> dict[str, float]:
    """What a key took in earlier runs; where there was none, its part of a request."""
    totals = ledger.totals()
    return {
        kind: totals[kind].pages / totals[kind].keys
        if kind in totals and totals[kind].keys
        else 1 / kinds.KINDS[kind].keys_per_request
        for kind in kinds_of_run
    }
