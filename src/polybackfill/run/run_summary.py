"""What a run says at its end, to a person or to a script."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from polybackfill import errors, formats, units
from polybackfill.checkpoint import ledgers
from polybackfill.checks import resolution_checks
from polybackfill.reports import progress_line
from polybackfill.run import bootstrap, run_request
from polybackfill.store import client

log = structlog.get_logger()

_FAILED_SHOWN = 5


def stopped_early(*, as_json: bool) -> None:
    """The stop signal came before the run had begun."""
    if as_json:
        bootstrap.print_json({"state": "stopped", "parts": {}, "rows": {}})
    else:
        print("stopped before it began; start it again to continue")


def nothing_to_do(held_back: Mapping[str, str], *, as_json: bool) -> None:
    """No part has a unit, but perhaps those that are held back."""
    if as_json:
        document = {"state": "finished", "parts": {}, "rows": {}, "held_back": dict(held_back)}
        bootstrap.print_json(document)
        return
    print("nothing to do: the plan holds no pending wallet or condition.")
    print("  polybackfill plan build --from FILE    one wallet or condition id a line")
    print("  polybackfill run --everything          not only what is planned")
    print("  polybackfill check plan                what is done, and what is in error")
    for text in progress_line.held_back(held_back):
        print(text)


def show(picture: dict[str, Any], code: int, *, dry_run: bool, as_json: bool) -> None:
    """The run's last picture (`snapshot`), with what `failed` adds to it."""
    if as_json:
        bootstrap.print_json({**picture, "exit_code": code, "dry_run": dry_run})
        return
    for text in progress_line.summary_lines(picture, dry_run=dry_run):
        print(text)
    if picture.get("new_wallets"):
        print(
            f"  {formats.counted(picture['new_wallets'], 'wallet')} traded there that "
            "nobody had seen before"
        )
    for condition in picture.get("unknown_conditions", ()):
        print(f"  warning: no trade of condition {condition}, and no list knows it")
    for text in resolution_checks.describe(picture.get("disagreements", {})):
        print(f"  {text}: polybackfill report coverage")
    for text in picture.get("left_behind", ()):
        print(f"  {text}")


async def disagreements(store: client.Store) -> dict[str, int]:
    """Markets whose sources do not say the same, by what differs; {} when the store is away."""
    try:
        row = await resolution_checks.disagreements(store)
    except errors.Retry as error:
        log.warning("run.disagreements_unknown", error=str(error))
        return {}
    counts: dict[str, int] = row["counts"]
    return counts


def list_failed(
    ledger: ledgers.Ledger,
    request: run_request.RunRequest,
    kinds: Collection[str],
    *,
    is_own: Callable[[units.Unit], bool],
) -> list[dict[str, str]]:
    """The newest units in error among what was asked, with their messages."""
    typed_keys = {key for kind in kinds for key in request.keys(kind)}
    failures = [
        {"unit": failed_unit.unit.id, "error": failed_unit.error}
        for failed_unit in ledger.failed_units()
        if failed_unit.unit.kind in kinds
        and is_own(failed_unit.unit)
        and (not typed_keys or typed_keys & set(failed_unit.unit.keys))
    ]
    return failures[-_FAILED_SHOWN:]
