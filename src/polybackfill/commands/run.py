"""`polybackfill run`."""

from __future__ import annotations

import argparse

from polybackfill.engine import systemd_notify
from polybackfill.run import backfill, bootstrap, run_request, startup


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.budgets(chosen)  # refused here, before anything is written
    request = run_request.parse_arguments(arguments, chosen)
    try:
        return bootstrap.run(
            backfill.run_parts(chosen, request, as_json=arguments.json),
            uvloop=chosen.backfill.uvloop,
        )
    finally:
        if systemd_notify.Notifier.from_environment().is_heard:
            startup.see_store_end()
