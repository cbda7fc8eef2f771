"""`polybackfill recover`: start the trades over, never without a backup that holds all of them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import asdict
from functools import partial
from typing import Any

from polybackfill import errors, formats, settings
from polybackfill.engine import plan_sync
from polybackfill.filesystem import lock
from polybackfill.reports import console_table
from polybackfill.run import backfill, bootstrap, reconcile, run_context, run_request, run_summary
from polybackfill.store import backups, candles, client

_PARTS = ("conditions", "wallets")  # what fills the tables that are emptied


def recover(arguments: argparse.Namespace) -> int:
    """Show how the tables differ from the backup; with --write empty them and fetch them again."""
    if arguments.put_back and arguments.make_backup:
        raise errors.Stop("--put-back takes rows from a backup: leave --make-backup out")
    if arguments.backup and arguments.make_backup:
        raise errors.Stop("--make-backup names the backup itself: leave --backup out")
    chosen = bootstrap.settings_of(arguments)
    bootstrap.budgets(chosen)  # refused here, before anything is emptied
    bootstrap.require_store(chosen)
    document = bootstrap.run(_prepare(chosen, arguments))
    code = errors.EXIT_OK
    if document["emptied"]:
        with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
            code = bootstrap.run(_fetch(chosen), uvloop=chosen.backfill.uvloop)
        document["tables"] = bootstrap.run(_compared(chosen, document["backup"]))
    if arguments.json:
        bootstrap.print_json(document)
    else:
        _print(document)
    lost = arguments.write and any(one["not_in_table"] for one in document["tables"])
    return code or (errors.EXIT_UNITS_IN_ERROR if lost else errors.EXIT_OK)


async def _prepare(chosen: settings.Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything up to the first request; refused while a run is going on."""
    with lock.hold(chosen.checkpoint_path), run_context.lock_data(chosen):
        async with (
            run_context.claim_database(chosen),
            bootstrap.open_store(chosen, migrated=True) as store,
        ):
            kept = backups.Backups(store)
            if arguments.make_backup:
                name = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
                await kept.make(name)
            else:
                name = _named(arguments.backup, await kept.names())
            differences = await kept.compare(name)
            if arguments.write and arguments.put_back:
                await kept.put_back(name)
                differences = await kept.compare(name)
            elif arguments.write:
                _refuse_loss(differences, name, named=arguments.backup is not None)
                await _start_over(chosen, store, kept)
            return {
                "backup": name,
                "emptied": arguments.write and not arguments.put_back,
                "put_back": arguments.write and arguments.put_back,
                "tables": [asdict(one) for one in differences],
            }


def _named(wanted: str | None, names: list[str]) -> str:
    if not names:
        raise errors.Stop(
            "there is no backup, and without one nothing is emptied: "
            "polybackfill recover --make-backup"
        )
    if wanted is not None and wanted not in names:
        raise errors.Stop(f"there is no backup {wanted}; there are {', '.join(names)}")
    return wanted or names[0]


def _refuse_loss(differences: list[backups.Difference], name: str, *, named: bool) -> None:
    """Only what is kept elsewhere may be thrown away."""
    for one in differences:
        if one.not_in_backup:
            raise errors.Stop(
                f"{formats.counted(one.not_in_backup, 'row')} of {one.table} "
                f"{'is' if one.not_in_backup == 1 else 'are'} not in backup {name}, so nothing "
                "was emptied: polybackfill recover --make-backup --write"
            )
        if one.unreadable and not named:
            raise errors.Stop(
                f"{one.table} cannot be read, so the rows that backup {name} lacks are unknown; to "
                f"give those rows up: polybackfill recover --backup {name} --write. The store "
                f"says: {one.unreadable}"
            )


async def _start_over(
    chosen: settings.Settings, store: client.Store, kept: backups.Backups
) -> None:
    """The plan and the checkpoint first: a crash before the tables are empty costs requests. The
    other way round the checkpoint would claim rows that are gone."""
    checkpoint = await reconcile.open_checkpoint(store, chosen.checkpoint_path)
    try:
        for kind in _PARTS:
            await plan_sync.set_back_all(store, checkpoint, kind)
    finally:
        checkpoint.close()
    await kept.empty_tables()
    await candles.clear(store)
    await reconcile.emptied(store, chosen.checkpoint_path)


async def _fetch(chosen: settings.Settings) -> int:
    show = partial(run_summary.RunSummary.show, as_json=False)
    request = run_request.RunRequest(parts=_PARTS)
    # Of no job, whose parts would be others: it would be refused with the tables empty.
    on_its_own = chosen.backfill.model_copy(update={"job": ""})
    chosen = chosen.model_copy(update={"backfill": on_its_own})
    return (await backfill.Backfill(chosen, request, show=show).run()).exit_code


async def _compared(chosen: settings.Settings, name: str) -> list[dict[str, Any]]:
    async with bootstrap.open_store(chosen) as store:
        return [asdict(one) for one in await backups.Backups(store).compare(name)]


def _print(document: dict[str, Any]) -> None:
    name, differences = document["backup"], document["tables"]
    rows = [
        {
            "table": one["table"],
            "rows": one["rows"],
            "in backup": one["backup_rows"],
            "not in backup": one["not_in_backup"],
            "not in table": one["not_in_table"],
        }
        for one in differences
    ]
    console_table.show(f"backup {name}", rows)
    for one in differences:
        if one["unreadable"]:
            print(f"{one['table']} cannot be read: {one['unreadable']}")
    if not (document["emptied"] or document["put_back"]):
        print("nothing was changed; --write empties the tables and fetches everything again")
    elif any(one["not_in_table"] for one in differences):
        print(
            "some rows of the backup are not fetched again yet: polybackfill run conditions wallets"
        )
        print("to insert rows that the API no longer has: polybackfill recover --put-back --write")
    else:
        print("every row of the backup is in the tables")
