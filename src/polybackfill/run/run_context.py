"""What a run stands on: folders, log, lock, store and checkpoint."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from polybackfill import clocks, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import grace_period
from polybackfill.filesystem import lock
from polybackfill.reports import logs
from polybackfill.run import api_client, bootstrap, disk_space, job_member, reconcile
from polybackfill.store import client, migrate, ownership


@dataclass(frozen=True)
class RunContext:
    """The checkpoint this process owns, and the store (None: a dry run of typed keys). `job`: the
    place of this daemon in a job, None for a run on its own.
    """

    checkpoint: run_checkpoint.Checkpoint
    store: client.Store | None
    job: job_member.JobMember | None = None


@contextlib.asynccontextmanager
async def open_run(chosen: settings.Settings, stop: asyncio.Event) -> AsyncIterator[RunContext]:
    """All of it, in the order in which a refusal costs least. Raises errors.Stop, Retry.

    Once `stop` is set, the end takes no longer than its part of the grace period.
    """
    backfill = chosen.backfill
    await bootstrap.check_server(chosen)
    bootstrap.make_folder(chosen.checkpoint_path, "BACKFILL_CHECKPOINT_DIR")
    bootstrap.make_folder(backfill.data_dir, "BACKFILL_DATA_DIR")
    disk_space.require(chosen)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(lock.hold(chosen.checkpoint_path, run_name=backfill.run_name))
        stack.enter_context(lock_data(chosen))
        await stack.enter_async_context(api_client.hold_limits(chosen, "run"))
        stack.enter_context(
            logs.configured(
                level=backfill.log_level,
                file=bootstrap.log_file(chosen),
                limit_bytes=backfill.log_bytes,
                files=backfill.log_files,
            )
        )
        ours = await stack.enter_async_context(claim_database(chosen, job=backfill.job))
        store = await stack.enter_async_context(bootstrap.open_store(chosen))
        if ours is not None:
            store.before_write = ours.confirm
        if not backfill.job:  # what runs there may be another member's
            await store.settle_leftovers()
        await migrate.up(store)
        await migrate.restore(store)
        await bootstrap.declare_inflated(chosen, store)
        checkpoint = await reconcile.open_checkpoint(
            store, chosen.checkpoint_path, fold_units=backfill.fold_every
        )
        try:
            await reconcile.begin(store, checkpoint, chosen.checkpoint_path, job=backfill.job)
            yield RunContext(checkpoint, store)
        finally:
            checkpoint.close()
        within_s = backfill.grace_s * (grace_period.END_SHARE if stop.is_set() else 1.0)
        await reconcile.end(store, chosen.checkpoint_path, backfill.run_name, within_s=within_s)


def lock_data(
    chosen: settings.Settings,
) -> contextlib.AbstractContextManager[object]:
    """The only writer of the embedded store, whatever its checkpoint folder."""
    if not bootstrap.store_address(chosen).embedded:
        return contextlib.nullcontext()
    backfill = chosen.backfill
    return lock.hold(backfill.data_dir, run_name=backfill.run_name, target=lock.DATA)


@contextlib.asynccontextmanager
async def claim_database(
    chosen: settings.Settings, *, job: str = ""
) -> AsyncIterator[ownership.Ownership | None]:
    """The only writer of a server's database, or a daemon of its `job`; None for the embedded
    store.
    """
    address = bootstrap.store_address(chosen)
    if address.embedded:
        yield None
        return
    async with ownership.owned(
        address,
        run_name=chosen.backfill.run_name,
        clock=clocks.SystemClock(),
        job=job,
        release_s=chosen.backfill.grace_s * grace_period.CLAIM_SHARE,
    ) as ours:
        yield ours


@contextlib.asynccontextmanager
async def open_dry_run(chosen: settings.Settings, *, with_plan: bool) -> AsyncIterator[RunContext]:
    """For a dry run: a checkpoint that is thrown away; the store is only read, for the plan."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(api_client.hold_limits(chosen, "run --dry-run"))
        stack.enter_context(logs.configured(level=chosen.backfill.log_level, file=None))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="polybackfill-dry-"))
        checkpoint = stack.enter_context(
            contextlib.closing(run_checkpoint.Checkpoint.open(Path(folder), store_id="dry-run"))
        )
        store = None
        if with_plan:
            bootstrap.require_store(chosen)
            store = await stack.enter_async_context(bootstrap.open_store(chosen))
        yield RunContext(checkpoint, store)
