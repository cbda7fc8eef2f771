"""`polybackfill run`."""

from __future__ import annotations

import argparse
from functools import partial

from polybackfill.engine import systemd_notify
from polybackfill.run import backfill, bootstrap, run_request, run_summary, startup


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.budgets(chosen)  # refused here, before anything is written
    request = run_request.parse_arguments(arguments, chosen)
    try:
        show = partial(run_summary.RunSummary.show, as_json=arguments.json)
        run = backfill.Backfill(chosen, request, show=show).run()
        return bootstrap.run(run, uvloop=chosen.backfill.uvloop).exit_code
    finally:
        if systemd_notify.Notifier.from_environment().is_heard:
            startup.see_store_end()
