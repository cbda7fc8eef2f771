"""Charts as inline SVG: no scripts, colours from the page, a title and a description each.

Texts are escaped here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 720
_LABEL = 120
_ROW = 34
_BAR = 14
_PLOT_HEIGHT = 170
_TICK = 48  # a month written out
_EDGE = 4  # room for half the width of a line


@dataclass(frozen=True)
class Bar:
    """One row: label at the left, `share` of the track filled, `text` at the right."""

    label: str
    share: float
    text: str
    failed: float = 0.0


def bars(rows: Sequence[Bar], *, title: str, description: str) -> str:
    """Horizontal bars on a track, one below the other; what failed is shown behind what is done."""
    track = _WIDTH - _LABEL - 150
    marks = []
    for number, row in enumerate(rows):
        middle = number * _ROW + _ROW / 2
        top = middle - _BAR / 2
        filled, failed = row.share * track, row.failed * track
        marks.append(
            f'<text x="0" y="{middle + 5:.0f}" class="label">{html.escape(row.label)}</text>'
            f'<rect x="{_LABEL}" y="{top:.1f}" width="{track}" height="{_BAR}" rx="{_BAR / 2}" '
            'class="track"/>'
            + _piece(_LABEL + filled, failed, top, "failed")
            + _piece(_LABEL, filled, top, "done")
            + f'<text x="{_WIDTH}" y="{middle + 5:.0f}" class="figure">'
            f"{html.escape(row.text)}</text>"
        )
    return _svg(marks, len(rows) * _ROW, title, description)


def _piece(left: float, width: float, top: float, kind: str) -> str:
    if width <= 0:
        return ""
    shown = max(width, _BAR / 2)
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{shown:.1f}" height="{_BAR}" '
        f'rx="{min(shown, _BAR) / 2:.1f}" class="{kind}"/>'
    )


def columns(points: Sequence[tuple[str, float, str]], *, title: str, description: str) -> str:
    """Columns over time. A point: (what the axis says, height, what the pointer is told)."""
    highest = max((height for _, height, _ in points), default=0) or 1
    step = _WIDTH / max(1, len(points))
    gap = min(3.0, step * 0.2)
    marks = [f'<line x1="0" y1="{_PLOT_HEIGHT}" x2="{_WIDTH}" y2="{_PLOT_HEIGHT}" class="axis"/>']
    every = max(1, -(-len(points) // 8))
    for number, (label, height, text) in enumerate(points):
        tall = max(height / highest * (_PLOT_HEIGHT - 8), 1.5 if height else 0)
        left = number * step + gap / 2
        marks.append(
            f'<rect x="{left:.1f}" y="{_PLOT_HEIGHT - tall:.1f}" width="{step - gap:.1f}" '
            f'height="{tall:.1f}" rx="{min(3, step / 4):.1f}" class="done">'
            f"<title>{html.escape(text)}</title></rect>"
        )
        if number % every == 0 and left + _TICK <= _WIDTH:
            marks.append(
                f'<text x="{left:.1f}" y="{_PLOT_HEIGHT + 20}" class="tick">'
                f"{html.escape(label)}</text>"
            )
    return _svg(marks, _PLOT_HEIGHT + 28, title, description)


def stack(pieces: Sequence[tuple[str, int, str]], *, title: str, description: str) -> str:
    """One bar cut into parts of a whole, (label, count, colour), with its legend below."""
    total = sum(count for _, count, _ in pieces) or 1
    marks, left = [f'<rect width="{_WIDTH}" height="22" rx="6" class="track"/>'], 0.0
    for number, (label, count, colour) in enumerate(pieces):
        width = count / total * _WIDTH
        marks.append(
            f'<rect x="{left:.1f}" width="{max(0.0, width - 2):.1f}" height="22" rx="5" '
            f'class="{colour}"><title>{html.escape(label)}: {count:,}</title></rect>'
        )
        column = number * _WIDTH / max(1, len(pieces))
        marks.append(
            f'<rect x="{column:.0f}" y="42" width="10" height="10" rx="3" class="{colour}"/>'
            f'<text x="{column + 18:.0f}" y="52" class="label">{html.escape(label)} '
            f'<tspan class="strong">{count:,}</tspan></text>'
        )
        left += width
    return _svg(marks, 60, title, description)


def curve(points: Sequence[tuple[float, float]], *, title: str, description: str) -> str:
    """A line over time, (second, amount), with the line of zero; it stretches to any width, so
    what its axes say stands beside it and is no part of it.
    """
    (first, _), (last, _) = points[0], points[-1]
    low = min(0.0, *(amount for _, amount in points))
    high = max(0.0, *(amount for _, amount in points))
    span, lasts = (high - low) or 1.0, (last - first) or 1.0

    def locate(second: float, amount: float) -> str:
        return (
            f"{(second - first) / lasts * _WIDTH:.1f},"
            f"{_EDGE + (high - amount) / span * (_PLOT_HEIGHT - 2 * _EDGE):.1f}"
        )

    line = " ".join(locate(second, amount) for second, amount in points)
    if len(points) == 1:
        line = f"{line} {locate(first + 1.0, points[0][1])}"
    zero = locate(first, 0.0).split(",")[1]
    area = f"0,{zero} {line} {_WIDTH},{zero}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_PLOT_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'class="curve"><title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>'
        f'<polygon points="{area}" class="area"/>'
        f'<line x1="0" y1="{zero}" x2="{_WIDTH}" y2="{zero}" class="axis"/>'
        f'<polyline points="{line}" class="line"/></svg>'
    )


def _svg(marks: Sequence[str], height: float, title: str, description: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img">'
        f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
        f"{''.join(marks)}</svg>"
    )
