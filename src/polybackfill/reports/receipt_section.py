"""The part of a report that says what was read of its wallet or market, and whether to the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polybackfill import clocks, terminal
from polybackfill.reports import report_content

_HEADS = ("Read as", "State", "Pages", "Rows", "Set aside", "First row", "Last row", "End seen")
_NONE = "No receipt of it is in the store, and nothing of it is under way or in error."


def make_section(receipts: Sequence[dict[str, Any]]) -> report_content.Section:
    """`receipts`: as `receipt_records` makes them."""
    rows = tuple(_row(one) for one in receipts)
    notes = tuple(f"In error: {terminal.excerpt(one['error'])}" for one in receipts if one["error"])
    if not rows:
        return report_content.Section("Receipts", words=_NONE)
    return report_content.Section("Receipts", report_content.Table(_HEADS, rows), notes=notes)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    with_others = len(one["keys"]) - 1
    shared = f", with {with_others} more" if with_others else ""
    return (
        f"{one['kind']}{shared}",
        one["state"],
        f"{one['pages']:,}",
        f"{one['rows']:,}",
        f"{one['rejected']:,}",
        *(_time(one[name]) for name in ("first_second", "last_second", "end_seen")),
    )


def _time(second: int | None) -> str:
    return "" if second is None else clocks.utc_text(second)
