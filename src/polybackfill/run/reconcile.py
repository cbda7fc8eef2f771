"""Before a run says "proven": after any unclean end its receipts are compared with the tables.

A power cut, a disk that lost blocks, a data folder put back from an older copy, a table that was
dropped and made anew: in each case the checkpoint may know more than the store holds. What is
missing is forgotten, so that the run fetches it again; the rows that are there are not doubled.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path

import structlog

from polybackfill import errors, formats
from polybackfill.checkpoint import restoration, run_checkpoint, store_state
from polybackfill.checks import lost_rows, receipt_table
from polybackfill.kinds import proof, registry
from polybackfill.store import client, inspection, migrate, plan_table, stored_receipts

log = structlog.get_logger()

_LISTS = tuple(kind.name for kind in registry.ALL if isinstance(kind.proof, proof.NewestSweep))


async def begin(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint, folder: Path, *, job: str = ""
) -> None:
    """Put the store's receipts in line, compare where there is doubt, and note that a run is going
    on.

    `folder`: the checkpoint's; `job`: that the run shares with others. Raises what store and
    checkpoint raise; the next start compares.
    """
    await inspection.mend_projections(store)
    await stored_receipts.StoredReceipts(store, checkpoint.run_name, job=job).align(checkpoint)
    before, now = store_state.read(folder), await _inspect(store)
    if checkpoint.stats()["seq"]:
        token = before.clean_stop if before is not None else ""
        known = await inspection.knows_token(store, token)
        doubts = store_state.doubts(before, now, token_known=known)
        if doubts.reasons:
            await _compare(store, checkpoint, doubts)
    # From here on only a clean end spares the next start the comparison.
    store_state.write(folder, now)


async def end(store: client.Store, folder: Path, run_name: str, *, within_s: float) -> None:
    """A clean end: leave the same token in store and checkpoint.

    Not where the tables are no longer those of the beginning, or the store is away or silent for
    `within_s`: then the next start compares.
    """
    try:
        async with asyncio.timeout(within_s):
            before, now = (
                store_state.read(folder),
                await _inspect(store),
            )
            if before is None or store_state.changes(before, now):
                return
            token = await inspection.leave_token(store, run_name)
            store_state.write(folder, await _inspect(store, clean_stop=token))
    except (errors.BackfillError, TimeoutError) as error:
        log.warning("run.clean_stop_not_recorded", error=str(error) or "timeout")


async def open_checkpoint(
    store: client.Store, folder: Path, *, fold_units: int | None = None
) -> run_checkpoint.Checkpoint:
    """The checkpoint of this store, for the one owner of its folder; restored where it is lost.

    Raises what the store raises, and errors.Stop as `Checkpoint.open`.
    """
    store_id = await migrate.store_id(store)
    await restore(store, folder, store_id)
    # Nothing else runs yet, and a thread that reads could outlive the lock at a stop.
    return run_checkpoint.Checkpoint.open(folder, store_id=store_id, fold_units=fold_units)


async def restore(store: client.Store, folder: Path, store_id: str) -> None:
    """Where the checkpoint is lost, make one of the receipts that the store has of this run.

    What they claim is compared with the tables by `begin`, if the folder is lost as a whole.
    """
    if not restoration.is_new(folder):
        return
    restored = restoration.Restoration(folder, store_id)
    async for receipts in stored_receipts.StoredReceipts(store, folder.name).read():
        restored.add(receipts)
    if not restored.units:
        return
    restored.end()
    log.info("checkpoint.restored", units=restored.units)
    receipts_text = formats.counted(restored.units, "receipt")
    print(f"no checkpoint in {folder}: made of the {receipts_text} in the store", file=sys.stderr)


async def emptied(store: client.Store, folder: Path) -> None:
    """The tables were emptied on purpose, and the checkpoint knows: that is no loss."""
    before = store_state.read(folder)
    if before is not None:
        state = await _inspect(store, clean_stop=before.clean_stop)
        store_state.write(folder, state)


async def _inspect(store: client.Store, *, clean_stop: str = "") -> store_state.StoreState:
    return await inspection.inspect(store, registry.WATCHED, clean_stop=clean_stop)


async def _compare(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint, doubts: store_state.Doubts
) -> None:
    log.info("store.compare", reasons=doubts.reasons)
    reasons = "; ".join(doubts.reasons)
    print(f"comparing receipts with the tables: {reasons}", file=sys.stderr)
    async with receipt_table.filled(store, checkpoint, others=False) as table:
        numbers, lists = await lost_rows.gone(store, table, harmed=doubts.harmed)
    lost: dict[str, list[str]] = defaultdict(list)
    for number, unit in receipt_table.numbered(checkpoint) if numbers else ():
        if number in numbers:
            lost[unit.kind] += unit.keys
    for kind, keys in lost.items():
        await _fetch_again(store, checkpoint, kind, list(dict.fromkeys(keys)))
    for kind in _LISTS if lists else ():
        checkpoint.forget(kind)
    await checkpoint.sync()
    _tell({kind: len(set(keys)) for kind, keys in lost.items()}, lists=lists)


async def _fetch_again(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint, kind: str, keys: list[str]
) -> None:
    """The plan first: a crash before the checkpoint follows leaves rows that look like set back by
    hand, and the run takes those for what they are."""
    if kind in plan_table.TABLES:
        plan = plan_table.PlanTable(store)
        if not any((await plan.counts(kind)).values()):
            rows = [plan_table.PlanRow(key, rank) for rank, key in enumerate(keys, 1)]
            await plan.add(kind, rows)
            log.warning("plan.was_empty", kind=kind, keys=len(keys))
        await plan.reopen(kind, keys)
    checkpoint.forget(kind, keys)


def _tell(lost: dict[str, int], *, lists: bool) -> None:
    log.info("store.compared", lost=lost, lists_again=lists)
    if not lost and not lists:
        print("  nothing is missing", file=sys.stderr)
        return
    counts = [f"{count:,} {kind}" for kind, count in lost.items()]
    counts += ["the lists of markets and events"] if lists else []
    print(f"  rows are missing and are fetched again: {', '.join(counts)}", file=sys.stderr)
