"""`polybackfill report wallet` and `report market`: what is known of one of them, beside what
Polymarket says.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from polybackfill import errors, records, settings
from polybackfill.inputs import key_input
from polybackfill.reports import (
    market_report,
    report_content,
    report_files,
    report_markdown,
    report_page,
    wallet_report,
)
from polybackfill.run import bootstrap, name_resolution, subject_report

_OFFLINE = f"--offline: {subject_report.NOT_ASKED}"


def report_wallet(arguments: argparse.Namespace) -> int:
    """Write both files of a wallet."""
    chosen = bootstrap.settings_of(arguments)
    key = _one_key(chosen, arguments, key_input.wallets([arguments.wallet]), "wallet")
    file = _file(chosen, arguments, "WALLET", key)
    offline = _OFFLINE if arguments.offline else ""
    figures, receipts = bootstrap.run(
        subject_report.read_wallet(chosen, key, offline=offline, migrated=True),
        uvloop=chosen.backfill.uvloop,
    )
    shown = records.show(key)
    if not (figures.fills or figures.totals or receipts):
        raise errors.Stop(
            f"nothing is stored about {shown}; fetch it: polybackfill run wallets --wallet {shown}"
        )
    document = dataclasses.asdict(figures) | {"wallet": shown, "receipts": receipts}
    document["parts"] = [
        {**dataclasses.asdict(part), "difference": part.difference} for part in figures.parts
    ]
    return _write(arguments, file, wallet_report.make_report(figures, receipts), document)


def report_market(arguments: argparse.Namespace) -> int:
    """Write both files of a market."""
    chosen = bootstrap.settings_of(arguments)
    key = _one_key(chosen, arguments, key_input.conditions([arguments.market]), "market")
    file = _file(chosen, arguments, "MARKET", key)
    offline = _OFFLINE if arguments.offline else ""
    figures, receipts = bootstrap.run(
        subject_report.read_market(chosen, key, offline=offline, migrated=True),
        uvloop=chosen.backfill.uvloop,
    )
    shown = records.show(key)
    if not (figures.fills["fills"] or figures.market or receipts):
        raise errors.Stop(
            f"nothing is stored about {shown}; fetch it: "
            f"polybackfill run conditions --condition-id {shown}"
        )
    document = dataclasses.asdict(figures) | {"condition": shown, "receipts": receipts}
    return _write(arguments, file, market_report.make_report(figures, receipts), document)


def _one_key(
    chosen: settings.Settings,
    arguments: argparse.Namespace,
    typed: Sequence[key_input.Entry],
    thing: str,
) -> str:
    keys = name_resolution.keys(chosen, typed, offline=arguments.offline)
    if len(keys) != 1:
        shown = ", ".join(records.show(key) for key in keys[:5])
        raise errors.Stop(
            f"{getattr(arguments, thing)} names {len(keys)} {thing}s: give one"
            f"{f' of {shown}' if shown else ''}{' …' if len(keys) > 5 else ''}"
        )
    return keys[0]


def _file(chosen: settings.Settings, arguments: argparse.Namespace, prefix: str, key: str) -> Path:
    """Where the Markdown goes. Raises errors.Stop for a bad `--output`, and without a store."""
    default = chosen.backfill.data_dir / f"{prefix}_{records.show(key)}.md"
    file = report_files.text_file(arguments.output, default)
    bootstrap.require_store(chosen)
    if arguments.output is None:
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    return file


def _write(
    arguments: argparse.Namespace,
    file: Path,
    report: report_content.Report,
    document: dict[str, Any],
) -> int:
    named = {
        "at": datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": metadata.version("polybackfill"),
    }
    page_file = report_files.write(
        file,
        text=report_markdown.markdown(report, **named),
        page=report_page.page(report, **named),
    )
    if arguments.json:
        bootstrap.print_json({**document, "files": [str(file), str(page_file)]})
    else:
        print(report.lead)
        print(f"written: {file} and {page_file}")
    return errors.EXIT_OK
