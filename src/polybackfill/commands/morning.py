"""`polybackfill report morning`: the night on one page, and the same as JSON and as text."""

from __future__ import annotations

import argparse
import sys
import time

from polybackfill import errors, settings, terminal
from polybackfill.reports import morning_text, report_files, run_files, run_state
from polybackfill.run import bootstrap, morning_report, run_request, startup


def report(arguments: argparse.Namespace) -> int:
    """Write the files and print the text; exit 3 when what is stored does not hold, 75 when the
    store could not be read.
    """
    chosen = bootstrap.settings_of(arguments)
    file = report_files.text_file(
        arguments.output,
        chosen.backfill.data_dir / morning_report.FILE,
        beside=morning_report.BESIDE,
    )
    bootstrap.require_store(chosen)
    if arguments.output is None:
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    made = bootstrap.run(_read(chosen), uvloop=chosen.backfill.uvloop)
    written = morning_report.write_report(chosen, made, file)
    if arguments.json:
        bootstrap.print_json({**made.document(), "files": list(map(str, written))})
    else:
        print(made.text(terminal.width(sys.stdout) or morning_text.COLUMNS))
        print(f"written: {', '.join(map(str, written))}")
    if made.facts.coverage is None:
        return errors.EXIT_UNAVAILABLE
    return errors.EXIT_OK if made.is_sound else errors.EXIT_UNITS_IN_ERROR


async def _read(chosen: settings.Settings) -> morning_report.MorningReport:
    picture, holder = run_files.read_status(chosen)
    state = run_state.find_state(picture, holder, now=time.time(), starting_s=startup.START_MAX_S)
    last_run = morning_report.LastRun(
        state.name, picture, run_request.RunRequest(plan_decides=True)
    )
    checkpoint = run_files.open_checkpoint(chosen)
    try:
        async with bootstrap.open_store(chosen, migrated=True) as store:
            return await morning_report.read_report(chosen, store, checkpoint, last_run)
    except (errors.Retry, errors.Stop) as error:
        if isinstance(error, errors.Stop) and error.exit_code != errors.EXIT_UNAVAILABLE:
            raise
        return morning_report.read_without_store(chosen, checkpoint, last_run, str(error))
