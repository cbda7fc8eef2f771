"""A report as one HTML page, with its charts."""

from __future__ import annotations

from collections.abc import Iterable

import markupsafe

from polybackfill.reports import charts, html_page, report_content

_UNKNOWN = markupsafe.Markup('<span class="unknown">{}</span>')


def page(report: report_content.Report, *, at: str, version: str) -> str:
    """The page; `at`: the time it was made, as text."""
    values = {
        "report": report,
        "at": at,
        "shown": _shown,
        "cells": _cells,
        "drawn": _drawn,
        "plain": html_page.plain,
    }
    return html_page.render("subject.html", values, version=version, command=report.command)


def _shown(text: str) -> str:
    """A text for the page; what is unknown is seen at once."""
    plain = html_page.plain(text)
    return _UNKNOWN.format(plain) if text == report_content.UNKNOWN else plain


def _cells(rows: Iterable[Iterable[str]]) -> list[list[str]]:
    return [[_shown(text) for text in row] for row in rows]


def _drawn(chart: report_content.Chart) -> markupsafe.Markup:
    named = {"title": chart.title, "description": chart.words}
    if chart.candle_s:
        return charts.candles(chart.points, chart.candle_s, **named)
    return charts.curve([(point[0], point[1]) for point in chart.points], **named)
