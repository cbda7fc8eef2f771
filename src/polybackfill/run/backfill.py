"""A run: put the parts together, let the supervisor work, say how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import structlog

from polybackfill import clocks, errors, formats, settings, units
from polybackfill.engine import (
    kinds,
    market_id_cache,
    plan_sync,
    post_run_step,
    running_part,
    source_lag,
    stop_signals,
    store_writer,
    supervisor,
    systemd_notify,
    unit_queue,
    worker,
    worker_pool,
    write_buffer,
)
from polybackfill.inputs import time_arguments
from polybackfill.reports import progress_line, snapshot
from polybackfill.run import (
    api_client,
    bootstrap,
    disk_space,
    new_keys,
    post_run,
    preflight,
    quarantined_rows,
    run_context,
    run_estimate,
    run_request,
    run_scope,
    run_summary,
    startup,
    unit_sources,
)
from polybackfill.store import client, fill_costs, market_ids, plan_table, versions

log = structlog.get_logger()

_LINE_S = 60.0
_POST_RUN_S = 4.0


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
                await stack.enter_async_context(startup.stop_at(request.stop_at, stop))
                space = disk_space.Watch(chosen)
                if not request.dry_run:
                    await stack.enter_async_context(space.stopping(stop))
                begin = partial(_begin, chosen, request, stop, space)
                async with startup.announce_start(systemd_notify.Notifier.from_environment()):
                    run = await startup.cancel_on_stop(stop, startup.with_retries(begin, stack))
                if run is None:
                    summary = run_summary.stopped_early()
                else:
                    if self._estimated:
                        await run.show_estimate()
                    summary = await run.execute(every_s=self._every_s)
                if self._show is not None:
                    # Where nobody listens the exit code stays true.
                    with contextlib.suppress(BrokenPipeError):
                        self._show(summary)
                return summary


async def _begin(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    stop: asyncio.Event,
    space: disk_space.Watch,
    stack: contextlib.AsyncExitStack,
) -> Run:
    """A run with everything it stands on, which `stack` lets go of."""
    opened = run_context.open_run(chosen, stop)
    if request.dry_run:
        opened = run_context.open_dry_run(chosen, with_plan=not request.has_typed_keys)
    context = await stack.enter_async_context(opened)
    request, scope = await run_scope.choose_scope(context.store, request)
    if scope:
        print(scope, file=sys.stderr)
    run = Run(chosen, request, context, stop, space=space, clock=clocks.SourceClock())
    stack.push_async_callback(run.close)
    await run.prepare()
    return run


class Run:
    """All parts of one run, wired."""

    def __init__(
        self,
        chosen: settings.Settings,
        request: run_request.RunRequest,
        context: run_context.RunContext,
        stop: asyncio.Event,
        *,
        space: disk_space.Watch,
        clock: clocks.Clock,
    ) -> None:
        backfill = chosen.backfill
        self._chosen = chosen
        self._request = request
        self._context = context
        self._clock = clock
        self._rng = random.Random()  # noqa: S311  (jitter)
        self._stop = stop
        self._space = space
        self._notifier = systemd_notify.Notifier.from_environment()
        self._budgets = bootstrap.budgets(chosen)
        self._limits = api_client.make_limits(chosen, clock)
        self._client = api_client.make_client(chosen, self._limits, clock)
        self._buffer = write_buffer.WriteBuffer(
            cut_rows=backfill.batch_rows,
            cut_bytes=backfill.batch_bytes,
            cut_age_s=backfill.batch_age_s,
            buffer_bytes=backfill.buffer_bytes,
            clock=clock,
        )
        self._discoveries = new_keys.NewKeys(context.store, request, clock)
        self._lag = source_lag.SourceLag(self._client, clock)
        self._dry_run_sink = store_writer.DryRunSink()
        self._sources = unit_sources.UnitSources(chosen, request, context, self._client, clock)
        self._parts: dict[str, running_part.RunningPart] = {}
        self._preflight = preflight.Preflight()
        portion = chosen.backfill.limit is not None or bool(chosen.backfill.skip)
        is_portion_of_list = request.listed_only and portion
        self._makes_reports = request.fetches_all and backfill.reports and not is_portion_of_list
        self._set_aside = quarantined_rows.QuarantinedRows(context.store, request, portion=portion)
        self._plan_sync: plan_sync.PlanSync | None = None
        self._market_ids: market_ids.MarketIds | None = None
        self._id_cache: market_id_cache.MarketIdCache | None = None
        if context.store is not None and not request.dry_run:
            self._market_ids = market_ids.MarketIds(context.store)
            self._id_cache = market_id_cache.MarketIdCache(self._market_ids, clock=clock)
            self._plan_sync = plan_sync.PlanSync(
                plan=plan_table.PlanTable(context.store),
                ledger=context.ledger,
                leased={
                    kind: partial(self._leased, kind)
                    for kind in plan_table.TABLES
                    if kind in request.kinds
                },
                clock=clock,
            )

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._client.close()

    async def prepare(self) -> None:
        """Bring the plan in line, and build the parts."""
        if self._context.store is not None:
            self._clock.start_above(await versions.newest(self._context.store))
        if self._plan_sync is not None and self._request.window == units.FULL_HISTORY:
            await self._plan_sync.begin()
        if self._plan_sync is not None:
            await self._plan_sync.reopen(self._request.kinds, self._request.window)
        if self._id_cache is not None:
            await self._id_cache.refresh()
        await self._fold_left()
        await self._discoveries.begin()
        await self._set_aside.begin()
        self._preflight = await preflight.before_run(
            self._chosen, self._request, self._client, self._clock
        )
        self._preflight.require_some(self._request.kinds)
        for kind in self._request.kinds:
            if kind not in self._preflight.held_back:
                await self._add_part(kind)

    async def execute(self, *, every_s: float) -> run_summary.RunSummary:
        """Run the parts; how that ended."""
        if not any(part.source.known.keys for part in self._parts.values()):
            return self._nothing_to_do()
        writer = self._writer()
        watch = self._supervisor(writer)
        pictures = self._snapshots(writer, watch)
        watch.add_periodic(supervisor.PeriodicTask("status", 1.0, partial(self._picture, pictures)))
        if self._id_cache is not None:
            watch.add_periodic(
                supervisor.PeriodicTask(
                    "market ids", market_id_cache.REFRESH_S, self._id_cache.refresh
                )
            )
        log.info(
            "run.started", **{kind: part.source.known.keys for kind, part in self._parts.items()}
        )
        shown = asyncio.create_task(
            progress_line.show(pictures.current, every_s=every_s), name="live"
        )
        summary: dict[str, Any] = {}
        try:
            code = await watch.run()
            if watch.state == "finishing":
                summary = await self._run_post_steps(partial(self._picture, pictures))
                watch.finished()
        except Exception as error:
            # Of an error made on purpose the words say all; of a fault of ours the traceback does.
            on_purpose = isinstance(error, errors.BackfillError)
            log.exception("run.failed", error=str(error), exc_info=not on_purpose)
            raise
        finally:
            shown.cancel()
            await asyncio.gather(shown, return_exceptions=True)
            await pictures.tick()
        failed = run_summary.list_failed(
            self._context.ledger, self._request, self._parts, is_own=self._sources.is_own
        )
        picture = {**pictures.current(), **summary, "failed": failed}
        in_error = any(part["error"] for part in picture["parts"].values())
        # Rows that were set aside before are no news; that they are again must not end each night.
        aside = progress_line.set_aside(picture) and picture.get("newly_set_aside") != 0
        if watch.state == "finished" and (in_error or aside or picture["held_back"]):
            code = errors.EXIT_UNITS_IN_ERROR  # also for what earlier runs left in error
        if watch.state == "stopped" and self._space.shortage is not None:
            code = self._space.shortage.exit_code
            print(f"error: {self._space.shortage}", file=sys.stderr)
        log.info("run.ended", state=watch.state, code=code, rows=progress_line.rows(picture))
        return run_summary.summarize(picture, code, dry_run=self._request.dry_run)

    async def _run_post_steps(self, show: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """What is made of the rows when the last unit has ended, for the last picture."""

        async def alive() -> None:
            self._notifier.alive()
            await show()

        self._sources.complete()
        await self._fold_costs(alive)
        await self._catch_up(alive)
        summary: dict[str, Any] = {"disagreements": await self._disagreements()}
        summary |= await self._discoveries.count_new()
        summary["newly_set_aside"] = await self._set_aside.newly()
        return {**summary, "left_behind": await self._make_reports(alive)}

    async def _fold_costs(self, alive: Callable[[], Awaitable[None]]) -> None:
        if self._context.store is not None and not self._request.dry_run:
            folding = self._folding(self._context.store)
            await post_run_step.run_step("fees of fills", folding, stop=self._stop, alive=alive)

    async def _fold_left(self) -> None:
        """What a run that was stopped has left to fold: else one that is stopped every night by
        --until would never come to it.
        """
        if self._context.store is None or self._request.dry_run:
            return
        try:
            await self._folding(self._context.store)
        except errors.BackfillError as error:  # as at the end: it must not cost the night
            log.warning("run.fees_left", error=str(error))

    async def _folding(self, store: client.Store) -> int:
        """Give fills that came from a market's feed the USD and fee that their wallets told."""
        return await fill_costs.fold(store)

    async def _catch_up(self, alive: Callable[[], Awaitable[None]]) -> None:
        if self._market_ids is None or units.LOOKUPS not in self._request.kinds:
            return
        filling = market_id_cache.catch_up(self._market_ids, clock=self._clock)
        done = await post_run_step.run_step("market ids", filling, stop=self._stop, alive=alive)
        if done is not None:
            log.info("market_ids.filled", conditions=done.conditions, trades=done.trades)

    async def _make_reports(self, alive: Callable[[], Awaitable[None]]) -> list[str]:
        store = self._context.store
        if store is None or not self._makes_reports:
            return []
        ledger = self._context.ledger
        return await post_run.make_reports(
            self._chosen, store, ledger, stop=self._stop, alive=alive
        )

    async def _disagreements(self) -> dict[str, int]:
        store = self._context.store
        if store is None or self._request.dry_run or units.RESOLUTIONS not in self._parts:
            return {}
        return await run_summary.disagreements(store)

    async def show_estimate(self) -> None:
        """What lies ahead, before the first request of a run of everything or of a planned list."""
        store = self._context.store
        if store is None or not (self._request.everything or self._request.listed_only):
            return
        document, lines = await run_estimate.make_estimate(
            store, self._request, self._budgets, self._chosen.backfill
        )
        run_estimate.show(lines, document, sys.stderr)
        if notice := disk_space.warning(self._chosen, document["bytes"]):
            print(f"warning: {notice}", file=sys.stderr)

    async def _picture(self, pictures: snapshot.Snapshots) -> None:
        await pictures.tick()
        self._notifier.status(progress_line.line(pictures.current()).strip())

    async def _add_part(self, kind: str) -> None:
        backfill = self._chosen.backfill
        source = await self._sources.source(kind)
        await source.expected()
        queue = unit_queue.Queue(
            kind,
            feed=source.units(),
            ledger=self._context.ledger,
            max_attempts=backfill.max_attempts,
            adopts=self._sources.adopts,
            clock=self._clock,
        )
        runner = worker.UnitRunner(
            kinds.KINDS[kind],
            client=self._client,
            buffer=self._buffer,
            queue=queue,
            pacer=worker.Pacer(backfill.sleep_ms / 1000, self._clock),
            page_attempts=backfill.page_attempts,
            backoff_cap_s=backfill.backoff_cap_s,
            clock=self._clock,
            rng=self._rng,
            lag=self._lag,
            market_ids=self._id_cache,
        )
        pool = worker_pool.WorkerPool(
            kind,
            queue=queue,
            work=runner.run_unit,
            is_outage=runner.is_outage,
            size=lambda: self._pool_size(kind),
            stall_s=backfill.stall_s,
            clock=self._clock,
        )
        self._parts[kind] = running_part.RunningPart(
            pool=pool,
            queue=queue,
            runner=runner,
            source=source,
            route=kinds.KINDS[kind].route,
            quarantined=partial(self._set_aside.count_for, kind),
        )
        self._sources.queues[kind] = queue

    def _pool_size(self, kind: str) -> int:
        workers = self._chosen.backfill.workers
        if isinstance(workers, int):
            return workers
        name = kinds.KINDS[kind].route.budgets[0]
        budget, share = self._budgets[name], self._chosen.backfill.share
        return worker_pool.size_for(budget, share, self._limits.latency_s(name))

    def _outage(self) -> str | None:
        silent = [kinds.KINDS[kind].route for kind in self._parts]
        bound_s = self._chosen.backfill.no_progress_s / 2
        out = [route.name for route in silent if self._client.silent_s(route) > bound_s]
        return out[0] if out else None

    def _leased(self, kind: str) -> list[units.Unit]:
        part = self._parts.get(kind)
        return [lease.unit for lease in part.queue.leases()] if part is not None else []

    def _writer(self) -> store_writer.StoreWriter:
        sink: store_writer.Sink = self._dry_run_sink
        if not self._request.dry_run and self._context.store is not None:
            sink = self._context.store
        return store_writer.StoreWriter(
            buffer=self._buffer,
            sink=sink,
            ledger=self._context.ledger,
            queues_by_kind={kind: part.queue for kind, part in self._parts.items()},
            clock=self._clock,
            rng=self._rng,
        )

    def _supervisor(self, writer: store_writer.StoreWriter) -> supervisor.Supervisor:
        backfill = self._chosen.backfill
        return supervisor.Supervisor(
            pools_by_kind={kind: part.pool for kind, part in self._parts.items()},
            queues_by_kind={kind: part.queue for kind, part in self._parts.items()},
            buffer=self._buffer,
            writer=writer,
            ledger=self._context.ledger,
            sync_plan=self._sync_plan,
            outage=self._outage,
            notifier=self._notifier,
            stop=self._stop,
            bounds=supervisor.Bounds(
                no_progress_s=backfill.no_progress_s,
                grace_s=backfill.grace_s,
                plan_refresh_s=backfill.plan_refresh_s,
            ),
            clock=self._clock,
        )

    def _snapshots(
        self, writer: store_writer.StoreWriter, watch: supervisor.Supervisor
    ) -> snapshot.Snapshots:
        backfill = self._chosen.backfill
        file = (
            None
            if self._request.dry_run
            else snapshot.snapshot_path(backfill.data_dir, backfill.run_name)
        )
        return snapshot.Snapshots(
            run_name=backfill.run_name,
            parts=self._parts,
            ledger=self._context.ledger,
            writer=writer,
            buffer=self._buffer,
            limits=self._limits,
            client=self._client,
            watch=watch,
            file=file,
            clock=clocks.SystemClock(),  # its readers compare it with the clock of this machine
            progress_every=backfill.progress_every,
            stop_at=self._request.stop_at,
            post_run_s=self._post_run_s(file),
            held_back=self._preflight.held_back,
            paths={"data": backfill.data_dir, "checkpoint": self._chosen.ledger_dir},
        )

    def _post_run_s(self, file: Path | None) -> float:
        """As long as it took the last time; at first a guess of no weight beside a night."""
        if not self._makes_reports:
            return 0.0
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if file is not None and (seen := float(orjson.loads(file.read_bytes())["post_run_s"])):
                return seen
        return _POST_RUN_S

    async def _sync_plan(self) -> None:
        if self._plan_sync is not None:
            await self._plan_sync.run()
            return
        # A dry run has no plan to tell; what has ended need not be remembered for that.
        ledger = self._context.ledger
        ends = ledger.transitions_since(ledger.synced_seq)
        if ends:
            ledger.note_plan_synced(ends[-1].seq)

    def _nothing_to_do(self) -> run_summary.RunSummary:
        self._notifier.ready()  # the service manager takes an end without it for a failed start
        return run_summary.nothing_to_do(self._preflight.held_back)
