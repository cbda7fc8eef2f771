"""`polybackfill check receipts`: what each unit left behind."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from polybackfill import errors, formats, guess
from polybackfill.kinds import registry
from polybackfill.reports import console_table, receipt_records, run_files
from polybackfill.run import bootstrap, run_request


def check(arguments: argparse.Namespace) -> int:
    """The newest receipts, of one kind or of some keys; reads the checkpoint alone."""
    if arguments.kind not in (None, *registry.KINDS):
        hint = guess.near(arguments.kind, registry.KINDS)
        raise errors.Stop(
            f"no kind {arguments.kind}: the kinds are {', '.join(registry.KINDS)}{hint}"
        )
    if arguments.limit < 1:
        raise errors.Stop(f"--limit {arguments.limit}: show at least 1 receipt")
    chosen = bootstrap.settings_of(arguments)
    typed = run_request.keys(arguments, chosen)
    checkpoint = run_files.open_checkpoint(chosen)
    if checkpoint is None:
        raise errors.Stop(
            f"there is no checkpoint in {chosen.checkpoint_path} yet: polybackfill run"
        )
    newest = receipt_records.newest(
        checkpoint,
        kind=arguments.kind,
        keys=frozenset((*typed["wallets"], *typed["conditions"])),
        limit=arguments.limit,
    )
    if arguments.json:
        bootstrap.print_json(newest)
    else:
        rows = [_row(one) for one in newest["receipts"]]
        console_table.show(
            f"newest of {formats.counted(newest['found'], 'unit')}, the newest last",
            rows,
            "no such unit was begun yet",
        )
    return errors.EXIT_OK


def _row(one: dict[str, Any]) -> dict[str, Any]:
    first, *others = one["keys"]
    return {
        "kind": one["kind"],
        "key": f"{first} and {len(others)} more" if others else first,
        "state": one["state"],
        "pages": one["pages"],
        "rows": one["rows"],
        "rejected": one["rejected"],
        "first": _time(one["first_second"]),
        "last": _time(one["last_second"]),
        "end seen": _time(one["end_seen"]),
        "lag": "" if one["lag_s"] is None else f"{one['lag_s']:g} s",
    }


def _time(second: int | None) -> str:
    if second is None:
        return ""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
