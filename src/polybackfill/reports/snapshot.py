"""Where a run stands: collected from the owners of the counters once a second, shown by others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import running_part, store_writer, supervisor, time_left
from polybackfill.filesystem import lock, sealed_json
from polybackfill.kinds import registry
from polybackfill.polymarket import http, rate_limiter, route_answers
from polybackfill.reports import fetch_rates, part_loads, run_history, time_outlook, worker_list

log = structlog.get_logger()


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


@dataclass(frozen=True)
class RunHeader:
    """What stays the same in all pictures of a run. `paths`: by what they hold.

    `stop_at`: when it will be stopped, in epoch seconds. `held_back`: kinds, with the reason.
    `job`: what is known now of the job that the run shares with others, None without one.
    """

    run_name: str
    owner: lock.Owner
    started_at: float
    stop_at: float | None = None
    held_back: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, Path] = field(default_factory=dict)
    job: Callable[[], dict[str, Any] | None] = lambda: None

    def fields(self) -> dict[str, Any]:
        """As they stand in the picture."""
        return {
            "run": self.run_name,
            "host": self.owner.host,
            "pid": self.owner.pid,
            "owner": msgspec.to_builtins(self.owner),
            # Whoever reads the picture may stand in another folder.
            "paths": {name: str(path.absolute()) for name, path in self.paths.items()},
            "started_at": round(self.started_at, 1),
            "stop_at": self.stop_at,
            "job": self.job(),
            "held_back": dict(self.held_back),
        }


@dataclass(frozen=True)
class _ApiCounters:
    """Who counts what is asked of the API, and what it answers. `following`: how fresh a run that
    follows is, None while it does not.
    """

    limits: rate_limiter.RateLimiter
    answers: route_answers.RouteAnswers
    following: Callable[[], dict[str, Any] | None]


class _PictureFiles:
    """Where a run leaves its newest picture, samples of those before, and who works on what."""

    def __init__(
        self,
        file: Path,
        parts: Mapping[str, running_part.RunningPart],
        count_pages: Callable[[units.Unit], int],
    ) -> None:
        self._file = file
        self._parts = parts
        self._count_pages = count_pages
        self._listed_at = 0.0
        self._history = run_history.HistoryWriter(run_history.history_path(file))

    def write(self, picture: dict[str, Any]) -> None:
        _replace(self._file, sealed_json.seal(orjson.dumps(picture, default=str)))
        self._history.add(picture)
        if abs(self._listed_at - picture["now"]) > worker_list.EVERY_S:
            self._listed_at = picture["now"]
            pools = (part.pool for part in self._parts.values())
            workers = worker_list.list_workers(pools, self._count_pages)
            _replace(worker_list.workers_path(self._file), workers)


class Snapshots:
    """Samples the counters and keeps the newest picture, in memory and in a file.

    `post_run_s`: how long the steps after the last unit are expected to take.
    """

    def __init__(
        self,
        header: RunHeader,
        *,
        parts: dict[str, running_part.RunningPart],
        checkpoint: run_checkpoint.Checkpoint,
        writer: store_writer.StoreWriter,
        limits: rate_limiter.RateLimiter,
        client: http.Client,
        watch: supervisor.Supervisor,
        following: Callable[[], dict[str, Any] | None] = lambda: None,
        file: Path | None,
        clock: clocks.Clock,
        progress_every: int,
        post_run_s: float = 0.0,
    ) -> None:
        self._header = header
        self._parts = parts
        self._writer = writer
        self._api = _ApiCounters(limits, client.answers, following)
        self._watch = watch
        self._files = None if file is None else _PictureFiles(file, parts, checkpoint.pages)
        self._clock = clock
        self._began_at = clock.monotonic()
        self._rates = fetch_rates.FetchRates(parts, clock)
        self._loads = part_loads.PartLoads(
            parts, checkpoint=checkpoint, limits=limits, client=client, rates=self._rates
        )
        self._outlook = time_outlook.TimeOutlook(
            parts, writer=writer, watch=watch, clock=clock, post_run_s=post_run_s
        )
        self._milestones = _Milestones(progress_every)
        writer.on_done(self._unit_done)

    async def tick(self) -> None:
        """Take a sample and write the picture to the status file."""
        self._rates.sample(self._writer.row_count)
        if self._files is not None:
            self._files.write(self.current())

    def current(self) -> dict[str, Any]:
        """The picture: parts, rows, rates, budgets; share and ETA in seconds, None where nobody can
        tell.
        """
        budgets = self._api.limits.stats()
        rows_per_s, pages_per_s = self._rates.read()
        loads = self._loads.read(budgets, pages_per_s)
        following = self._api.following()
        left = {kind: loads[kind] for kind in loads if not registry.KINDS[kind].is_followed}
        eta_s, share = self._outlook.read(left, budgets)
        if following is not None:
            eta_s, share = 0.0, 1.0
        # One that follows has no work for most of the time, and goes on.
        busy_routes = [
            part.route for part in self._parts.values() if part.has_work or following is not None
        ]
        sent_per_s, allowed_per_s = fetch_rates.requests_per_s(busy_routes, budgets)
        return {
            **self._header.fields(),
            "state": self._watch.state,
            "still_s": round(self._watch.progress.stalled_s, 1),
            "waiting_for": self._watch.progress.waiting_for,
            "took_s": round(self._clock.monotonic() - self._began_at, 1),
            "now": round(self._clock.now(), 1),
            "parts": {
                kind: _part_fields(part, loads[kind], budgets, pages_per_s[kind])
                for kind, part in self._parts.items()
            },
            "share": share,
            **self._writer.stats(),
            "rows_per_s": round(rows_per_s, 1),
            "requests_per_s": sent_per_s,
            "allowed_per_s": allowed_per_s,
            "eta_s": eta_s,
            "post_run_s": round(self._outlook.post_run_s, 1),
            "budgets": budgets,
            "pauses": self._api.limits.pauses(),
            "out": self._loads.out_s(),
            "outcomes": self._api.answers.outcomes(),
            "source_lag_s": self._source_lag_s(),
            "following": following,
        }

    def _source_lag_s(self) -> float | None:
        """How far the Data API was behind the chain when a unit last asked; all parts share it."""
        return next((part.runner.lag.lag_s for part in self._parts.values()), None)

    def _unit_done(self, unit: units.Unit, pages: int) -> None:
        """Learn from it; a line of progress whenever so many more keys of a part have ended."""
        self._loads.unit_ended(unit, pages)
        stats = self._parts[unit.kind].queue.stats()
        if self._milestones.pass_one(unit.kind, stats["done"] + stats["error"]):
            part = self.current()["parts"][unit.kind]
            log.info(
                "part.progress",
                part=unit.kind,
                last=unit.keys[-1],
                done=part["done"],
                error=part["error"],
                of=part["units"],
                share=part["share"] and round(part["share"], 4),
                rows=self._writer.row_count,
                eta_s=part["eta_s"],
            )


class _Milestones:
    """Every so many keys of a part."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._ended: dict[str, int] = {}

    def pass_one(self, kind: str, ended: int) -> bool:
        """Whether one was passed since the last call. `ended`: keys of the kind so far."""
        before, self._ended[kind] = self._ended.get(kind, 0), ended
        return ended // self._every > before // self._every


