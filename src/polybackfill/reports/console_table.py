"""Rows of a query as a table on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from polybackfill import formats, terminal

_GAP = "  "
_CELL_MAX = 4_000  # characters; what is longer is whole in --json


def show(title: str, rows: Sequence[dict[str, Any]], empty: str | None = None) -> None:
    """Print the rows under a title; `empty` says what it means that there are none."""
    if not rows:
        if empty:
            print(f"{title}: {empty}")
        return
    if title:
        print(title)
    for line in lines(rows, terminal.width(sys.stdout)):
        print(line)


def lines(rows: Sequence[dict[str, Any]], columns: int | None = None) -> list[str]:
    """A table, or where that is wider than the terminal each row as a list of its own.

    In a file or a pipe there is no width to keep to: an id that is broken in two is found by no
    grep. All rows have the keys of the first.
    """
    names = list(rows[0])
    texts = [[_shown(row.get(name, "")) for name in names] for row in rows]
    return text_lines(names, texts, [_is_number(rows, name) for name in names], columns)


def text_lines(
    names: Sequence[str],
    texts: Sequence[Sequence[str]],
    numbers: Sequence[bool],
    columns: int | None = None,
) -> list[str]:
    """The same of texts that are shown as they are; `numbers`: which columns stand on the right."""
    table = align(names, texts, numbers)
    if columns is None or max(map(terminal.cells, table)) <= columns:
        return table
    return _lists(names, texts)


def align(
    names: Sequence[str], texts: Sequence[Sequence[str]], numbers: Sequence[bool]
) -> list[str]:
    """The head and a line for each row, however wide that is."""
    widths = [max(map(terminal.cells, column)) for column in zip(names, *texts, strict=True)]
    return [
        _GAP.join(
            _padded(text, size, right=number)
            for text, size, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in (names, *texts)
    ]


def _lists(names: Sequence[str], texts: Sequence[Sequence[str]]) -> list[str]:
    size = max(map(terminal.cells, names))
    text_lines_made: list[str] = []
    for row in texts:
        text_lines_made += [""] if text_lines_made else []
        text_lines_made += [
            f"  {_padded(name, size)}{_GAP}{text}"
            for name, text in zip(names, row, strict=True)
            if text
        ]
    return text_lines_made


def _padded(text: str, size: int, *, right: bool = False) -> str:
    space = " " * (size - terminal.cells(text))
    return space + text if right else text + space


def _is_number(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Numbers stand on the right."""
    values = [row.get(name) for row in rows if row.get(name) is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return formats.count(value)
    return terminal.excerpt(str(value), _CELL_MAX)
