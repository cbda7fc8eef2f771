"""`polybackfill top`: the facts of the run in the terminal, once a second."""

from __future__ import annotations

import argparse

from polybackfill import errors, redaction
from polybackfill.reports import full_screen, run_files, top_lines
from polybackfill.run import bootstrap, remote_view, run_view


def top(arguments: argparse.Namespace) -> int:
    """Show the run until Ctrl-C; once where the output is no terminal."""
    chosen = bootstrap.settings_of(arguments)
    view: run_view.RunView | remote_view.RemoteView
    if arguments.url:
        token = chosen.backfill.listen_token.get_secret_value()
        redaction.remember([arguments.url.partition("#token=")[2]])
        view = remote_view.RemoteView(arguments.url, token)
    else:
        run_files.require_run(chosen)
        view = run_view.RunView(chosen)
    full_screen.show(lambda columns: top_lines.make_lines(view.look(), columns))
    return errors.EXIT_OK
