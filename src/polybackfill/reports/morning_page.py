"""The morning report as one HTML page, which needs nothing but itself: for a mail, or for paper."""

from __future__ import annotations

from collections.abc import Sequence

import markupsafe

from polybackfill import formats
from polybackfill.reports import coverage_page, html_page, morning_facts, morning_sections

_UNKNOWN = markupsafe.Markup('<span class="unknown">{}</span>')


def render_page(
    facts: morning_facts.MorningFacts,
    sections: Sequence[morning_sections.Section],
    *,
    title: str,
    lead: str,
    version: str,
) -> str:
    """The page of these sections, with a chart of what is proven."""
    values = {
        "title": title,
        "lead": lead,
        "tiles": [(_shown(figure), caption) for figure, caption in _tiles(facts)],
        "chart": facts.coverage and coverage_page.proven_chart(facts.coverage["parts"]),
        "sections": sections,
        "shown": _shown,
    }
    return html_page.render("morning.html", values, version=version, command="report morning")


def _tiles(facts: morning_facts.MorningFacts) -> list[tuple[str, str]]:
    """What one wants to know first."""
    now, before = facts.now, facts.before
    rows = new_rows = morning_sections.UNKNOWN
    if now is not None:
        rows = f"{sum(now.rows.values()):,}"
        if before is not None:
            new_rows = f"{sum(now.rows.values()) - sum(before.rows.values()):+,}"
    hours = None if facts.tonight is None else facts.tonight["hours"] * 3600
    return [
        (rows, "rows stored"),
        (new_rows, "rows since the night before"),
        (_count(facts.units_in_error), "units in error"),
        (_count(facts.rows_set_aside), "rows set aside"),
        (morning_sections.UNKNOWN if hours is None else formats.duration(hours), "tonight"),
    ]


def _count(number: int | None) -> str:
    return morning_sections.UNKNOWN if number is None else f"{number:,}"


def _shown(text: str) -> str:
    """A text for the page; what is unknown is seen at once."""
    plain = html_page.plain(text)
    return _UNKNOWN.format(plain) if text == morning_sections.UNKNOWN else plain
