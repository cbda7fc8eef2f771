"""How a daemon enters a job and leaves it: what the job fetches, its place, and its inserts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import structlog

from polybackfill import clocks, errors, settings
from polybackfill.engine import grace_period
from polybackfill.filesystem import lock
from polybackfill.kinds import registry
from polybackfill.run import bootstrap, job_member, run_request
from polybackfill.store import client, cluster, job_tables, sliced_insert

log = structlog.get_logger()


def define(request: run_request.RunRequest, backfill: settings.BackfillSettings) -> str:
    """What a job fetches, in one form: JSON. Raises errors.Stop for what cannot be shared."""
    is_portion = backfill.limit is not None or backfill.skip
    if request.has_typed_keys or request.dry_run or request.follow or is_portion:
        raise errors.Stop(
            "BACKFILL_JOB shares a run of the plan, or of everything: leave out lists of keys, "
            "--limit, --skip, --follow and --dry-run, or leave out BACKFILL_JOB"
        )
    document = {
        "parts": [part for part in run_request.PARTS if part in request.parts],
        "since": request.window[0],
        "until": request.window[1],
        "planned_list": request.listed_only,
        "shards": backfill.job_shards,
        "slices": backfill.job_slices,
    }
    return msgspec.json.encode(document).decode()


@contextlib.asynccontextmanager
async def joined(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    store: client.Store | None,
    stop: asyncio.Event,
) -> AsyncIterator[job_member.JobMember | None]:
    """A member of the job of the settings inside the block; None without one.

    Raises errors.Stop for a store that cannot be shared, and naming both where the job is another.
    """
    backfill = chosen.backfill
    if not backfill.job or store is None:
        yield None
        return
    clock, address = clocks.SystemClock(), bootstrap.store_address(chosen)
    if address.embedded:
        raise errors.Stop(
            f"BACKFILL_JOB = {backfill.job}: the embedded store belongs to one daemon. Name the "
            "ClickHouse server of the job with CLICKHOUSE_HOST, or leave BACKFILL_JOB out"
        )
    definition = define(request, backfill)
    own = await cluster.open_store(address, clock=clock)
    try:
        tables = job_tables.JobTables(own, clock)
        await tables.create()
        job = await tables.define(backfill.job, definition)
        if job.definition != definition:
            raise errors.Stop(
                f"job {job.name} is another: it was begun with {job.definition}, and this daemon "
                f"would work with {definition}. Start it with the same words and settings, or give "
                "BACKFILL_JOB another name"
            )
        before = await tables.shards(job)
        if before and all(shards.all_done for shards in before.values()):
            job = await tables.begin_round(job)
        member = job_member.JobMember(
            tables,
            job,
            _count_shards(request.kinds, backfill.job_shards),
            lease_s=backfill.job_lease_s,
            run_name=backfill.run_name,
            clock=clock,
        )
        await member.enter(lock.this_process(clock.now(), backfill.run_name))
        log.info("job.joined", job=job.name, round=job.round, member=member.name)
        store.fence, before_write = job_tables.fence(member.name), store.before_write

        async def confirm() -> None:
            await before_write()
            await member.confirm()

        store.before_write = confirm
        keeping = asyncio.create_task(member.keep(), name="job")
        try:
            yield member
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            share = grace_period.CLAIM_SHARE if stop.is_set() else 1.0
            with contextlib.suppress(errors.BackfillError, TimeoutError):
                async with asyncio.timeout(backfill.grace_s * share):
                    await member.leave()
            store.fence, store.before_write = None, before_write
    finally:
        await own.close()


def _count_shards(kinds: tuple[str, ...], count: int) -> dict[str, int]:
    """By kind: a list is read by one daemon at a time."""
    return {kind: count if registry.KINDS[kind].is_shared else 1 for kind in kinds}


def make_sink(
    member: job_member.JobMember, store: client.Store, slices: int
) -> sliced_insert.SlicedInsert:
    """Where the writer of a member inserts its rows."""
    return sliced_insert.SlicedInsert(
        store,
        member.tables,
        job=member.job.name,
        member=member.name,
        slices=slices,
        most=lambda: max(1, slices // member.hosts),
        clock=clocks.SystemClock(),
    )
