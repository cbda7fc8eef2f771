"""`polybackfill validate`: what must hold, check by check, with the evidence."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence

from polybackfill import errors, settings
from polybackfill.commands import api, context, scopes, status
from polybackfill.views import tables, validation, verdicts
from polybackfill.work import ledgers

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def validate(arguments: argparse.Namespace) -> int:
    """Make the checks; exit 3 when one of them fails."""
    chosen = context.settings_of(arguments)
    names = validation.chosen(arguments.only or ())
    if arguments.sample < 1:
        raise errors.Stop(f"--sample {arguments.sample}: compare at least 1 wallet")
    context.require_store(chosen)
    found, following = context.run(
        _validate(chosen, arguments, names), uvloop=chosen.backfill.uvloop
    )
    failed = [verdict.name for verdict in found if verdict.outcome == "failed"]
    if arguments.json:
        checks = [dataclasses.asdict(verdict) for verdict in found]
        told = {"passed": not failed, "failed": failed, "checks": checks, "next": following}
        context.print_json(told)
    else:
        print("all checks hold" if not failed else f"FAILED: {', '.join(failed)}")
        print(f"next: {following}")
    return errors.EXIT_UNITS_IN_ERROR if failed else errors.EXIT_OK


async def _validate(
    chosen: settings.Settings, arguments: argparse.Namespace, names: Sequence[str]
) -> tuple[list[verdicts.Verdict], str]:
    """The verdicts, and the next step."""
    found = []
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(context.open_store(chosen, migrate=True))
        get, silent = None, "--offline: the API is not asked"
        if not arguments.offline:
            silent = api.spent(chosen)
        if not silent:
            attempts = chosen.backfill.page_attempts
            get = await stack.enter_async_context(api.asking(chosen, "validate", attempts=attempts))
        scene = verdicts.Scene(store, ledger_of(chosen), get, arguments.sample, silent)
        async for verdict in validation.verdicts_of(scene, names):
            found.append(verdict)
            if not arguments.json:
                _print(verdict)
        return found, await scopes.next_step(store)


def ledger_of(chosen: settings.Settings) -> ledgers.Ledger | None:
    """The run's checkpoint, to read; None when there is none yet.

    Raises errors.Stop when other runs have one, since then the name is likely misspelt.
    """
    status.require_run(chosen)
    return ledgers.Ledger.view(chosen.ledger_dir) if chosen.ledger_dir.is_dir() else None


def _print(verdict: verdicts.Verdict) -> None:
    print(f"{_MARKS[verdict.outcome]:<8} {verdict.name}: {verdict.claim}")
    counts = ", ".join(f"{_shown(value)} {name}" for name, value in verdict.evidence.items())
    if counts:
        print(f"           {counts.replace('_', ' ')}")
    tables.show("", verdict.examples)
    if verdict.advice:
        print(f"           {verdict.advice}")


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
