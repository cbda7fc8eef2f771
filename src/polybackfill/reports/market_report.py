"""The report of one market: its fills and volumes, who traded in it, and its candles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polybackfill import clocks, formats, records, terminal
from polybackfill.reports import market_figures, receipt_section, report_content

_LENGTHS = {60: "minute", 3_600: "hour", 86_400: "day"}
_CHARTS = 4  # outcomes with a chart of their own
_NOTES = (
    "A trade is two fills, one on each side: a volume is the size of all fills in shares, halved, "
    "as Gamma and /v2/live-volume count it.",
    "Prices are USD a share; candles are made of the stored fills.",
    "Bought and sold are USD: shares times price, before fees.",
    "An unknown figure is shown as unknown and never counted as zero.",
)


def make_report(
    figures: market_figures.Figures, receipts: Sequence[dict[str, Any]]
) -> report_content.Report:
    """What the figures say. `receipts`: records of the units of this market."""
    sections = (
        report_content.Section(
            "Volume, Shares",
            report_content.Table(("Counted by", "Shares", "Ours less theirs"), _volumes(figures)),
            words=_why_apart(figures),
        ),
        _prices(figures),
        report_content.Section("By Outcome", _outcomes(figures)),
        report_content.Section("By Wallet", _wallets(figures)),
        receipt_section.make_section(receipts),
        report_content.Section("What the Figures Mean", notes=_NOTES),
    )
    return report_content.Report(
        command="report market",
        title=f"Market {records.show(figures.condition)}",
        subject=terminal.excerpt(figures.market.get("question", ""), 300),
        history=_history(figures),
        lead=lead(figures),
        tiles=_tiles(figures),
        sections=sections,
    )


def lead(figures: market_figures.Figures) -> str:
    """The whole report in a sentence or two."""
    fills = figures.fills
    stored = formats.counted(fills["fills"], "fill")
    wallets = formats.counted(fills["wallets"], "wallet")
    shares = formats.count(fills["shares"])
    text = f"{stored} of {wallets} stored: {shares} shares, {report_content.usd(fills['usd'])} USD."
    return f"{text} {_result(figures)}"


def _result(figures: market_figures.Figures) -> str:
    if figures.payouts:
        paid = ", ".join(
            f"{_outcome_name(figures, index)} {formats.count(payout)}"
            for index, payout in enumerate(figures.payouts)
        )
        return f"It is resolved; USD a share: {paid}."
    if not figures.market:
        return "No list shows the market, so its result is unknown."
    if not figures.payouts_at:
        return "Whether it is resolved is unknown: polybackfill dims build."
    state = "closed" if figures.market["closed"] else "open"
    return f"It is {state}, and nothing said by {figures.payouts_at} UTC that it is resolved."


def _outcome_name(figures: market_figures.Figures, index: int) -> str:
    names = figures.market.get("outcomes", [])
    return terminal.excerpt(names[index], 60) if index < len(names) else f"outcome {index}"


def _history(figures: market_figures.Figures) -> str:
    plan, market, fills = figures.plan, figures.market, figures.fills
    status = plan.get("status") or "not planned"
    read_at = f", {plan['last_run_at']} UTC" if plan.get("last_run_at") else ""
    listed = f"listed {market['read_at']} UTC" if market else "in no list"
    between = f"fills from {fills['first']} to {fills['newest']} UTC; " if fills["fills"] else ""
    return f"{between}plan: {status}{read_at}; {listed}"


def _tiles(figures: market_figures.Figures) -> tuple[tuple[str, str], ...]:
    fills, gamma, live = figures.fills, figures.market.get("volume"), figures.live.shares
    return (
        (f"{fills['fills']:,}", "fills stored"),
        (_shares(fills["shares"]), "shares traded, as stored"),
        (_shares(gamma), "shares traded, by Gamma"),
        (_shares(live), "shares traded, by live-volume"),
    )


def _volumes(figures: market_figures.Figures) -> tuple[tuple[str, ...], ...]:
    ours = figures.fills["shares"]
    theirs = (("Gamma", figures.market.get("volume")), ("/v2/live-volume", figures.live.shares))
    rows = [("Stored", _shares(ours), "")]
    rows += [(name, _shares(shares), _apart(ours, shares)) for name, shares in theirs]
    return tuple(rows)


def _why_apart(figures: market_figures.Figures) -> str:
    """What a difference may come from."""
    reasons, shown = [], records.show(figures.condition)
    if figures.plan.get("status") != "done":
        reasons.append(
            "The market was not read to its end, so fills of wallets that were not read are "
            f"missing: polybackfill run conditions --condition-id {shown}."
        )
    if figures.live.shares is None:
        reasons.append(f"/v2/live-volume is unknown: {figures.live.unknown or 'it names none'}.")
    if figures.market and not figures.market["closed"]:
        reasons.append("An open market trades on: every figure is as old as its reading.")
    return " ".join(reasons)


def _prices(figures: market_figures.Figures) -> report_content.Section:
    title = f"Price by {_LENGTHS[figures.candle_s].title()}"
    charts = tuple(_charts(figures))
    if not charts:
        reason = "no fill is stored" if not figures.fills["fills"] else "no candle is made yet"
        return report_content.Section(
            title, words=f"Candles are {report_content.UNKNOWN}: {reason}."
        )
    words = " ".join(chart.words for chart in charts)
    if (left := len(figures.candles) - len(charts)) > 0:
        words += f" {formats.counted(left, 'outcome')} more in trade_candles."
    if figures.candles_wait:
        words += " Fills have come since: the end of the run makes the candles anew."
    return report_content.Section(title, charts=charts, words=words)


def _charts(figures: market_figures.Figures) -> Iterator[report_content.Chart]:
    names = {one["token_id"]: one["name"] for one in figures.outcomes}
    tokens = [token for token in names if figures.candles.get(token)]
    for token in tokens[:_CHARTS]:
        points = figures.candles[token]
        name = terminal.excerpt(names[token] or f"token {token}", 60)
        high, low = max(point[2] for point in points), min(point[3] for point in points)
        first, last = _day(points[0][0]), _day(points[-1][0])
        now = points[-1][4]
        length = _LENGTHS[figures.candle_s]
        words = (
            f"{name}: {formats.counted(len(points), 'candle')} of one {length} from {first} to "
            f"{last}, lowest {low:.3f}, highest {high:.3f}, newest {now:.3f} USD."
        )
        yield report_content.Chart(
            f"{name}, USD a share by {length}",
            points=tuple(points),
            above=(name, f"highest {high:.3f}, newest {now:.3f}"),
            below=(first, f"lowest {low:.3f}", last),
            words=words,
            candle_s=figures.candle_s,
        )


def _outcomes(figures: market_figures.Figures) -> report_content.Table:
    heads = (
        "Outcome",
        "Fills",
        "Shares bought",
        "Shares sold",
        "USD",
        "Lowest",
        "Highest",
        "Newest",
    )
    rows = tuple(
        (
            terminal.excerpt(one["name"] or f"token {one['token_id']}", 60),
            f"{one['fills']:,}",
            _shares(one["bought"]),
            _shares(one["sold"]),
            report_content.usd(one["usd"]),
            *(f"{one[price]:.3f}" for price in ("lowest", "highest", "newest")),
        )
        for one in figures.outcomes
    )
    return report_content.Table(heads, rows)


def _wallets(figures: market_figures.Figures) -> report_content.Table:
    left = figures.fills["wallets"] - len(figures.wallets)
    return report_content.Table(
        ("Wallet", "Fills", "Bought", "Sold", "Economic profit here"),
        tuple(
            (
                one["wallet"],
                f"{one['fills']:,}",
                report_content.usd(one["bought"]),
                report_content.usd(one["sold"]),
                report_content.usd(one["economic_pnl_usd"], signed=True),
            )
            for one in figures.wallets
        ),
        keys=tuple(one["wallet"] for one in figures.wallets),
        more=f"… and {left:,} more, in external_trades_raw" if left > 0 else "",
    )


def _shares(amount: float | None) -> str:
    return report_content.UNKNOWN if amount is None else f"{amount:,.2f}"


def _apart(ours: float, theirs: float | None) -> str:
    if theirs is None:
        return report_content.UNKNOWN
    return f"{round(ours - theirs, 2) + 0.0:+,.2f}" if round(ours - theirs, 2) else "0.00"


def _day(second: float) -> str:
    return clocks.utc_text(second)[:16].replace("T", " ")
