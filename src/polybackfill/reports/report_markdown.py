"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from polybackfill.reports import markdown_parts, report_content


def markdown(report: report_content.Report, *, at: str, version: str) -> str:
    """The report; `at`: the time it was made, as text."""
    head = [f"# {report.title}", "", at, "", report.history, "", markdown_parts.plain(report.lead)]
    if report.subject:
        head[1:1] = ["", markdown_parts.cell(report.subject)]
    blocks = [head, *map(list, map(_section, report.sections))]
    blocks.append([f"*Written by polybackfill {version}: `polybackfill {report.command}`.*"])
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def _section(section: report_content.Section) -> Iterator[str]:
    yield f"## {section.title}"
    if section.words:
        yield from ("", markdown_parts.plain(section.words))
    if (table := section.table) is not None:
        rows = [[markdown_parts.cell(text) for text in row] for row in table.rows]
        yield from ("", *markdown_parts.table(table.heads, rows))
        if table.more:
            yield from ("", table.more)
    if section.notes:
        yield from ("", *(f"- {markdown_parts.plain(note)}" for note in section.notes))
