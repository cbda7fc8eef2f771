"""The embedded store copied to a server or a cluster, with the checkpoint, so that a run goes on
there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from polybackfill import errors, formats, settings
from polybackfill.checkpoint import handover
from polybackfill.filesystem import lock
from polybackfill.run import bootstrap, reconcile, run_context
from polybackfill.store import (
    client,
    definitions,
    fill_costs,
    migrate,
    stored_receipts,
    table_copy,
)

# By the first of them a checkpoint knows the store.
_NOT_COPIED = frozenset({"clean_stops"})
_YOURS = frozenset({"pm_trades", "trades_raw", "vw_trades_canonical"})
_TABLES = """
SELECT name, ifNull(total_rows, 0) AS stored FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
ORDER BY name
"""
_RUNS = "SELECT DISTINCT run_name FROM backfill_receipts ORDER BY run_name"


@dataclass(frozen=True)
class Pushed:
    """What is there now. `tables`: by name, as they were compared on both sides; `left`: tables
    that are none of this program's; `checkpoint`: the folder of the run's checkpoint for there.
    """

    tables: dict[str, table_copy.Content]
    left: list[str]
    checkpoint: Path
    is_handed_over: bool


async def push(chosen: settings.Settings, target: settings.Settings) -> Pushed:
    """Copy what the target lacks; a push that was killed goes on. `target`: the settings with the
    server. Raises errors.Stop when a run is going on here or there, or the target holds other rows.
    """
    with (
        lock.hold(chosen.checkpoint_path, run_name=chosen.backfill.run_name),
        run_context.lock_data(chosen),
    ):
        async with (
            run_context.claim_database(target) as ours,
            bootstrap.open_store(chosen, migrated=True) as source,
            bootstrap.open_store(target, migrated=True) as server,
        ):
            if ours is not None:
                server.before_write = ours.confirm
            await server.settle_leftovers()
            await migrate.restore(server)
            await fill_costs.fold(source)  # which server they belong to the fills alone tell
            await _settle_checkpoint(chosen, source)
            contents, left = await _copy(source, server)
            folder = target_folder(chosen, target) / chosen.backfill.run_name
            store_id = await migrate.store_id(server)
            handed_over = handover.hand_over(chosen.checkpoint_path, folder, store_id)
            return Pushed(contents, left, folder, handed_over)


def target_folder(chosen: settings.Settings, target: settings.Settings) -> Path:
    """BACKFILL_CHECKPOINT_DIR of runs that write to the server."""
    address = bootstrap.store_address(target)
    name = f"{address.host}-{address.server_port}-{address.database}".replace("/", "_")
    return chosen.backfill.data_dir / "pushed" / name


async def _settle_checkpoint(chosen: settings.Settings, source: client.Store) -> None:
    """All of it in its segments, and what a killed run could not tell the store told. Raises
    errors.Stop for an empty one beside which another run has filled the store.
    """
    checkpoint = await reconcile.open_checkpoint(source, chosen.checkpoint_path)
    try:
        runs = [row["run_name"] for row in await source.rows(_RUNS)]
        if runs and not checkpoint.stats()["seq"]:
            raise errors.Stop(
                f"the checkpoint goes along, and that of run {checkpoint.run_name} is empty: name "
                f"the run that filled this store with --run-name ({', '.join(runs)})"
            )
        await stored_receipts.StoredReceipts(source, checkpoint.run_name).align(checkpoint)
        await checkpoint.fold()
    finally:
        checkpoint.close()


async def _copy(
    source: client.Store, server: client.Store
) -> tuple[dict[str, table_copy.Content], list[str]]:
    """Every table beside its place first, then all into their places."""
    stored = {row["name"]: row["stored"] for row in await source.rows(_TABLES)}
    known = [name for name in definitions.created() if name in stored and name not in _NOT_COPIED]
    wanted = [name for name in known if stored[name] or name not in _YOURS]
    copies = [table_copy.TableCopy(source, server, name) for name in wanted]
    contents = {}
    for copy in copies:
        contents[copy.table] = await copy.fill()
        if contents[copy.table].rows:
            rows = formats.counted(contents[copy.table].rows, "row")
            print(f"{copy.table}: {rows}, the same on both sides", file=sys.stderr)
    for copy in copies:
        await copy.show()
    ours = {*known, *_NOT_COPIED, "schema_migrations", "backfill_owners"}
    return contents, [name for name in stored if name not in ours and stored[name]]


def source_settings(chosen: settings.Settings) -> settings.Settings:
    """Those of the embedded store; raises errors.Stop where they name a server already.

    CLICKHOUSE_CLUSTER is about the target.
    """
    address = bootstrap.store_address(chosen)
    if not address.embedded:
        raise errors.Stop(
            f"CLICKHOUSE_HOST names {address.location}, and push copies the embedded store: leave "
            "it unset and name the server with --to"
        )
    alone = chosen.clickhouse.model_copy(update={"cluster": None})
    return chosen.model_copy(update={"clickhouse": alone})
