"""The report of one wallet as one HTML page, with its profit curve."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from polybackfill import clocks
from polybackfill.reports import charts, html_parts, wallet_figures, wallet_text


def page(figures: wallet_figures.Figures, *, at: str, version: str) -> str:
    """The page; `at`: the time it was made, as text."""
    sections = [_head(figures, at), _parts(figures), _curve(figures)]
    if figures.totals is not None:
        sections += [_money(figures.totals), _categories(figures), _markets(figures)]
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in wallet_text.NOTES)
    sections.append(f"<h2>What the Figures Mean</h2><ul>{notes}</ul>")
    return html_parts.page(
        f"Wallet 0x{figures.wallet}", "\n".join(sections), version=version, command="report wallet"
    )


def _head(figures: wallet_figures.Figures, at: str) -> str:
    profit, totals = figures.parts[0], figures.totals or {}
    settled = totals.get("held_to_resolution_pnl_usd") if totals.get("resolved_markets") else None
    tiles = (
        (profit.ours, "economic profit, USD"),
        (settled, "held to resolution, before fees"),
        (profit.official, "Polymarket's own figure"),
        (profit.difference, "difference"),
    )
    shown = "".join(
        f'<div class="tile"><b>{_shown(wallet_text.usd(amount, signed=True))}</b>'
        f"<span>{caption}</span></div>"
        for amount, caption in tiles
    )
    return (
        f'<h1 class="address">Wallet 0x{figures.wallet}</h1>'
        f'<p class="quiet">{html.escape(at)}. {html.escape(wallet_text.history(figures))}</p>'
        f'<p class="lead">{html.escape(wallet_text.lead(figures))}</p>'
        f'<div class="tiles">{shown}</div>'
    )


def _parts(figures: wallet_figures.Figures) -> str:
    heads = ("USD", "Ours", "Polymarket", "Difference")
    rows = [_cells(row) for row in wallet_text.part_rows(figures)]
    return f'<h2>Both Figures</h2><div class="card">{html_parts.table(heads, rows)}</div>'


def _curve(figures: wallet_figures.Figures) -> str:
    words = html.escape(wallet_text.curve_words(figures))
    if not figures.curve:
        return f'<h2>Profit Curve</h2><div class="card"><p class="unknown">{words}</p></div>'
    amounts = [amount for _, amount in figures.curve]
    days = [clocks.utc_text(figures.curve[index][0])[:10] for index in (0, -1)]
    chart = charts.curve(figures.curve, title="Profit by day, USD", description=words)
    return (
        '<h2>Profit Curve</h2><div class="card">'
        f'<div class="ends"><span>highest {wallet_text.usd(max(amounts), signed=True)}</span>'
        f"<span>now {wallet_text.usd(amounts[-1], signed=True)}</span></div>{chart}"
        f'<div class="ends"><span>{days[0]}</span>'
        f"<span>lowest {wallet_text.usd(min(amounts), signed=True)}</span>"
        f'<span>{days[1]}</span></div><p class="quiet">{words} The dashed line is zero.</p></div>'
    )


def _money(totals: dict[str, Any]) -> str:
    rows = [_cells(row) for row in wallet_text.money_rows(totals)]
    table = html_parts.table(("USD", "Amount"), rows)
    return f'<h2>Money In and Out</h2><div class="card">{table}</div>'


def _categories(figures: wallet_figures.Figures) -> str:
    return f"<h2>By Category</h2>{_groups('Category', figures.categories, 'name')}"


def _markets(figures: wallet_figures.Figures) -> str:
    more = html.escape(wallet_text.more_markets(figures))
    table = _groups("Market", figures.markets, "question")
    return f'<h2>By Market</h2>{table}<p class="quiet">{more}</p>'


def _groups(head: str, rows: Sequence[dict[str, Any]], key: str) -> str:
    lines = [_cells((wallet_text.name_of(row, key), *wallet_text.group_row(row))) for row in rows]
    table = html_parts.table((head, *wallet_text.GROUP_HEADS), lines, text=(0,))
    return f'<div class="card groups">{table}</div>'


def _cells(row: Iterable[str]) -> list[str]:
    return [_shown(cell) for cell in row]


def _shown(text: str) -> str:
    """A text as HTML; what is unknown is seen at once."""
    plain = html_parts.plain(text)
    return f'<span class="unknown">{plain}</span>' if text == wallet_text.UNKNOWN else plain
