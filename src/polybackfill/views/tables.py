"""Rows of a query as a table on the terminal."""

from __future__ import annotations

import sys
from typing import Any

import rich.console
import rich.table

_UNFOLDED = 10_000


def show(title: str, rows: list[dict[str, Any]], empty: str | None = None) -> None:
    """Print the rows under a title; `empty` says what it means that there are none."""
    if not rows:
        if empty:
            print(f"{title}: {empty}")
        return
    table = rich.table.Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console().print(table)


def console() -> rich.console.Console:
    """Standard output. In a file or a pipe there is no width to keep to: an id that is broken in
    two is found by no grep.
    """
    width = None if sys.stdout.isatty() else _UNFOLDED
    return rich.console.Console(highlight=False, markup=False, width=width)


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
