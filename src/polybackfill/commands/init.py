"""`polybackfill init`."""

from __future__ import annotations

import argparse

from polybackfill import errors, settings
from polybackfill.run import bootstrap, run_scope
from polybackfill.store import migrate


def init(arguments: argparse.Namespace) -> int:
    """Make folders and tables; a second time nothing is left to do."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    bootstrap.make_folder(chosen.backfill.checkpoint_dir, "BACKFILL_CHECKPOINT_DIR")
    address, applied, restored, following = bootstrap.run(_init(chosen))
    if arguments.json:
        bootstrap.print_json(
            {"store": address, "applied": applied, "restored": restored, "next": following}
        )
        return errors.EXIT_OK
    print(f"store: {address}")
    for name in applied:
        print(f"  applied {name}")
    for name in restored:
        print(f"  {name} was missing and was created again, empty")
    print("ready" if applied or restored else "ready; there was nothing to do")
    print("  polybackfill doctor           checks everything a run needs")
    print("  polybackfill plan build …     plans your own list; `run` then fetches only that")
    print("  polybackfill service install  for every night from now on")
    print(f"next: {following}")
    return errors.EXIT_OK


async def _init(chosen: settings.Settings) -> tuple[str, list[str], list[str], str]:
    """Where the store is, which files of the schema were applied, which tables had been lost, and
    the next step.
    """
    async with bootstrap.open_store(chosen) as store:
        applied = await migrate.up(store)
        restored = await migrate.restore(store)
        await bootstrap.declare_inflated(chosen, store)
        return store.address.location, applied, restored, await run_scope.next_step(store)
