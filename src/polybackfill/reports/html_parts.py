"""Parts of reports as HTML pages: self-contained, light and dark, without scripts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import resources

_TEXT = "text"  # class of a column that is no figure


def page(title: str, body: str, *, version: str, command: str) -> str:
    """A whole page; `body` is HTML, `command` what wrote it."""
    style = resources.files("polybackfill.reports").joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n<footer>Written by polybackfill {html.escape(version)}: "
        f"<code>polybackfill {html.escape(command)}</code></footer>\n</main>\n</body>\n</html>\n"
    )


def plain(text: str) -> str:
    """A text that is no markup, here or where a page is shown as Markdown."""
    return html.escape(text).replace("[", "&#91;")


def mark(holds: object) -> str:
    return f'<span class="mark {"pass" if holds else "fail"}">{"PASS" if holds else "FAIL"}</span>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = ()) -> str:
    """Cells are HTML already; `text`: the columns that hold no figures."""
    kinds = [f' class="{_TEXT}"' if column in text else "" for column in range(len(heads))]
    top = "".join(f"<th{kind}>{head}</th>" for kind, head in zip(kinds, heads, strict=True))
    lines = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
