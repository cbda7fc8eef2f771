"""The coverage report as one HTML page: self-contained, light and dark, without scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import markupsafe

from polybackfill import formats, terminal
from polybackfill.checks import resolution_checks
from polybackfill.reports import charts, coverage_figures, coverage_text, html_page

_STATUS_COLOURS = {"done": "done", "in_progress": "second", "pending": "third", "error": "failed"}
_CODE = markupsafe.Markup("<code>{}</code>")


def page(figures: coverage_figures.CoverageFigures, *, at: str, run: str, version: str) -> str:
    """The page; `at`: the time it was made, as text."""
    values = {
        "at": at,
        "run": run,
        "conclusion": coverage_text.conclusion(figures["parts"]),
        "tiles": _tiles(figures),
        "proven_chart": proven_chart(figures["parts"]),
        "part_rows": [_part_row(part) for part in figures["parts"]],
        "unproven": [_unproven(part) for part in figures["parts"] if part["unproven"]],
        "disagreements": _disagreements(figures["disagreements"]),
        "wallets": formats.counted(figures["totals"]["wallets"], "wallet"),
        "wallet_rows": [_wallet_row(row) for row in figures["wallets"]],
        "plan_chart": _plan_chart(figures["plan"]),
        "source_chart": _source_chart(figures["markets"]),
        "month_chart": _month_chart(figures["months"]),
        "market_rows": [_market_row(row) for row in figures["sample"]],
        **_union(figures["union"], figures["duplicates"]),
        "wallets_done": figures["plan"].get("done", 0),
        "wallets_planned": sum(figures["plan"].values()),
        "wallets_query": coverage_text.WALLETS_QUERY,
        "external_only": figures["markets"]["external_only"],
        "markets_query": coverage_text.GHOSTS_QUERY,
        "steps": coverage_text.next_steps(figures),
    }
    return html_page.render("coverage.html", values, version=version, command="report coverage")


def _tiles(figures: coverage_figures.CoverageFigures) -> Sequence[tuple[str, str]]:
    totals, markets = figures["totals"], figures["markets"]
    return (
        (f"{figures['union']['external']:,}", "external trades"),
        (f"{totals['wallets_with_external']:,}", "wallets with external trades"),
        (f"{totals['wallets_external_only']:,}", "of these with nothing else"),
        (f"{markets['external_only']:,}", "markets external only"),
        (f"{markets['both']:,}", "markets in both sources"),
        (formats.percent(totals["external_share"]), "external share of volume"),
        (coverage_text.usd(totals["internal_usd"]), "internal volume"),
        (coverage_text.usd(totals["external_usd"]), "external volume"),
    )


def proven_chart(parts: Sequence[coverage_figures.PartFigures]) -> markupsafe.Markup:
    """A bar for each part of `figures["parts"]`."""
    rows = [
        charts.Bar(
            label=part["name"],
            share=part["share"] or 0.0,
            failed=part["failed"] / part["keys"] if part["keys"] else 0.0,
            text=f"{formats.percent(part['share'])} of {part['keys']:,}"
            if part["keys"]
            else "not begun",
        )
        for part in parts
    ]
    text = ", ".join(f"{row.label} {row.text}" for row in rows)
    return charts.bars(rows, title="Share of each part that is proven complete", description=text)


def _part_row(part: coverage_figures.PartFigures) -> tuple[str, ...]:
    return (
        part["name"],
        f"{part['proven']:,}",
        f"{part['keys']:,}",
        f"{part['failed']:,}",
        formats.percent(part["trade_share"]) if part["trades"] else "",
        f"{part['counts']['rejected'] or 0:,}",
        coverage_text.lag(part["counts"]["lag_s"]),
        f"{part['stored']:,}",
    )


def _unproven(part: coverage_figures.PartFigures) -> dict[str, Any]:
    """`count` of all of them, and `rows` of the first."""
    rows = [
        (_CODE.format(one["key"]), one["state"], terminal.excerpt(one["error"] or ""))
        for one in part["unproven"]
    ]
    return {"name": part["name"], "count": part["keys"] - part["proven"], "rows": rows}


def _disagreements(disagreements: resolution_checks.Disagreements) -> dict[str, Any] | None:
    count = sum(disagreements["counts"].values())
    if not count:
        return None
    rows = [
        (_CODE.format(condition), *rest)
        for condition, *rest in coverage_text.disagreement_rows(disagreements)
    ]
    lines = resolution_checks.describe(disagreements["counts"])
    return {"count": count, "lines": list(lines), "rows": rows}


def _wallet_row(row: coverage_figures.TradedWallet) -> tuple[str, ...]:
    total = row["internal_usd"] + row["external_usd"]
    return (
        _CODE.format(row["wallet"]),
        f"{row['internal']:,}",
        f"{row['external']:,}",
        coverage_text.usd(row["internal_usd"]),
        coverage_text.usd(row["external_usd"]),
        formats.percent(row["external_usd"] / total if total else None),
        row["status"],
    )


def _plan_chart(plan: dict[str, int]) -> markupsafe.Markup | None:
    pieces = [
        (name.replace("_", " "), plan[name], colour)
        for name, colour in _STATUS_COLOURS.items()
        if name in plan
    ]
    if not pieces:
        return None
    text = ", ".join(f"{count:,} {name}" for name, count, _ in pieces)
    return charts.stack(pieces, title="Planned wallets by status", description=text)


def _source_chart(markets: coverage_figures.MarketCounts) -> markupsafe.Markup:
    pieces = [
        ("CLOB only", markets["internal_only"], "third"),
        ("Both", markets["both"], "done"),
        ("External only", markets["external_only"], "second"),
    ]
    text = ", ".join(f"{label} {count:,}" for label, count, _ in pieces)
    return charts.stack(pieces, title="Markets by the sources that show them", description=text)


def _month_chart(rows: Sequence[coverage_figures.MonthOfTrades]) -> markupsafe.Markup | None:
    if not rows:
        return None
    months = list(_months(rows))
    trades = sum(count for _, count, _ in months)
    return charts.columns(
        months,
        title="External trades by month",
        description=f"{formats.counted(len(months), 'month')}, {formats.counted(trades, 'trade')}",
    )


def _months(rows: Sequence[coverage_figures.MonthOfTrades]) -> Iterator[tuple[str, int, str]]:
    for row in rows:
        month, trades = row["month"][:7], row["trades"]
        yield month, trades, f"{month}: {formats.counted(trades, 'trade')}"


def _market_row(row: coverage_figures.TradedMarket) -> tuple[str, ...]:
    return (
        _CODE.format(f"{row['condition'][:10]}…{row['condition'][-6:]}"),
        terminal.excerpt(row["question"]),
        f"{row['internal']:,} / {row['external']:,}",
        f"{row['internal_wallets']:,} / {row['external_wallets']:,}",
    )


def _union(union: coverage_figures.Union, repeated: coverage_figures.Repeated) -> dict[str, Any]:
    sign = "=" if union["holds"] else "≠"
    return {
        "union_rows": [
            ("pm_trades", f"{union['internal']:,}"),
            ("external_trades_raw", f"{union['external']:,}"),
            ("of these in both", f"{union['overlap']:,}"),
            ("pm_trades_with_external", f"{union['view']:,}"),
        ],
        "equation": (
            f"{union['internal']:,} + {union['external']:,} - {union['overlap']:,} = "
            f"{union['expected']:,} {sign} {union['view']:,}"
        ),
        "union_holds": union["holds"],
        "repeated": f"{formats.counted(repeated['ids'], 'trade id')} stored more than once",
        "is_unrepeated": not repeated["ids"],
    }
