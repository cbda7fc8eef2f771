"""`polybackfill report coverage`: what is stored and what is proven, as Markdown and as a page."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from polybackfill import clock as clocks
from polybackfill import errors, settings
from polybackfill.commands import context, validate
from polybackfill.store import client as stores
from polybackfill.views import coverage, coverage_page, coverage_text
from polybackfill.work import files
from polybackfill.work import ledger as ledgers

FILE = "EXTERNAL_COVERAGE_STATUS.md"


def report(arguments: argparse.Namespace) -> int:
    """Write both files; exit 3 when the union or the trade ids do not hold what is claimed."""
    chosen = context.settings_of(arguments)
    named: Path | None = arguments.output
    text_file = (named or chosen.backfill.data_dir / FILE).absolute()
    page_file = text_file.with_suffix(".html")
    if page_file == text_file:
        raise errors.Stop(f"--output {text_file}: name the Markdown file; the page goes beside it")
    context.require_store(chosen)
    if named is None:
        context.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    figures = context.run(_figures(chosen), uvloop=chosen.backfill.uvloop)
    _write_both(figures, chosen, text_file)
    if arguments.json:
        context.print_json({**figures, "files": [str(text_file), str(page_file)]})
    else:
        print(coverage_text.verdict(figures))
        print(f"written: {text_file} and {page_file}")
    sound = figures["union"]["holds"] and not figures["duplicates"]["ids"]
    return errors.EXIT_OK if sound else errors.EXIT_UNITS_IN_ERROR


async def made(
    store: stores.Store, ledger: ledgers.Ledger, chosen: settings.Settings, text_file: Path
) -> dict[str, Any]:
    """As the command, at the end of a run: the figures, and the `verdict` on them."""
    figures = await coverage.read(store, ledger)
    _write_both(figures, chosen, text_file)
    return {**figures, "verdict": coverage_text.verdict(figures)}


async def _figures(chosen: settings.Settings) -> dict[str, Any]:
    async with context.open_store(chosen, migrate=True) as store:
        return await coverage.read(store, validate.ledger_of(chosen))


def _write_both(figures: dict[str, Any], chosen: settings.Settings, text_file: Path) -> None:
    now = datetime.fromtimestamp(clocks.SystemClock().now(), UTC)
    named = {
        "at": now.strftime("%Y-%m-%d %H:%M UTC"),
        "run": chosen.backfill.run_name,
        "version": metadata.version("polybackfill"),
    }
    _write(text_file, coverage_text.markdown(figures, **named))
    _write(text_file.with_suffix(".html"), coverage_page.page(figures, **named))


def _write(file: Path, content: str) -> None:
    try:
        files.write_atomic(file, content.encode())
    except OSError as error:
        raise errors.Stop(
            f"--output {file} cannot be written ({error.strerror}): name a file in a folder you "
            "may write to",
            exit_code=errors.exit_code_of(error),
        ) from error
