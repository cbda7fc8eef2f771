"""The report of one wallet as Markdown, and the words it shares with the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polybackfill import clocks, formats, terminal
from polybackfill.reports import markdown_parts, wallet_figures

UNKNOWN = "unknown"
PART_NAMES = {
    "profit": "Economic profit",
    "trades": "Trades, before fees",
    "fees": "Fees paid",
    "rewards": "Rewards, rebates, yield",
    "unrealized": "Of trades: not yet taken",
}
# Column → what it is called.
MONEY = {
    "bought_usd": "Bought",
    "sold_usd": "Sold",
    "fees_usd": "Fees paid",
    "split_usd": "Split: paid for sets",
    "merged_usd": "Merged: received for sets",
    "redeemed_usd": "Redeemed",
    "converted_usd": "Received for conversions",
    "reward_usd": "Rewards",
    "rebate_usd": "Rebates",
    "yield_usd": "Yield",
    "value_usd": "Held now, at payout or price",
}
GROUP_HEADS = (
    "Fills",
    "Bought",
    "Sold",
    "Fees",
    "Redeemed",
    "Held now",
    "Economic",
    "To resolution",
)
NOTES = (
    "Economic profit: all cash that came in less all that went out, over trades, splits, merges, "
    "redemptions, conversions, rewards, rebates, yield and fees, and what is held now at its "
    "payout or current price.",
    "Held to resolution, before fees: from trades in resolved markets alone, as if every share had "
    "been held to the end.",
    "Deposits, withdrawals and shares that came or went by a direct transfer are no profit; a "
    "wallet with such shares is inexact.",
    "An unknown figure is shown as unknown and never counted as zero.",
)


def usd(amount: float | None, *, signed: bool = False) -> str:
    """Dollars and cents; unknown is said."""
    if amount is None:
        return UNKNOWN
    rounded = round(amount, 2) + 0.0
    return f"{rounded:+,.2f}" if signed and rounded else f"{rounded:,.2f}"


def lead(figures: wallet_figures.Figures) -> str:
    """The whole report in a sentence or two."""
    if figures.totals is None:
        return "No profit is computed for this wallet yet: polybackfill report categories."
    totals = figures.totals
    profit = figures.parts[0]
    text = f"Economic profit {usd(profit.ours, signed=True)} USD"
    if profit.ours is None:
        text = f"Economic profit {UNKNOWN} ({', '.join(totals['inexact_reasons'])})"
    settled = totals["held_to_resolution_pnl_usd"] if totals["resolved_markets"] else None
    shown = UNKNOWN if settled is None else f"{usd(settled, signed=True)} USD"
    text += f"; held to resolution, before fees: {shown}"
    text += f" over {totals['resolved_markets']:,} resolved of {totals['markets']:,} markets. "
    return text + _beside(figures, profit)


def _beside(figures: wallet_figures.Figures, profit: wallet_figures.ProfitPart) -> str:
    if profit.official is None:
        return "Polymarket's own figure is unknown."
    text = f"Polymarket says {usd(profit.official, signed=True)} USD"
    if profit.difference is None:
        return f"{text}; the difference is unknown."
    if not round(profit.difference, 2):
        return f"{text}: no difference."
    reason = f" ({figures.reason})" if figures.reason else ""
    return f"{text}: {usd(profit.difference, signed=True)} USD apart{reason}."


def part_rows(figures: wallet_figures.Figures) -> Iterator[tuple[str, str, str, str]]:
    """Each part: ours, Polymarket's, the difference."""
    for part in figures.parts:
        is_signed = part.name != "fees"
        yield (
            PART_NAMES[part.name],
            usd(part.ours, signed=is_signed),
            usd(part.official, signed=is_signed),
            usd(part.difference, signed=True),
        )


