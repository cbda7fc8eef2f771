"""`polybackfill validate`: what must hold, check by check, with the evidence."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence

from polybackfill import errors, settings
from polybackfill.checks import check_registry, check_result
from polybackfill.reports import console_table, run_files
from polybackfill.run import api_client, bootstrap, run_scope

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def validate(arguments: argparse.Namespace) -> int:
    """Make the checks; exit 3 when one of them fails."""
    chosen = bootstrap.settings_of(arguments)
    names = check_registry.choose_checks(arguments.only or ())
    if arguments.sample < 1:
        raise errors.Stop(f"--sample {arguments.sample}: compare at least 1 wallet")
    bootstrap.require_store(chosen)
    results, following = bootstrap.run(
        _validate(chosen, arguments, names), uvloop=chosen.backfill.uvloop
    )
    failed = [result.name for result in results if result.outcome == "failed"]
    if arguments.json:
        checks = [dataclasses.asdict(result) for result in results]
        document = {"passed": not failed, "failed": failed, "checks": checks, "next": following}
        bootstrap.print_json(document)
    else:
        print("all checks hold" if not failed else f"FAILED: {', '.join(failed)}")
        print(f"next: {following}")
    return errors.EXIT_UNITS_IN_ERROR if failed else errors.EXIT_OK


async def _validate(
    chosen: settings.Settings, arguments: argparse.Namespace, names: Sequence[str]
) -> tuple[list[check_result.CheckResult], str]:
    """The results, and the next step."""
    results = []
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(bootstrap.open_store(chosen, migrated=True))
        get, silent = None, "--offline: the API is not asked"
        if not arguments.offline:
            silent = api_client.limit_holder(chosen)
        if not silent:
            attempts = chosen.backfill.page_attempts
            get = await stack.enter_async_context(
                api_client.open_get(chosen, "validate", attempts=attempts)
            )
        context = check_result.CheckContext(
            store, run_files.open_checkpoint(chosen), get, arguments.sample, silent
        )
        async for result in check_registry.run_checks(context, names):
            results.append(result)
            if not arguments.json:
                _print(result)
        return results, await run_scope.next_step(store)


def _print(result: check_result.CheckResult) -> None:
    print(f"{_MARKS[result.outcome]:<8} {result.name}: {result.claim}")
    counts = ", ".join(f"{_shown(value)} {name}" for name, value in result.evidence.items())
    if counts:
        print(f"           {counts.replace('_', ' ')}")
    console_table.show("", result.examples)
    if result.advice:
        print(f"           {result.advice}")


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
