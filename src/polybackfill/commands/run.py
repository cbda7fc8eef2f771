"""`polybackfill run`."""

from __future__ import annotations

import argparse
import contextlib
from functools import partial

from polybackfill import errors
from polybackfill.engine import systemd_notify
from polybackfill.run import (
    backfill,
    bootstrap,
    page_process,
    run_request,
    run_summary,
    startup,
)


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.budgets(chosen)  # refused here, before anything is written
    request = run_request.parse_arguments(arguments, chosen)
    if arguments.ui and request.dry_run:
        raise errors.Stop("--ui: a dry run leaves nothing that a page could show")
    try:
        show = partial(run_summary.RunSummary.show, as_json=arguments.json)
        with page_process.show_page(arguments) if arguments.ui else contextlib.nullcontext():
            run = backfill.Backfill(chosen, request, show=show).run()
            return bootstrap.run(run, uvloop=chosen.backfill.uvloop).exit_code
    finally:
        if systemd_notify.Notifier.from_environment().is_heard:
            startup.see_store_end()
