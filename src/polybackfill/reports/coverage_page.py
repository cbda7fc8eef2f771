"""The coverage report as one HTML page: self-contained, light and dark, without scripts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from polybackfill import formats, terminal
from polybackfill.checks import resolution_checks
from polybackfill.reports import charts, coverage_text, html_parts

_STATUS_COLOURS = {"done": "done", "in_progress": "second", "pending": "third", "error": "failed"}


def page(figures: dict[str, Any], *, at: str, run: str, version: str) -> str:
    """The page; `at`: the time it was made, as text."""
    body = "\n".join(
        (
            _head(figures, at, run),
            _proof(figures["parts"]),
            _disagreements(figures["disagreements"]),
            _wallets(figures),
            _markets(figures),
            _union(figures),
            _consumer(figures),
            _next_steps(figures),
        )
    )
    return html_parts.page(
        "External coverage status", body, version=version, command="report coverage"
    )


def _head(figures: dict[str, Any], at: str, run: str) -> str:
    totals, markets = figures["totals"], figures["markets"]
    tiles = (
        (f"{figures['union']['external']:,}", "external trades"),
        (f"{totals['wallets_with_external']:,}", "wallets with external trades"),
        (f"{totals['wallets_external_only']:,}", "of these with nothing else"),
        (f"{markets['external_only']:,}", "markets external only"),
        (f"{markets['both']:,}", "markets in both sources"),
        (formats.percent(totals["external_share"]), "external share of volume"),
        (coverage_text.usd(totals["internal_usd"]), "internal volume"),
        (coverage_text.usd(totals["external_usd"]), "external volume"),
    )
    shown = "".join(
        f'<div class="tile"><b>{value}</b><span>{caption}</span></div>' for value, caption in tiles
    )
    return (
        "<h1>External coverage status</h1>"
        f'<p class="quiet">{html.escape(at)}, run {html.escape(run)}</p>'
        f'<p class="lead">{html.escape(coverage_text.conclusion(figures))}</p>'
        f'<h2>Executive Summary</h2><div class="tiles">{shown}</div>'
    )


def _proof(parts: Sequence[dict[str, Any]]) -> str:
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
    chart = charts.bars(rows, title="Share of each part that is proven complete", description=text)
    table = html_parts.table(
        ("Part", "Proven", "Keys", "In error", "By trades", "Rejected rows", "Lag", "Rows stored"),
        [
            (
                part["name"],
                f"{part['proven']:,}",
                f"{part['keys']:,}",
                f"{part['failed']:,}",
                formats.percent(part["trade_share"]) if part["trades"] else "",
                f"{part['counts']['rejected'] or 0:,}",
                coverage_text.lag(part["counts"]["lag_s"]),
                f"{part['stored']:,}",
            )
            for part in parts
        ],
    )
    gaps = "".join(_unproven(part) for part in parts if part["unproven"])
    return (
        '<h2>What Is Proven</h2><p class="quiet">The feed said that it ended, the store '
        "acknowledged every row, and the checkpoint holds the receipt.</p>"
        f'<div class="card">{chart}</div><div class="card">{table}</div>{gaps}'
    )


def _unproven(part: dict[str, Any]) -> str:
    rows = [
        (
            f"<code>{html.escape(one['key'])}</code>",
            one["state"],
            html.escape(terminal.excerpt(one["error"] or "")),
        )
        for one in part["unproven"]
    ]
    left = part["keys"] - part["proven"]
    more = f'<p class="quiet">… and {left - len(rows):,} more</p>' if left > len(rows) else ""
    table = html_parts.table(("Key", "State", "Why"), rows, text=(1, 2))
    heading = f"<summary>Not proven of {part['name']}: {left:,}</summary>"
    return f'<details class="card">{heading}{table}{more}</details>'


def _disagreements(disagreements: dict[str, Any]) -> str:
    count = sum(disagreements["counts"].values())
    if not count:
        return ""
    heads = ("Condition", "What differs", "Resolution", "Gamma", "Order book")
    rows = [
        (f"<code>{condition}</code>", *rest)
        for condition, *rest in coverage_text.disagreement_rows(disagreements)
    ]
    lines = resolution_checks.describe(disagreements["counts"])
    text = "".join(f"<li>{html.escape(text)}</li>" for text in lines)
    return (
        f'<details class="card"><summary>Resolutions that disagree: {count:,}</summary>'
        f"<ul>{text}</ul>{html_parts.table(heads, rows, text=(1, 2, 3, 4))}</details>"
    )


def _wallets(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["wallets"]:
        total = row["internal_usd"] + row["external_usd"]
        rows.append(
            (
                f"<code>{html.escape(row['wallet'])}</code>",
                f"{row['internal']:,}",
                f"{row['external']:,}",
                coverage_text.usd(row["internal_usd"]),
                coverage_text.usd(row["external_usd"]),
                formats.percent(row["external_usd"] / total if total else None),
                row["status"],
            )
        )
    heads = ("Wallet", "Internal", "External", "Internal $", "External $", "External", "Status")
    totals = figures["totals"]
    plan = [
        (name.replace("_", " "), figures["plan"][name], colour)
        for name, colour in _STATUS_COLOURS.items()
        if name in figures["plan"]
    ]
    chart = ""
    if plan:
        text = ", ".join(f"{count:,} {name}" for name, count, _ in plan)
        bar = charts.stack(plan, title="Planned wallets by status", description=text)
        chart = f'<div class="card"><h3>Planned wallets by status</h3>{bar}</div>'
    return (
        '<h2>Wallet-Level Coverage</h2><p class="quiet">'
        f"{formats.counted(totals['wallets'], 'wallet')}, the "
        f"{len(rows)} largest by notional below.</p>{chart}"
        f'<div class="card">{html_parts.table(heads, rows)}</div>'
    )


def _markets(figures: dict[str, Any]) -> str:
    markets = figures["markets"]
    pieces = [
        ("CLOB only", markets["internal_only"], "third"),
        ("Both", markets["both"], "done"),
        ("External only", markets["external_only"], "second"),
    ]
    text = ", ".join(f"{label} {count:,}" for label, count, _ in pieces)
    where = charts.stack(pieces, title="Markets by the sources that show them", description=text)
    months = [
        (
            row["month"][:7],
            row["trades"],
            f"{row['month'][:7]}: {formats.counted(row['trades'], 'trade')}",
        )
        for row in figures["months"]
    ]
    over = charts.columns(
        months,
        title="External trades by month",
        description=f"{formats.counted(len(months), 'month')}, "
        f"{formats.counted(sum(count for _, count, _ in months), 'trade')}",
    )
    rows = [
        (
            f"<code>{html.escape(row['condition'][:10])}…{html.escape(row['condition'][-6:])}</code>",
            html.escape(terminal.excerpt(row["question"])),
            f"{row['internal']:,} / {row['external']:,}",
            f"{row['internal_wallets']:,} / {row['external_wallets']:,}",
        )
        for row in figures["sample"]
    ]
    heads = ("Condition", "Question", "Trades int. / ext.", "Wallets int. / ext.")
    chart = f'<div class="card"><h3>External trades by month</h3>{over}</div>' if months else ""
    return (
        f'<h2>Market-Level Coverage</h2><div class="card"><h3>Markets by source</h3>{where}</div>'
        f'{chart}<div class="card">{html_parts.table(heads, rows, text=(1,))}</div>'
    )


def _union(figures: dict[str, Any]) -> str:
    union, repeated = figures["union"], figures["duplicates"]
    rows = [
        ("pm_trades", f"{union['internal']:,}"),
        ("external_trades_raw", f"{union['external']:,}"),
        ("of these in both", f"{union['overlap']:,}"),
        ("pm_trades_with_external", f"{union['view']:,}"),
    ]
    sign = "=" if union["holds"] else "≠"
    equation = (
        f"{union['internal']:,} + {union['external']:,} - {union['overlap']:,} = "
        f"{union['expected']:,} {sign} {union['view']:,}"
    )
    ids = f"{formats.counted(repeated['ids'], 'trade id')} stored more than once"
    counts = html_parts.table(("Rows", "Count"), rows)
    return (
        f'<h2>UNION View Validation</h2><div class="card">{counts}'
        f"<p><br>{equation} {html_parts.mark(union['holds'])}</p>"
        f"<p>{ids} {html_parts.mark(not repeated['ids'])}</p></div>"
    )


def _consumer(figures: dict[str, Any]) -> str:
    done, planned = figures["plan"].get("done", 0), sum(figures["plan"].values())
    return (
        '<h2>For the P&amp;L Consumer</h2><div class="card">'
        f"<h3>Fully backfilled wallets: {done:,} of {planned:,} planned</h3>"
        f"<pre><code>{html.escape(coverage_text.WALLETS_QUERY)}</code></pre>"
        f"<h3>External-only markets: {figures['markets']['external_only']:,}</h3>"
        f"<pre><code>{html.escape(coverage_text.GHOSTS_QUERY)}</code></pre></div>"
    )


def _next_steps(figures: dict[str, Any]) -> str:
    steps = "".join(
        f"<li>{html.escape(what)}: <code>{html.escape(command)}</code></li>"
        for what, command in coverage_text.next_steps(figures)
    )
    return f"<h2>Next Steps</h2><ol>{steps}</ol>"
