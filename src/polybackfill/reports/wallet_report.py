"""The report of one wallet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from polybackfill import clocks, formats, records, terminal
from polybackfill.reports import receipt_section, report_content, wallet_figures

_PART_NAMES = {
    "profit": "Economic profit",
    "trades": "Trades, before fees",
    "fees": "Fees paid",
    "rewards": "Rewards, rebates, yield",
    "unrealized": "Of trades: not yet taken",
}
# Column → what it is called.
_MONEY = {
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
_GROUP_HEADS = (
    "Fills",
    "Bought",
    "Sold",
    "Fees",
    "Redeemed",
    "Held now",
    "Economic",
    "To resolution",
)
_NOTES = (
    "Economic profit: all cash that came in less all that went out, over trades, splits, merges, "
    "redemptions, conversions, rewards, rebates, yield and fees, and what is held now at its "
    "payout or current price.",
    "Held to resolution, before fees: from trades in resolved markets alone, as if every share had "
    "been held to the end.",
    "Deposits, withdrawals and shares that came or went by a direct transfer are no profit; a "
    "wallet with such shares is inexact.",
    "An unknown figure is shown as unknown and never counted as zero.",
)


def make_report(
    figures: wallet_figures.Figures, receipts: Sequence[dict[str, Any]]
) -> report_content.Report:
    """What the figures say. `receipts`: records of the units of this wallet."""
    sections = [
        report_content.Section("Both Figures", _parts(figures)),
        report_content.Section("Profit Curve", charts=_curve(figures), words=_curve_words(figures)),
    ]
    if figures.totals is not None:
        money = report_content.Table(("USD", "Amount"), tuple(_money_rows(figures.totals)))
        sections += [
            report_content.Section("Money In and Out", money),
            report_content.Section("By Category", _groups("Category", figures.categories, "name")),
            report_content.Section("By Market", _markets(figures)),
        ]
    sections += [
        receipt_section.make_section(receipts),
        report_content.Section("What the Figures Mean", notes=_NOTES),
    ]
    return report_content.Report(
        command="report wallet",
        title=f"Wallet {records.show(figures.wallet)}",
        history=_history(figures),
        lead=lead(figures),
        tiles=tuple(_tiles(figures)),
        sections=tuple(sections),
    )


def lead(figures: wallet_figures.Figures) -> str:
    """The whole report in a sentence or two."""
    if figures.totals is None:
        return "No profit is computed for this wallet yet: polybackfill report categories."
    totals = figures.totals
    profit = figures.parts[0]
    text = f"Economic profit {report_content.usd(profit.ours, signed=True)} USD"
    if profit.ours is None:
        text = f"Economic profit {report_content.UNKNOWN} ({', '.join(totals['inexact_reasons'])})"
    settled = totals["held_to_resolution_pnl_usd"] if totals["resolved_markets"] else None
    shown = (
        report_content.UNKNOWN
        if settled is None
        else f"{report_content.usd(settled, signed=True)} USD"
    )
    text += f"; held to resolution, before fees: {shown}"
    text += f" over {totals['resolved_markets']:,} resolved of {totals['markets']:,} markets. "
    return text + _beside(figures, profit)


def _beside(figures: wallet_figures.Figures, profit: wallet_figures.ProfitPart) -> str:
    if profit.official is None:
        return "Polymarket's own figure is unknown."
    text = f"Polymarket says {report_content.usd(profit.official, signed=True)} USD"
    if profit.difference is None:
        return f"{text}; the difference is unknown."
    if not round(profit.difference, 2):
        return f"{text}: no difference."
    reason = f" ({figures.reason})" if figures.reason else ""
    return f"{text}: {report_content.usd(profit.difference, signed=True)} USD apart{reason}."


def _part_rows(figures: wallet_figures.Figures) -> Iterator[tuple[str, str, str, str]]:
    """Each part: ours, Polymarket's, the difference."""
    for part in figures.parts:
        is_signed = part.name != "fees"
        yield (
            _PART_NAMES[part.name],
            report_content.usd(part.ours, signed=is_signed),
            report_content.usd(part.official, signed=is_signed),
            report_content.usd(part.difference, signed=True),
        )


