"""The report of one wallet as one HTML page, with its profit curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import markupsafe

from polybackfill import clocks
from polybackfill.reports import charts, html_page, wallet_figures, wallet_text

_UNKNOWN = markupsafe.Markup('<span class="unknown">{}</span>')


def page(figures: wallet_figures.Figures, *, at: str, version: str) -> str:
    """The page; `at`: the time it was made, as text."""
    totals = figures.totals
    values = {
        "wallet": figures.wallet,
        "at": at,
        "history": wallet_text.history(figures),
        "lead": wallet_text.lead(figures),
        "tiles": _tiles(figures),
        "part_rows": _cells(wallet_text.part_rows(figures)),
        "curve": _curve(figures),
        "curve_words": wallet_text.curve_words(figures),
        "money_rows": None if totals is None else _cells(wallet_text.money_rows(totals)),
        "category_heads": ("Category", *wallet_text.GROUP_HEADS),
        "category_rows": _groups(figures.categories, "name"),
        "market_heads": ("Market", *wallet_text.GROUP_HEADS),
        "market_rows": _groups(figures.markets, "question"),
        "more_markets": wallet_text.more_markets(figures),
        "notes": wallet_text.NOTES,
    }
    return html_page.render("wallet.html", values, version=version, command="report wallet")


def _tiles(figures: wallet_figures.Figures) -> list[tuple[str, str]]:
    profit, totals = figures.parts[0], figures.totals or {}
    settled = totals.get("held_to_resolution_pnl_usd") if totals.get("resolved_markets") else None
    tiles = (
        (profit.ours, "economic profit, USD"),
        (settled, "held to resolution, before fees"),
        (profit.official, "Polymarket's own figure"),
        (profit.difference, "difference"),
    )
    return [(_shown(wallet_text.usd(amount, signed=True)), caption) for amount, caption in tiles]


def _curve(figures: wallet_figures.Figures) -> dict[str, str] | None:
    if not figures.curve:
        return None
    amounts = [amount for _, amount in figures.curve]
    first_day, last_day = (clocks.utc_text(figures.curve[index][0])[:10] for index in (0, -1))
    words = wallet_text.curve_words(figures)
    return {
        "chart": charts.curve(figures.curve, title="Profit by day, USD", description=words),
        "highest": wallet_text.usd(max(amounts), signed=True),
        "lowest": wallet_text.usd(min(amounts), signed=True),
        "now": wallet_text.usd(amounts[-1], signed=True),
        "first_day": first_day,
        "last_day": last_day,
    }


def _groups(rows: Sequence[dict[str, Any]], key: str) -> list[list[str]]:
    return _cells((wallet_text.name_of(row, key), *wallet_text.group_row(row)) for row in rows)


def _cells(rows: Iterable[Iterable[str]]) -> list[list[str]]:
    return [[_shown(text) for text in row] for row in rows]


def _shown(text: str) -> str:
    """A text for the page; what is unknown is seen at once."""
    plain = html_page.plain(text)
    return _UNKNOWN.format(plain) if text == wallet_text.UNKNOWN else plain
