"""`polybackfill report coverage`: what is stored and what is proven, as Markdown and as a page."""

from __future__ import annotations

import argparse

from polybackfill import errors, settings
from polybackfill.reports import (
    coverage_figures,
    coverage_report,
    coverage_text,
    report_files,
    run_files,
)
from polybackfill.run import bootstrap


def report(arguments: argparse.Namespace) -> int:
    """Write both files; exit 3 when the union or the trade ids do not hold what is claimed."""
    chosen = bootstrap.settings_of(arguments)
    text_file = report_files.text_file(
        arguments.output, chosen.backfill.data_dir / coverage_report.FILE
    )
    bootstrap.require_store(chosen)
    if arguments.output is None:
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    figures = bootstrap.run(_figures(chosen), uvloop=chosen.backfill.uvloop)
    page_file = coverage_report.write(figures, chosen, text_file)
    if arguments.json:
        bootstrap.print_json({**figures, "files": [str(text_file), str(page_file)]})
    else:
        print(coverage_text.conclusion(figures["parts"]))
        print(f"written: {text_file} and {page_file}")
    sound = figures["union"]["holds"] and not figures["duplicates"]["ids"]
    return errors.EXIT_OK if sound else errors.EXIT_UNITS_IN_ERROR


async def _figures(chosen: settings.Settings) -> coverage_figures.CoverageFigures:
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await coverage_figures.read(store, run_files.open_checkpoint(chosen))