def money_rows(totals: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What came in, went out and is held."""
    for column, name in MONEY.items():
        known = ""
        if column == "fees_usd" and totals["fills_with_fee"] < totals["fills"]:
            share = formats.percent_of(totals["fills_with_fee"], totals["fills"])
            known = f" (known for {share} of the fills)"
        yield name + known, usd(totals[column])


def group_row(row: dict[str, Any]) -> tuple[str, ...]:
    """The figures of a category or a market, in the order of `GROUP_HEADS`."""
    settled = row["held_to_resolution_pnl_usd"] if row["resolved_markets"] else None
    resolution = usd(settled, signed=True) if row["resolved_markets"] else "not resolved"
    return (
        f"{row['fills']:,}",
        usd(row["bought_usd"]),
        usd(row["sold_usd"]),
        usd(row["fees_usd"]),
        usd(row["redeemed_usd"]),
        usd(row["value_usd"]),
        usd(row["economic_pnl_usd"], signed=True),
        resolution if row["fills"] else "",
    )


def more_markets(figures: wallet_figures.Figures) -> str:
    """What the list of markets leaves out."""
    left = (figures.totals["markets"] if figures.totals else 0) - len(figures.markets)
    return f"… and {left:,} more, in wallet_market_pnl" if left > 0 else ""


def history(figures: wallet_figures.Figures) -> str:
    """What is stored of the wallet."""
    newest = f", the newest of {figures.newest} UTC" if figures.fills else ""
    status = figures.status or "not planned"
    computed = f"; profits computed {figures.totals['computed_at']} UTC" if figures.totals else ""
    at = {"": "not read", "now": "read now"}.get(figures.official_at, f"read {figures.official_at}")
    return (
        f"{formats.counted(figures.fills, 'fill')} of the API stored{newest}; plan: {status}"
        f"{computed}; Polymarket's own figure {at}"
    )


def curve_words(figures: wallet_figures.Figures) -> str:
    """The curve in words: where it began, its highest and lowest point, where it stands."""
    if not figures.curve:
        return f"The curve is {UNKNOWN}: {figures.no_curve or 'Polymarket returned none'}."
    low = min(figures.curve, key=lambda point: point[1])
    high = max(figures.curve, key=lambda point: point[1])
    last = figures.curve[-1]
    return (
        f"Polymarket's figure by day since {_day(figures.curve[0][0])}: lowest "
        f"{usd(low[1], signed=True)} USD on {_day(low[0])}, highest {usd(high[1], signed=True)} "
        f"USD on {_day(high[0])}, now {usd(last[1], signed=True)} USD."
    )


def _day(second: int) -> str:
    return clocks.utc_text(second)[:10]


def markdown(figures: wallet_figures.Figures, *, at: str, version: str) -> str:
    """The report; `at`: the time it was made, as text."""
    sections = [
        [f"# Wallet 0x{figures.wallet}", "", at, "", history(figures), "", lead(figures)],
        ["## Both Figures", "", *_parts(figures)],
        ["## Profit Curve", "", curve_words(figures)],
    ]
    if figures.totals is not None:
        money = markdown_parts.table(("USD", "Amount"), money_rows(figures.totals))
        sections += [
            ["## Money In and Out", "", *money],
            ["## By Category", "", *_groups("Category", figures.categories, "name")],
            ["## By Market", "", *_groups("Market", figures.markets, "question")],
        ]
    more = more_markets(figures)
    sections += [[more]] if more else []
    sections.append(["## What the Figures Mean", "", *(f"- {note}" for note in NOTES)])
    sections.append([f"*Written by polybackfill {version}: `polybackfill report wallet`.*"])
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _parts(figures: wallet_figures.Figures) -> list[str]:
    return markdown_parts.table(("USD", "Ours", "Polymarket", "Difference"), part_rows(figures))


def _groups(head: str, rows: Sequence[dict[str, Any]], key: str) -> list[str]:
    lines = [(markdown_parts.cell(name_of(row, key)), *group_row(row)) for row in rows]
    return markdown_parts.table((head, *GROUP_HEADS), lines)


def name_of(row: dict[str, Any], key: str) -> str:
    """What a row is about; a market that no list names by its condition."""
    return terminal.excerpt(row[key] or row.get("condition") or "no category", 120)
