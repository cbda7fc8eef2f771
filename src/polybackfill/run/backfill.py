"""A run: put the parts together, let the supervisor work, say how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from polybackfill import clocks, errors, formats, settings
from polybackfill.engine import (
    grace_period,
    job_shards,
    source_lag,
    stop_signals,
    store_writer,
    supervisor,
    systemd_notify,
)
from polybackfill.filesystem import lock
from polybackfill.inputs import time_arguments
from polybackfill.kinds import registry
from polybackfill.reports import progress_line, snapshot
from polybackfill.run import (
    disk_space,
    error_retries,
    follow_reports,
    follow_sources,
    job_entry,
    job_member,
    new_keys,
    part_builder,
    post_run,
    preflight,
    quarantined_rows,
    run_context,
    run_estimate,
    run_monitor,
    run_request,
    run_scope,
    run_summary,
    shared_state,
    startup,
    store_upkeep,
    unit_sources,
)
from polybackfill.store import candles, fill_costs, versions

log = structlog.get_logger()

_LINE_S = 60.0
_SLICES_AT_START = 10  # of candles: some seconds; a run is there to fetch


class Backfill:
    """One run of a request, which a program or a command starts.

    `show`: called with the summary when the last unit and report are done, before the store closes.
    `every_s`: how often a line of progress goes to standard error. `estimated`: say first what a
    run of everything will cost.
    """

    def __init__(
        self,
        chosen: settings.Settings,
        request: run_request.RunRequest,
        *,
        show: Callable[[run_summary.RunSummary], None] | None = None,
        every_s: float = _LINE_S,
        estimated: bool = True,
    ) -> None:
        self._chosen = chosen
        self._request = request
        self._show = show
        self._every_s = every_s
        self._estimated = estimated

    async def run(self) -> run_summary.RunSummary:
        """Run to the end, or to SIGTERM or SIGINT, which it catches. Raises errors.Stop, Retry."""
        chosen, request = self._chosen, self._request
        stop = asyncio.Event()
        if request.stop_at is not None:
            left = formats.duration(request.stop_at - time.time())
            print(f"until {time_arguments.local_text(request.stop_at)}, in {left}", file=sys.stderr)
        with stop_signals.catch_stop_signals(stop):
            async with contextlib.AsyncExitStack() as stack:
                monitor = await stack.enter_async_context(
                    run_monitor.open_monitor(chosen, request, stop)
                )
                await stack.enter_async_context(startup.stop_at(request.stop_at, stop))
                space = disk_space.Watch(chosen)
                if not request.dry_run:
                    await stack.enter_async_context(space.stopping(stop))
                begin = partial(_begin, chosen, request, stop, space=space, monitor=monitor)
                async with startup.announce_start(systemd_notify.Notifier.from_environment()):
                    run = await startup.cancel_on_stop(stop, startup.with_retries(begin, stack))
                if run is None:
                    summary = run_summary.stopped_early()
                else:
                    if self._estimated:
                        await run.show_estimate()
                    summary = await run.execute(every_s=self._every_s)
                monitor.note_end(summary)
                if self._show is not None:
                    # Where nobody listens the exit code stays true.
                    with contextlib.suppress(BrokenPipeError):
                        self._show(summary)
                return summary


async def _begin(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    stop: asyncio.Event,
    stack: contextlib.AsyncExitStack,
    *,
    space: disk_space.Watch,
    monitor: run_monitor.RunMonitor,
) -> Run:
    """A run with everything it stands on, which `stack` lets go of."""
    opened = run_context.open_run(chosen, stop)
    if request.dry_run:
        opened = run_context.open_dry_run(chosen, with_plan=not request.has_typed_keys)
    context = await stack.enter_async_context(opened)
    request, scope = await run_scope.choose_scope(context.store, request)
    if scope:
        print(scope, file=sys.stderr)
    job = await stack.enter_async_context(job_entry.joined(chosen, request, context.store, stop))
    context = dataclasses.replace(context, job=job)
    state = shared_state.make_state(chosen, request, context, stop, space)
    stack.push_async_callback(state.api.client.close)
    run = Run(state, monitor)
    await run.prepare()
    return run


class Run:
    """The stages of one run: prepare it, work until the supervisor is through, sum up."""

    def __init__(self, state: shared_state.SharedState, monitor: run_monitor.RunMonitor) -> None:
        store, request, clock = state.context.store, state.request, state.clock
        self._state = state
        self._monitor = monitor
        self._upkeep = store_upkeep.StoreUpkeep(state)
        self._new_keys = new_keys.NewKeys(store, request, clock)
        self._quarantined = quarantined_rows.QuarantinedRows(
            store, request, portion=state.is_portion
        )
        self._sources = unit_sources.UnitSources(
            state.chosen, request, state.context, state.api.client, clock
        )
        lag = source_lag.SourceLag(state.api.client, clock)
        self._follow: follow_sources.FollowSources | None = None
        if request.follow:
            self._follow = follow_sources.FollowSources(state, self._sources, lag)
        self._builder = part_builder.PartBuilder(
            state,
            self._sources,
            self._quarantined,
            market_ids=self._upkeep.id_cache,
            lag=lag,
            follow=self._follow,
        )
        self._inserting = asyncio.Lock()
        self._post_run = post_run.PostRun(
            state,
            self._new_keys,
            self._quarantined,
            self._upkeep.market_ids,
            inserting=self._inserting,
        )
        self._held_back: Mapping[str, str] = {}

    async def prepare(self) -> None:
        """Bring the plan in line, and build the parts."""
        state, kinds_of_run = self._state, self._state.request.kinds
        if state.context.store is not None:
            state.clock.start_above(await versions.newest(state.context.store, registry.VERSIONS))
        if not state.request.dry_run:
            state.paused.read()
        if waits_for := state.paused.describe():
            print(f"warning: it waits for {waits_for}: polybackfill ui", file=sys.stderr)
        await self._upkeep.begin()
        await self._fold_left()
        await self._new_keys.begin()
        await self._quarantined.begin()
        checked = await preflight.before_run(
            state.chosen, state.request, state.api.client, state.clock
        )
        checked.require_some(kinds_of_run)
        self._held_back = checked.held_back
        if state.context.job is not None:
            state.context.job.require_all(self._held_back)
        for kind in kinds_of_run:
            if kind not in self._held_back:
                await self._builder.add(kind)

    async def show_estimate(self) -> None:
        """What lies ahead, before the first request of a run of everything or of a planned list."""
        chosen, request, store = self._state.chosen, self._state.request, self._state.context.store
        if store is None or not (request.everything or request.listed_only):
            return
        document, lines = await run_estimate.make_estimate(
            store, request, self._state.api.budgets, chosen.backfill, hosts=self._hosts
        )
        run_estimate.show(lines, document, sys.stderr)
        if notice := disk_space.warning(chosen, document["bytes"]):
            print(f"warning: {notice}", file=sys.stderr)

    @property
    def _hosts(self) -> int:
        """How many daemons share the work now."""
        job = self._state.context.job
        return 1 if job is None else job.hosts

    async def execute(self, *, every_s: float) -> run_summary.RunSummary:
        """Run the parts; how that ended."""
        known = {kind: part.source.known.keys for kind, part in self._state.parts.items()}
        # Of a job the keys are claimed when the work begins.
        shared = self._state.context.job is not None
        if not (any(known.values()) or shared or self._follow is not None):
            # The service manager takes an end without it for a failed start.
            self._state.notifier.ready()
            return run_summary.nothing_to_do(self._held_back)
        writer = self._writer()
        watch = self._supervisor(writer)
        pictures = self._snapshots(writer, watch)
        tell = partial(self._tell, pictures)
        tasks = [supervisor.PeriodicTask("status", 1.0, tell), *self._upkeep.periodic()]
        if not self._state.request.dry_run:
            retries = error_retries.ErrorRetries(self._state, self._upkeep)
            tasks.append(supervisor.PeriodicTask("retries", 1.0, retries.run))
        for task in tasks:
            watch.add_periodic(task)
        if self._follow is not None and not self._state.request.dry_run:
            watch.add_periodic(self._follow_reports(self._follow).periodic(pictures.current))
        if (job := self._state.context.job) is not None:
            watch.add_periodic(supervisor.PeriodicTask("job", 1.0, self._follow_job))
            job.work = self._job_work(job, watch, pictures)
        self._monitor.publish(pictures.current())  # what was in error before is no news
        log.info("run.started", keys_known=known)
        summary: dict[str, Any] = {}
        stopping = grace_period.StopTime(self._state.stop, self._state.clock)
        async with _shown(pictures, every_s, tell), stopping:
            code = await watch.run()
            if watch.state == "stopped" and self._follow is not None:
                within_s = stopping.left_s(self._state.chosen.backfill.grace_s)
                lines = await self._post_run.report_stop(pictures.current, within_s=within_s)
                summary = {"left_behind": lines}
            if watch.state == "finishing":
                self._sources.complete()
                summary = await self._make_post_run(pictures)
                watch.finished()
        return self._sum_up({**pictures.current(), **summary}, watch.state, code)

    def _sum_up(self, picture: dict[str, Any], ended: str, code: int) -> run_summary.RunSummary:
        """The summary of a run whose last picture this is. `ended`: the supervisor's state."""
        state = self._state
        picture["failed"] = run_summary.list_failed(
            state.context.checkpoint, state.request, state.parts, is_own=self._sources.is_own
        )
        in_error = any(part["error"] for part in picture["parts"].values())
        # Rows that were set aside before are no news; that they are again must not end each night.
        aside = progress_line.set_aside(picture) and picture.get("newly_set_aside") != 0
        if ended == "finished" and (in_error or aside or picture["held_back"]):
            code = errors.EXIT_UNITS_IN_ERROR  # also for what earlier runs left in error
        if ended == "stopped" and state.space.shortage is not None:
            code = state.space.shortage.exit_code
            print(f"error: {state.space.shortage}", file=sys.stderr)
        log.info("run.ended", state=ended, code=code, rows=progress_line.rows(picture))
        return run_summary.summarize(picture, code, dry_run=state.request.dry_run)

    async def _make_post_run(self, pictures: snapshot.Snapshots) -> dict[str, Any]:
        """What follows the last unit: of a job one daemon does it, and the others wait for that."""
        alive, job = partial(self._tell_alive, pictures), self._state.context.job
        if job is not None and not await job.leads_post_run(alive):
            return {}
        summary = await self._post_run.run(alive, pictures.current)
        if job is not None:
            await job.finish_post_run()
        return summary

    def _job_work(
        self,
        job: job_member.JobMember,
        watch: supervisor.Supervisor,
        pictures: snapshot.Snapshots,
    ) -> job_member.Work:
        return job_member.Work(
            claims=lambda: watch.state == "running",
            is_moving=lambda: watch.state != "running" or watch.progress.moves,
            busy=self._busy_shards,
            sync_plan=self._upkeep.sync_plan,
            facts=lambda: job_member.pick_facts(pictures.current(), self._state.parts, job),
        )

    async def _follow_job(self) -> None:
        """What the job's other daemons have done; ends the run where they went on without it."""
        if (job := self._state.context.job) is not None:
            await job.check()
            self._sources.flow.note_elsewhere(job.rows_elsewhere)

    def _busy_shards(self, shards: job_shards.KindShards) -> set[int]:
        """Shards with units in the queue of their kind."""
        queue = self._state.parts[shards.kind].queue
        in_hand = [lease.unit for lease in queue.leases()]
        return {
            shards.number(key) for unit in (*in_hand, *queue.waiting_units()) for key in unit.keys
        }

    def _waits_for(self) -> str | None:
        """What a person has paused, or what other daemons of the job do, while nothing is left."""
        job, is_empty = self._state.context.job, not self._state.buffer.stats()["rows"]
        others = job.waits_for() if job is not None and is_empty else None
        return self._state.paused.describe() or others

    async def _fold_left(self) -> None:
        """What a run that was stopped has left to fold, and some of its candles: else one that is
        stopped every night by --until would never come to it.
        """
        if (store := self._state.store_to_write) is None or self._state.context.job is not None:
            return  # of a job others may insert meanwhile
        try:
            await fill_costs.fold(store)
            await candles.make_marked(store, most_slices=_SLICES_AT_START)
        except errors.BackfillError as error:  # as at the end: it must not cost the night
            log.warning("run.fees_and_candles_left", error=str(error))

    async def _tell(self, pictures: snapshot.Snapshots) -> None:
        """Take a picture, and show it to the service manager and to who else looks."""
        if not self._state.request.dry_run:
            self._state.paused.read()
        await pictures.tick()
        picture = pictures.current()
        self._state.notifier.status(progress_line.line(picture).strip())
        self._monitor.publish({**picture, "paused": sorted(self._state.paused.kinds)})

    async def _tell_alive(self, pictures: snapshot.Snapshots) -> None:
        """The same while the supervisor, who else says so, is through."""
        self._state.notifier.alive()
        await self._tell(pictures)

    def _sink(self) -> store_writer.Sink:
        state, sink = self._state, self._state.store_to_write
        if sink is None:
            return store_writer.DryRunSink()
        if state.context.job is not None:
            slices = state.chosen.backfill.job_slices
            return job_entry.make_sink(state.context.job, sink, slices)
        return store_writer.ExclusiveSink(sink, self._inserting)

    def _writer(self) -> store_writer.StoreWriter:
        return store_writer.StoreWriter(
            buffer=self._state.buffer,
            sink=self._sink(),
            checkpoint=self._state.context.checkpoint,
            queues_by_kind={kind: part.queue for kind, part in self._state.parts.items()},
            clock=self._state.clock,
            rng=random.Random(),  # noqa: S311  (jitter)
        )

    def _supervisor(self, writer: store_writer.StoreWriter) -> supervisor.Supervisor:
        state, backfill = self._state, self._state.chosen.backfill
        return supervisor.Supervisor(
            pools_by_kind={kind: part.pool for kind, part in state.parts.items()},
            buffer=state.buffer,
            writer=writer,
            checkpoint=state.context.checkpoint,
            sync_plan=self._upkeep.sync_plan,
            outage=state.silent_route,
            paused=self._waits_for,
            notifier=state.notifier,
            stop=state.stop,
            bounds=supervisor.Bounds(
                no_progress_s=backfill.no_progress_s,
                grace_s=backfill.grace_s,
                plan_refresh_s=backfill.plan_refresh_s,
            ),
            clock=state.clock,
        )

    def _follow_reports(self, follow: follow_sources.FollowSources) -> follow_reports.FollowReports:
        return follow_reports.FollowReports(
            self._post_run,
            follow,
            round_s=self._state.chosen.backfill.follow_round_s,
            note_day=self._monitor.note_day,
            clock=self._state.clock,
        )

    def _snapshots(
        self, writer: store_writer.StoreWriter, watch: supervisor.Supervisor
    ) -> snapshot.Snapshots:
        state, backfill = self._state, self._state.chosen.backfill
        file: Path | None = snapshot.snapshot_path(backfill.data_dir, backfill.run_name)
        if state.request.dry_run:
            file = None
        clock = clocks.SystemClock()  # its readers compare it with the clock of this machine
        started_at = clock.now()
        header = snapshot.RunHeader(
            run_name=backfill.run_name,
            owner=lock.this_process(started_at),
            started_at=started_at,
            stop_at=state.request.stop_at,
            held_back=self._held_back,
            job=lambda: None if (job := state.context.job) is None else job.describe(),
            paths={"data": backfill.data_dir, "checkpoint": state.chosen.checkpoint_path},
        )
        return snapshot.Snapshots(
            header,
            parts=state.parts,
            checkpoint=state.context.checkpoint,
            writer=writer,
            limits=state.api.limits,
            client=state.api.client,
            watch=watch,
            following=self._follow.describe if self._follow is not None else lambda: None,
            file=file,
            clock=clock,
            progress_every=backfill.progress_every,
            post_run_s=self._post_run.expected_s(file),
        )


@contextlib.asynccontextmanager
async def _shown(
    pictures: snapshot.Snapshots, every_s: float, tell: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Lines of progress while the block lasts, the reason in the log if it fails, and a last
    picture, shown by `tell`, however it ends.
    """
    lines = asyncio.create_task(progress_line.show(pictures.current, every_s=every_s), name="live")
    try:
        yield
    except Exception as error:
        # Of an error made on purpose the words say all; of a fault of ours the traceback does.
        on_purpose = isinstance(error, errors.BackfillError)
        log.exception("run.failed", error=str(error), exc_info=not on_purpose)
        raise
    finally:
        lines.cancel()
        await asyncio.gather(lines, return_exceptions=True)
        await tell()