def _money_rows(totals: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What came in, went out and is held."""
    for column, name in _MONEY.items():
        known = ""
        if column == "fees_usd" and totals["fills_with_fee"] < totals["fills"]:
            share = formats.percent_of(totals["fills_with_fee"], totals["fills"])
            known = f" (known for {share} of the fills)"
        yield name + known, report_content.usd(totals[column])


def _group_row(row: dict[str, Any]) -> tuple[str, ...]:
    """The figures of a category or a market, in the order of `_GROUP_HEADS`."""
    settled = row["held_to_resolution_pnl_usd"] if row["resolved_markets"] else None
    resolution = (
        report_content.usd(settled, signed=True) if row["resolved_markets"] else "not resolved"
    )
    return (
        f"{row['fills']:,}",
        report_content.usd(row["bought_usd"]),
        report_content.usd(row["sold_usd"]),
        report_content.usd(row["fees_usd"]),
        report_content.usd(row["redeemed_usd"]),
        report_content.usd(row["value_usd"]),
        report_content.usd(row["economic_pnl_usd"], signed=True),
        resolution if row["fills"] else "",
    )


def _more_markets(figures: wallet_figures.Figures) -> str:
    """What the list of markets leaves out."""
    left = (figures.totals["markets"] if figures.totals else 0) - len(figures.markets)
    return f"… and {left:,} more, in wallet_market_pnl" if left > 0 else ""


def _history(figures: wallet_figures.Figures) -> str:
    """What is stored of the wallet."""
    newest = f", the newest of {figures.newest} UTC" if figures.fills else ""
    status = figures.status or "not planned"
    computed = f"; profits computed {figures.totals['computed_at']} UTC" if figures.totals else ""
    at = {"": "not read", "now": "read now"}.get(figures.official_at, f"read {figures.official_at}")
    return (
        f"{formats.counted(figures.fills, 'fill')} of the API stored{newest}; plan: {status}"
        f"{computed}; Polymarket's own figure {at}"
    )


def _curve_words(figures: wallet_figures.Figures) -> str:
    """The curve in words: where it began, its highest and lowest point, where it stands."""
    if not figures.curve:
        reason = figures.no_curve or "Polymarket returned none"
        return f"The curve is {report_content.UNKNOWN}: {reason}."

    def amount_of(point: tuple[int, float]) -> float:
        return point[1]

    def show(point: tuple[int, float]) -> str:
        return f"{report_content.usd(point[1], signed=True)} USD"

    low, high = min(figures.curve, key=amount_of), max(figures.curve, key=amount_of)
    return (
        f"Polymarket's figure by day since {_day(figures.curve[0][0])}: lowest {show(low)} on "
        f"{_day(low[0])}, highest {show(high)} on {_day(high[0])}, now {show(figures.curve[-1])}."
    )


def _day(second: int) -> str:
    return clocks.utc_text(second)[:10]


def _name_of(row: dict[str, Any], key: str) -> str:
    """What a row is about; a market that no list names by its condition."""
    return terminal.excerpt(row[key] or row.get("condition") or "no category", 120)


def _tiles(figures: wallet_figures.Figures) -> Iterator[tuple[str, str]]:
    profit, totals = figures.parts[0], figures.totals or {}
    settled = totals.get("held_to_resolution_pnl_usd") if totals.get("resolved_markets") else None
    for amount, caption in (
        (profit.ours, "economic profit, USD"),
        (settled, "held to resolution, before fees"),
        (profit.official, "Polymarket's own figure"),
        (profit.difference, "difference"),
    ):
        yield report_content.usd(amount, signed=True), caption


def _parts(figures: wallet_figures.Figures) -> report_content.Table:
    return report_content.Table(
        ("USD", "Ours", "Polymarket", "Difference"), tuple(_part_rows(figures))
    )


def _groups(head: str, rows: Sequence[dict[str, Any]], key: str) -> report_content.Table:
    lines = tuple((_name_of(row, key), *_group_row(row)) for row in rows)
    return report_content.Table((head, *_GROUP_HEADS), lines)


def _markets(figures: wallet_figures.Figures) -> report_content.Table:
    table = _groups("Market", figures.markets, "question")
    keys = tuple(row["condition"] for row in figures.markets)
    return dataclasses.replace(table, keys=keys, more=_more_markets(figures))


def _curve(figures: wallet_figures.Figures) -> tuple[report_content.Chart, ...]:
    if not figures.curve:
        return ()
    amounts = [amount for _, amount in figures.curve]
    (first, _), (last, _) = figures.curve[0], figures.curve[-1]
    return (
        report_content.Chart(
            "Profit by day, USD",
            points=tuple(figures.curve),
            above=(
                f"highest {report_content.usd(max(amounts), signed=True)}",
                f"now {report_content.usd(amounts[-1], signed=True)}",
            ),
            below=(
                _day(first),
                f"lowest {report_content.usd(min(amounts), signed=True)}",
                _day(last),
            ),
            words=_curve_words(figures),
        ),
    )
