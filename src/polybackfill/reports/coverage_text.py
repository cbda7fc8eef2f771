"""The coverage report as Markdown: the same figures give the same text, but for the time."""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill import formats
from polybackfill.checks import resolution_checks
from polybackfill.reports import coverage_figures, markdown_parts

WALLETS_QUERY = "SELECT wallet_address FROM wallet_backfill_plan WHERE status = 'done'"
GHOSTS_QUERY = (
    "SELECT DISTINCT condition_id FROM external_trades_raw\n"
    "WHERE condition_id NOT IN (SELECT condition_id FROM pm_fills)"
)
MISSION = (
    "Every trade of Polymarket beside those of `pm_trades`, each fill once, and for every part "
    "what is proven complete."
)


def markdown(figures: coverage_figures.CoverageFigures, *, at: str, run: str, version: str) -> str:
    """The report; `at`: the time it was made, as text."""
    sections = [
        _header(at, run),
        _summary(figures),
        _proof(figures["parts"]),
        _disagreements(figures["disagreements"]),
        _wallets(figures),
        _markets(figures),
        _union(figures),
        _consumer(figures),
        _next_steps(figures),
        [f"*Written by polybackfill {version}: `polybackfill report coverage`.*"],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def lag(seconds: float | None) -> str:
    """What the source said of itself; n/a where it says nothing, as Gamma and the order book do."""
    return "n/a" if seconds is None else f"{seconds:g} s"


def usd(amount: float | None) -> str:
    """Whole dollars."""
    return "unknown" if amount is None else f"${amount:,.0f}"


def conclusion(
    parts: Sequence[coverage_figures.PartFigures], *, not_begun: Sequence[str] = ()
) -> str:
    """The whole report in a sentence or two. A part with rows set aside is not called proven, and
    one of which nothing is known, as beside a planned list, not unfinished. `not_begun`: the names
    of parts of which the store knows nothing.
    """
    complete, lacking, rest, unread = [], [], [], list(not_begun)
    for part in parts:
        aside = part["set_aside"]
        if not part["keys"]:
            unread.append(part["name"])
        elif not part["complete"]:
            rest.append(part["name"])
        elif aside:
            lacking.append(f"{part['name']} ({formats.counted(aside, 'row')})")
        else:
            complete.append(part["name"])
    if complete and not (rest or lacking or unread):
        return "Every part is proven complete."
    said = f"Proven complete: {', '.join(complete)}." if complete else ""
    said = said or "No part is proven complete yet."
    if lacking:
        said += f" Complete but for rows set aside: {', '.join(lacking)}."
    if rest and (complete or lacking):
        said += f" Not yet: {', '.join(rest)}."
    if unread and (complete or lacking):
        said += f" Not read: {', '.join(unread)}."
    return said


def _header(at: str, run: str) -> list[str]:
    return [
        "# External coverage status",
        "",
        f"**Generated:** {at}  ",
        f"**Run:** {run}  ",
        f"**Mission:** {MISSION}",
    ]


def _summary(figures: coverage_figures.CoverageFigures) -> list[str]:
    totals, markets = figures["totals"], figures["markets"]
    return [
        "## Executive Summary",
        "",
        conclusion(figures["parts"]),
        "",
        *markdown_parts.table(
            ("", "Count"),
            [
                ("External trades", f"{figures['union']['external']:,}"),
                ("… that pm_trades lacks", f"{totals['external_trades']:,}"),
                ("Wallets with external trades", f"{totals['wallets_with_external']:,}"),
                ("Markets external only", f"{markets['external_only']:,}"),
                ("Markets in both sources", f"{markets['both']:,}"),
                ("External share of volume", formats.percent(totals["external_share"])),
                ("… internal", usd(totals["internal_usd"])),
                ("… external", usd(totals["external_usd"])),
            ],
        ),
        "",
        f"Volume is that of all {formats.counted(totals['wallets'], 'wallet')}; a fill "
        "both sources hold is counted "
        "as internal.",
    ]


def _proof(parts: Sequence[coverage_figures.PartFigures]) -> list[str]:
    rows = [
        (
            part["name"],
            f"{part['keys']:,}",
            f"{part['proven']:,}",
            formats.percent(part["share"]),
            formats.percent(part["trade_share"]) if part["trades"] else "",
            f"{part['failed']:,}",
            f"{part['counts']['rejected'] or 0:,}",
            lag(part["counts"]["lag_s"]),
            f"{part['stored']:,}",
        )
        for part in parts
    ]
    heads = (
        "Part",
        "Keys",
        "Proven",
        "Share",
        "By trades",
        "In error",
        "Rejected",
        "Lag",
        "Rows stored",
    )
    lines = [
        "## What Is Proven",
        "",
        "Proven means: the feed said that it ended, the store acknowledged every row, and the "
        "checkpoint holds the receipt. Keys are slices of the lists for markets (the order book's "
        "and lookups included) and events, wallets and conditions for the rest. Lag is how far "
        "behind the chain the source said it was, at most, when a feed ended.",
        "",
        *markdown_parts.table(heads, rows),
    ]
    for part in parts:
        lines += ["", *_unproven(part)]
    return lines


def _unproven(part: coverage_figures.PartFigures) -> list[str]:
    name, left = part["name"], part["keys"] - part["proven"]
    if not part["keys"]:
        return [f"### Not proven of {name}", "", "Nothing was begun: `polybackfill run`."]
    if not left:
        return [f"### Not proven of {name}", "", "Nothing: all of it is proven."]
    rows = [
        (f"`{one['key']}`", one["state"], markdown_parts.cell(one["error"] or ""))
        for one in part["unproven"]
    ]
    lines = [f"### Not proven of {name}", "", *markdown_parts.table(("Key", "State", "Why"), rows)]
    if left > len(rows):
        lines += ["", f"… and {left - len(rows):,} more."]
    return lines


def _disagreements(disagreements: resolution_checks.Disagreements) -> list[str]:
    heads = ("Condition ID", "What Differs", "Resolution", "Gamma", "Order Book")
    lines = ["### Resolutions that disagree", ""]
    counted = resolution_checks.describe(disagreements["counts"])
    if not counted:
        return [*lines, "None: wherever a market is resolved, all sources say the same."]
    lines += [f"- {text}" for text in counted]
    lines += ["", *markdown_parts.table(heads, disagreement_rows(disagreements))]
    left = sum(disagreements["counts"].values()) - len(disagreements["examples"])
    if left:
        lines += ["", f"… and {left:,} more:", "", *_sql(resolution_checks.QUERY)]
    return lines


def disagreement_rows(disagreements: resolution_checks.Disagreements) -> list[tuple[str, ...]]:
    """Condition, what differs, and what each source says, as text; "" where it says nothing."""
    return [
        (
            row["condition"],
            row["disagreement"],
            *(
                ", ".join(f"{payout:g}" for payout in payouts)
                for payouts in (row["by_resolutions"], row["by_gamma"], row["by_order_book"])
            ),
        )
        for row in disagreements["examples"]
    ]


def _wallets(figures: coverage_figures.CoverageFigures) -> list[str]:
    rows = [
        (
            f"`{row['wallet']}`",
            f"{row['internal']:,}",
            f"{row['external']:,}",
            usd(row["internal_usd"]),
            usd(row["external_usd"]),
            formats.percent(_part_of(row["external_usd"], row["internal_usd"])),
            row["status"],
        )
        for row in figures["wallets"]
    ]
    totals = figures["totals"]
    heads = (
        "Wallet",
        "Internal Trades",
        "External Trades",
        "Internal Notional",
        "External Notional",
        "External %",
        "Status",
    )
    return [
        "## Wallet-Level Coverage",
        "",
        f"{formats.counted(totals['wallets'], 'wallet')}, "
        f"{totals['wallets_with_external']:,} with external trades, "
        f"{totals['wallets_external_only']:,} with nothing else. "
        f"The {len(rows)} largest by notional:",
        "",
        *markdown_parts.table(heads, rows),
    ]


def _markets(figures: coverage_figures.CoverageFigures) -> list[str]:
    markets = figures["markets"]
    rows = [
        (
            f"`{row['condition']}`",
            markdown_parts.cell(row["question"]),
            f"{row['internal']:,} / {row['external']:,}",
            f"{row['internal_wallets']:,} / {row['external_wallets']:,}",
        )
        for row in figures["sample"]
    ]
    heads = (
        "Condition ID",
        "Question",
        "Internal / External Trades",
        "Internal / External Wallets",
    )
    return [
        "## Market-Level Coverage",
        "",
        *markdown_parts.table(
            ("Markets", "Count"),
            [
                ("CLOB only", f"{markets['internal_only']:,}"),
                ("External only", f"{markets['external_only']:,}"),
                ("Both", f"{markets['both']:,}"),
                ("All", f"{markets['markets']:,}"),
            ],
        ),
        "",
        f"The {len(rows)} largest with external trades, those without any other first:",
        "",
        *markdown_parts.table(heads, rows),
    ]


def _union(figures: coverage_figures.CoverageFigures) -> list[str]:
    union, repeated = figures["union"], figures["duplicates"]
    sign = "=" if union["holds"] else "≠"
    twice = "PASS: no trade id is stored twice."
    if repeated["ids"]:
        twice = f"FAIL: trade ids stored more than once: {repeated['ids']:,}."
    return [
        "## UNION View Validation",
        "",
        *markdown_parts.table(
            ("Rows", "Count"),
            [
                ("pm_trades", f"{union['internal']:,}"),
                ("external_trades_raw", f"{union['external']:,}"),
                ("… of these in both", f"{union['overlap']:,}"),
                ("pm_trades_with_external", f"{union['view']:,}"),
            ],
        ),
        "",
        f"**Row count:** {union['internal']:,} + {union['external']:,} - {union['overlap']:,} = "
        f"{union['expected']:,} {sign} {union['view']:,}: {'PASS' if union['holds'] else 'FAIL'}.",
        "",
        f"**Duplicates by trade id:** {twice}",
    ]


def _consumer(figures: coverage_figures.CoverageFigures) -> list[str]:
    done = figures["plan"].get("done", 0)
    in_all = sum(figures["plan"].values())
    planned = formats.counted(in_all, "planned wallet is", "planned wallets are")
    rows = [
        (
            f"`{row['wallet']}`",
            f"{row['trade_count']:,}" if row["trade_count"] else "unknown",
            usd(row["notional"] or None),
            row["last_run_at"] or "",
        )
        for row in figures["backfilled"]
    ]
    lines = [
        "## For the P&L Consumer",
        "",
        "### Fully backfilled wallets",
        "",
        f"{done:,} of {planned} fetched whole.",
    ]
    if rows:
        heads = ("Wallet", "Planned Trades", "Planned Notional", "Fetched")
        lines += ["", *markdown_parts.table(heads, rows)]
    if done > len(rows):
        lines += ["", f"… and {done - len(rows):,} more."]
    return [
        *lines,
        "",
        *_sql(WALLETS_QUERY),
        "",
        "### External-only markets",
        "",
        f"Markets with trades that no other source shows: {figures['markets']['external_only']:,}",
        "",
        *_sql(GHOSTS_QUERY),
    ]


def next_steps(figures: coverage_figures.CoverageFigures) -> list[tuple[str, str]]:
    """(what to do, the command for it); empty when nothing is left."""
    steps = []
    if any(part["failed"] for part in figures["parts"]):
        steps.append(("Fetch again what ended in error", "polybackfill plan reset --errors"))
    begun = any(part["keys"] for part in figures["parts"])
    rest = [
        part["name"]
        for part in figures["parts"]
        if not part["complete"] and (part["keys"] or not begun)
    ]
    if rest:
        steps.append((f"Go on with {', '.join(rest)}", "polybackfill run"))
    if figures["duplicates"]["ids"] or not figures["union"]["holds"]:
        steps.append(("Find out what is stored twice", "polybackfill validate --offline"))
    steps.append(("Check everything against the API", "polybackfill validate"))
    return steps


def _next_steps(figures: coverage_figures.CoverageFigures) -> list[str]:
    steps = enumerate(next_steps(figures), 1)
    return ["## Next Steps", "", *(f"{n}. {what}: `{command}`" for n, (what, command) in steps)]


def _part_of(part: float, rest: float) -> float | None:
    total = part + rest
    return part / total if total else None


def _sql(statement: str) -> list[str]:
    return ["```sql", statement, "```"]
