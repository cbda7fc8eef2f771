"""Charts as inline SVG: no scripts, colours from the page, a title and a description each.

Whatever is put into one of the shapes is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH = 720
_LABEL = 120
_ROW = 34
_BAR = 14
_PLOT_HEIGHT = 170
_TICK = 48  # a month written out
_EDGE = 4  # room for half the width of a line

_SVG = Markup(
    '<svg viewBox="0 0 {width} {height:.0f}" role="img"><title>{title}</title>'
    "<desc>{description}</desc>{shapes}</svg>"
)
_TEXT = Markup('<text x="{x:.1f}" y="{y:.0f}" class="{kind}">{text}</text>')
_BAR_PIECE = Markup(
    '<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="{radius:.1f}" '
    'class="{kind}"/>'
)
_COLUMN = Markup(
    '<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}" '
    'class="done"><title>{text}</title></rect>'
)
_AXIS = Markup('<line x1="0" y1="{y}" x2="{width}" y2="{y}" class="axis"/>')
_STACK_TRACK = Markup('<rect width="{width}" height="22" rx="6" class="track"/>')
_STACK_PIECE = Markup(
    '<rect x="{x:.1f}" width="{width:.1f}" height="22" rx="5" class="{colour}">'
    "<title>{label}: {count:,}</title></rect>"
)
_LEGEND = Markup(
    '<rect x="{x:.0f}" y="42" width="10" height="10" rx="3" class="{colour}"/>'
    '<text x="{text_x:.0f}" y="52" class="label">{label} '
    '<tspan class="strong">{count:,}</tspan></text>'
)
_CURVE = Markup(
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" class="curve">'
    "<title>{title}</title><desc>{description}</desc>"
    '<polygon points="0,{zero} {line} {width},{zero}" class="area"/>'
    '{axis}<polyline points="{line}" class="line"/></svg>'
)
_CANDLES = Markup(
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" class="curve">'
    "<title>{title}</title><desc>{description}</desc>{shapes}</svg>"
)
_CANDLE = Markup(
    '<path d="M{middle:.1f} {high:.1f}V{low:.1f}" class="wick {kind}"/>'
    '<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'
)


@dataclass(frozen=True)
class Bar:
    """One row: label at the left, `share` of the track filled, `text` at the right."""

    label: str
    share: float
    text: str
    failed: float = 0.0


def bars(rows: Sequence[Bar], *, title: str, description: str) -> Markup:
    """Horizontal bars on a track, one below the other; what failed is shown behind what is done."""
    track = _WIDTH - _LABEL - 150
    shapes = []
    for number, row in enumerate(rows):
        middle = number * _ROW + _ROW / 2
        top = middle - _BAR / 2
        filled, failed = row.share * track, row.failed * track
        shapes += [
            _TEXT.format(x=0, y=middle + 5, kind="label", text=row.label),
            _piece(_LABEL, track, top, "track"),
            _piece(_LABEL + filled, failed, top, "failed"),
            _piece(_LABEL, filled, top, "done"),
            _TEXT.format(x=_WIDTH, y=middle + 5, kind="figure", text=row.text),
        ]
    return _svg(shapes, len(rows) * _ROW, title, description)


def _piece(left: float, width: float, top: float, kind: str) -> Markup:
    if width <= 0:
        return Markup()
    shown = max(width, _BAR / 2)
    radius = min(shown, _BAR) / 2
    return _BAR_PIECE.format(x=left, y=top, width=shown, height=_BAR, radius=radius, kind=kind)


def columns(points: Sequence[tuple[str, float, str]], *, title: str, description: str) -> Markup:
    """Columns over time. A point: (what the axis says, height, what the pointer is told)."""
    highest = max((height for _, height, _ in points), default=0) or 1
    step = _WIDTH / max(1, len(points))
    gap = min(3.0, step * 0.2)
    shapes = [_AXIS.format(y=_PLOT_HEIGHT, width=_WIDTH)]
    every = max(1, -(-len(points) // 8))
    for number, (label, height, text) in enumerate(points):
        tall = max(height / highest * (_PLOT_HEIGHT - 8), 1.5 if height else 0)
        left = number * step + gap / 2
        shapes.append(
            _COLUMN.format(
                x=left,
                y=_PLOT_HEIGHT - tall,
                width=step - gap,
                height=tall,
                radius=min(3, step / 4),
                text=text,
            )
        )
        if number % every == 0 and left + _TICK <= _WIDTH:
            shapes.append(_TEXT.format(x=left, y=_PLOT_HEIGHT + 20, kind="tick", text=label))
    return _svg(shapes, _PLOT_HEIGHT + 28, title, description)


def stack(pieces: Sequence[tuple[str, int, str]], *, title: str, description: str) -> Markup:
    """One bar cut into parts of a whole, (label, count, colour), with its legend below."""
    total = sum(count for _, count, _ in pieces) or 1
    shapes, left = [_STACK_TRACK.format(width=_WIDTH)], 0.0
    for number, (label, count, colour) in enumerate(pieces):
        width = count / total * _WIDTH
        named = {"label": label, "count": count, "colour": colour}
        shapes.append(_STACK_PIECE.format(x=left, width=max(0.0, width - 2), **named))
        column = number * _WIDTH / max(1, len(pieces))
        shapes.append(_LEGEND.format(x=column, text_x=column + 18, **named))
        left += width
    return _svg(shapes, 60, title, description)


def curve(points: Sequence[tuple[float, float]], *, title: str, description: str) -> Markup:
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
    return _CURVE.format(
        width=_WIDTH,
        height=_PLOT_HEIGHT,
        title=title,
        description=description,
        zero=zero,
        line=line,
        axis=_AXIS.format(y=zero, width=_WIDTH),
    )


def candles(
    points: Sequence[Sequence[float]], candle_s: int, *, title: str, description: str
) -> Markup:
    """Candles of (second, open, high, low, close) that last `candle_s`; the highest price at the
    top, the lowest at the foot. It stretches as `curve` does.
    """
    first, last = points[0][0], points[-1][0] + candle_s
    low, high = min(point[3] for point in points), max(point[2] for point in points)
    step = candle_s / (last - first) * _WIDTH
    body = max(1.0, step * 0.7)

    def height_of(price: float) -> float:
        return _EDGE + (high - price) / ((high - low) or 1.0) * (_PLOT_HEIGHT - 2 * _EDGE)

    shapes = []
    for second, opened, highest, lowest, closed in points:
        middle = (second - first) / (last - first) * _WIDTH + step / 2
        upper, lower = height_of(max(opened, closed)), height_of(min(opened, closed))
        shapes.append(
            _CANDLE.format(
                middle=middle,
                high=height_of(highest),
                low=height_of(lowest),
                left=middle - body / 2,
                top=upper,
                width=body,
                height=max(1.0, lower - upper),
                kind="failed" if closed < opened else "done",
            )
        )
    return _CANDLES.format(
        width=_WIDTH,
        height=_PLOT_HEIGHT,
        title=title,
        description=description,
        shapes=Markup().join(shapes),
    )


def _svg(shapes: Iterable[Markup], height: float, title: str, description: str) -> Markup:
    return _SVG.format(
        width=_WIDTH,
        height=height,
        title=title,
        description=description,
        shapes=Markup().join(shapes),
    )
