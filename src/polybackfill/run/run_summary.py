"""What a run says at its end, to a person or to a script."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from polybackfill import errors, formats, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import resolution_checks
from polybackfill.reports import progress_line
from polybackfill.run import bootstrap, run_request
from polybackfill.store import client

log = structlog.get_logger()

_FAILED_SHOWN = 5


@dataclass(frozen=True)
class RunSummary:
    """How a run ended. `exit_code`: that of the command. `lines`: for people.

    `document`: the last picture of the run, as `run --json` prints it.
    """

    exit_code: int
    lines: Sequence[str]
    document: Mapping[str, Any]

    def show(self, *, as_json: bool) -> None:
        """Print the document or the lines on standard output."""
        if as_json:
            bootstrap.print_json(self.document)
            return
        for text in self.lines:
            print(text)


def stopped_early() -> RunSummary:
    """The stop signal came before the run had begun."""
    return RunSummary(
        errors.EXIT_OK,
        ["stopped before it began; start it again to continue"],
        {"state": "stopped", "parts": {}, "rows": {}},
    )


def nothing_to_do(held_back: Mapping[str, str]) -> RunSummary:
    """No part has a unit, but perhaps those that are held back."""
    return RunSummary(
        errors.EXIT_UNITS_IN_ERROR if held_back else errors.EXIT_OK,
        [
            "nothing to do: the plan contains no pending wallet or condition.",
            "  polybackfill plan build --from FILE    one wallet or condition id a line",
            "  polybackfill run --everything          fetches everything, not only the plan",
            "  polybackfill check plan                shows which units are done or in error",
            *progress_line.held_back(held_back),
        ],
        {"state": "finished", "parts": {}, "rows": {}, "held_back": dict(held_back)},
    )


def summarize(picture: dict[str, Any], code: int, *, dry_run: bool) -> RunSummary:
    """Of the run's last picture (`snapshot`), with what `failed` adds to it."""
    document = {**picture, "exit_code": code, "dry_run": dry_run}
    return RunSummary(code, list(_lines(picture, dry_run=dry_run)), document)


def _lines(picture: dict[str, Any], *, dry_run: bool) -> Iterator[str]:
    yield from progress_line.summary_lines(picture, dry_run=dry_run)
    if picture.get("new_wallets"):
        wallets = formats.counted(picture["new_wallets"], "wallet")
        yield f"  {wallets} found that were not known before"
    for condition in picture.get("unknown_conditions", ()):
        yield f"  warning: condition {condition} has no trades and is in no list; check the id"
    for text in resolution_checks.describe(picture.get("disagreements", {})):
        yield f"  {text}: polybackfill report coverage"
    for text in picture.get("left_behind", ()):
        yield f"  {text}"


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
    checkpoint: run_checkpoint.Checkpoint,
    request: run_request.RunRequest,
    kinds: Collection[str],
    *,
    is_own: Callable[[units.Unit], bool],
) -> list[dict[str, str]]:
    """The newest units in error among what was asked, with their messages."""
    typed_keys = {key for kind in kinds for key in request.keys(kind)}
    failures = [
        {"unit": failed_unit.unit.id, "error": failed_unit.error}
        for failed_unit in checkpoint.failed_units()
        if failed_unit.unit.kind in kinds
        and is_own(failed_unit.unit)
        and (not typed_keys or typed_keys & set(failed_unit.unit.keys))
    ]
    return failures[-_FAILED_SHOWN:]