def _part_fields(
    part: running_part.RunningPart,
    load: time_left.Load | None,
    budgets: dict[str, Any],
    pages_per_s: float,
) -> dict[str, Any]:
    stats = part.queue.stats()
    known = part.source.known
    done = known.done_before - known.again + stats["done"] + stats["skipped_done"]
    failed_before = max(0, known.failed_before - stats["retried_unnamed"])
    failed = failed_before + stats["error"] + stats["skipped_error"]
    # What an earlier run left open comes back, also where the store has its rows by now.
    met = done + failed + stats["leased"] + stats["ready"] + stats["waiting"]
    keys = max(known.keys, met)
    is_counted = part.queue.complete or (keys and part.source.counted)
    left = load if load is not None and load.is_known else None
    return {
        "units": keys,
        "done": done,
        "error": failed,
        "open": stats["leased"],
        "complete": part.queue.complete,
        "share": _share(done + failed, keys) if is_counted else None,
        "pages": part.runner.counts.pages,
        "set_aside": part.set_aside,
        "retries": stats["returns"],
        "requests_left": None if left is None else round(left.left),
        "requests_per_s": round(pages_per_s, 2),
        "allowed_per_s": float(budgets[part.route.budgets[0]]["allowed_per_s"]),
        "eta_s": None if left is None else round(left.left_s, 1),
        "unknown_fields": dict(part.runner.counts.unknown_fields),
        **part.pool.stats(),
    }


def _share(ended: int, keys: int) -> float:
    """Of nothing, everything has ended."""
    return ended / keys if keys else 1.0
