"""The coverage report as its two files, Markdown and a page."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from polybackfill import clocks, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.reports import coverage_figures, coverage_page, coverage_text, report_files
from polybackfill.store import client

FILE = "EXTERNAL_COVERAGE_STATUS.md"


class Written(coverage_figures.CoverageFigures):
    """The figures, and in a sentence what they come to."""

    conclusion: str


async def make_report(
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint,
    chosen: settings.Settings,
    text_file: Path,
) -> Written:
    """As `report coverage`, at the end of a run."""
    figures = await coverage_figures.read(store, checkpoint)
    write(figures, chosen, text_file)
    return {**figures, "conclusion": coverage_text.conclusion(figures["parts"])}


def write(
    figures: coverage_figures.CoverageFigures, chosen: settings.Settings, text_file: Path
) -> Path:
    """Write both files; the page's. Raises errors.Stop for a folder one may not write to."""
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
