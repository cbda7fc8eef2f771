"""`polybackfill report coverage`: what is stored and what is proven, as Markdown and as a page."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from polybackfill import clocks, errors, settings
from polybackfill.checkpoint import ledgers
from polybackfill.commands import validate
from polybackfill.reports import coverage_figures, coverage_page, coverage_text, report_files
from polybackfill.run import bootstrap
from polybackfill.store import client

FILE = "EXTERNAL_COVERAGE_STATUS.md"


def report(arguments: argparse.Namespace) -> int:
    """Write both files; exit 3 when the union or the trade ids do not hold what is claimed."""
    chosen = bootstrap.settings_of(arguments)
    text_file = report_files.text_file(arguments.output, chosen.backfill.data_dir / FILE)
    bootstrap.require_store(chosen)
    if arguments.output is None:
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    figures = bootstrap.run(_figures(chosen), uvloop=chosen.backfill.uvloop)
    page_file = _write_both(figures, chosen, text_file)
    if arguments.json:
        bootstrap.print_json({**figures, "files": [str(text_file), str(page_file)]})
    else:
        print(coverage_text.conclusion(figures))
        print(f"written: {text_file} and {page_file}")
    sound = figures["union"]["holds"] and not figures["duplicates"]["ids"]
    return errors.EXIT_OK if sound else errors.EXIT_UNITS_IN_ERROR


async def make_report(
    store: client.Store, ledger: ledgers.Ledger, chosen: settings.Settings, text_file: Path
) -> dict[str, Any]:
    """As the command, at the end of a run: the figures, and the `verdict` on them."""
    figures = await coverage_figures.read(store, ledger)
    _write_both(figures, chosen, text_file)
    return {**figures, "verdict": coverage_text.conclusion(figures)}


async def _figures(chosen: settings.Settings) -> dict[str, Any]:
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await coverage_figures.read(store, validate.ledger_of(chosen))


def _write_both(figures: dict[str, Any], chosen: settings.Settings, text_file: Path) -> Path:
    now = datetime.fromtimestamp(clocks.SystemClock().now(), UTC)
    named = {
        "at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "run": chosen.backfill.run_name,
        "version": metadata.version("polybackfill"),
    }
    return report_files.write(
        text_file,
        text=coverage_text.markdown(figures, **named),
        page=coverage_page.page(figures, **named),
    )
