"""What a report of one wallet or market says, before it is Markdown, a page or a part of `ui`.

All of it is plain text, fetched texts too: whoever shows it makes it harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Table:
    """`keys`: of each row the wallet or condition that it is about, as people write it; empty where
    no row has one. `more`: what the table leaves out.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...] = ()
    more: str = ""


@dataclass(frozen=True)
class Chart:
    """A line of (second, amount), or with `candle_s`, the length of a candle, candles of (second,
    open, high, low, close). `above`, `below`: what stands at its edges; `words`: the same for who
    does not see it.
    """

    title: str
    points: tuple[tuple[float, ...], ...]
    above: tuple[str, ...]
    below: tuple[str, ...]
    words: str
    candle_s: int = 0


@dataclass(frozen=True)
class Section:
    """One heading and what stands below it. `words`: a paragraph, which tells of the charts, or why
    there are none.
    """

    title: str
    table: Table | None = None
    charts: tuple[Chart, ...] = ()
    words: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """`command`: what writes it; `subject`: what the API calls the thing; `tiles`: figure and
    caption.
    """

    command: str
    title: str
    history: str
    lead: str
    tiles: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    subject: str = ""


def usd(amount: float | None, *, signed: bool = False) -> str:
    """Dollars and cents; unknown is said."""
    if amount is None:
        return UNKNOWN
    rounded = round(amount, 2) + 0.0
    return f"{rounded:+,.2f}" if signed and rounded else f"{rounded:,.2f}"
