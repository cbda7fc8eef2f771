"""`polybackfill report categories`."""

from __future__ import annotations

import argparse
from typing import Any

from polybackfill import errors, formats
from polybackfill.reports import category_breakdown, console_table
from polybackfill.run import bootstrap, category_report


def categories(arguments: argparse.Namespace) -> int:
    """Every wallet's profit by category, as a table in the store and as a file."""
    chosen = bootstrap.settings_of(arguments)
    folder = chosen.backfill.data_dir
    report = category_report.write_report(chosen)
    if arguments.json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    console_table.show(
        "by category, all wallets: held to resolution, before fees", report["by_category"]
    )
    bands = ", ".join(f"{count:,} {band}" for band, count in report["bands"].items())
    print(f"wallets by coverage: {bands}")
    if (known := report["fees_known_pct"]) is not None:
        print(f"fees known for {known:g} % of the fills in resolved markets")
    print(_economic(report["economic"]))
    for text in report["samples"]:
        print(text)
    print(f"written: {folder / category_breakdown.FILE}")
    return errors.EXIT_OK


def _economic(total: dict[str, Any]) -> str:
    """The economic profit of all wallets where it is known, and why it is unknown of the others."""
    wallets, exact = total["wallets"], total["exact_wallets"]
    text = f"economic profit, after fees: ${total['economic_pnl_usd']:,.2f} of {exact:,}"
    text += f" of {formats.counted(wallets, 'wallet')}"
    if wallets == exact:
        return text
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in total["inexact_reasons"].items())
    return f"{text}; unknown of the others: {reasons}"
