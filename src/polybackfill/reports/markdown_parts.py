"""Parts of reports in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polybackfill import terminal


def cell(text: str) -> str:
    """Fetched text inside a table: no bar, no line break, no markup of its own; not endless."""
    return plain(terminal.excerpt(text))


def plain(text: str) -> str:
    """A text on one line that is no markup."""
    shown = " ".join(terminal.visible_line(text).split())
    for special in "\\`*_[]<>|~&$":
        shown = shown.replace(special, "\\" + special)
    return shown


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The first column to the left, figures to the right."""
    numbers = ["---"] + ["--:"] * (len(heads) - 1)
    lines = [_line(heads), _line(numbers)]
    return lines + [_line(row) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
