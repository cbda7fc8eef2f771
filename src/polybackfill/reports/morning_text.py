"""The morning report as plain text, for a terminal, a file or the body of a mail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybackfill import terminal
from polybackfill.reports import console_table, morning_sections

COLUMNS = 78


def render_text(
    sections: Sequence[morning_sections.Section], *, title: str, lead: str, columns: int = COLUMNS
) -> str:
    """The report in so many columns; a word that is longer, as an id, stays whole."""
    return "\n".join(_lines(sections, title=title, lead=lead, columns=columns)) + "\n"


def _lines(
    sections: Sequence[morning_sections.Section], *, title: str, lead: str, columns: int
) -> Iterator[str]:
    yield from _headed(title, "=", columns)
    yield ""
    yield terminal.wrapped(lead, columns, indent=0)
    for section in sections:
        yield ""
        yield from _headed(section.title, "-", columns)
        for line in section.lines:
            yield terminal.wrapped(line, columns, indent=0)
        for table in section.tables:
            yield ""
            for line in console_table.text_lines(table.heads, table.rows, table.numbers, columns):
                yield terminal.wrapped(line, columns)


def _headed(title: str, stroke: str, columns: int) -> Iterator[str]:
    text = terminal.wrapped(title, columns, indent=0)
    yield text
    yield stroke * max(map(terminal.cells, text.split("\n")))
