"""How it stands: the run, the checks, the reports, and what was set aside."""

from __future__ import annotations

from pathlib import Path

from polybackfill.cli import command_parser


def add_status(commands: command_parser.CommandGroup) -> None:
    """`status`, and `check` with its actions."""
    status = commands.command(
        "status", "status.status", "show the state of the run, and of its job", "--json"
    )
    status.add_argument(
        "--health",
        action="store_true",
        help="print nothing; exit 0: a run is active, 3: none is active and the last one ended "
        "normally, 4: it makes no progress, 75: it died or had to stop",
    )
    status.add_argument(
        "--watch",
        action="store_true",
        help="show it again every second, until Ctrl-C; with --json one object a line",
    )
    actions = commands.group("check", "counts of the plan and of the stored trades", "plan")
    plan = actions.command("plan", "plan.check", "the plan by status")
    trades = actions.command(
        "trades",
        "status.check_trades",
        "stored trades by source, growth by day, duplicates",
        "--json",
    )
    progress = actions.command(
        "progress",
        "progress.check",
        "each part's share, rate and time left, and how long its slowest worker has made no "
        "progress; trades expected and fetched",
        "--json",
    )
    receipts = actions.command(
        "receipts",
        "receipts.check",
        "show the receipt of each unit: pages, rows, times, the end of its feed, the source's lag",
        "wallets --wallet 0x9d84ce0306f8551e02efef1680475fc0f1dc1344 --json",
    )
    receipts.add_argument("kind", nargs="?", metavar="KIND", help="wallets, conditions, clob, …")
    receipts.add_argument("--wallet", action="append", metavar="W", help="units of these wallets")
    receipts.add_argument(
        "--condition-id", action="append", metavar="ID", help="units of these conditions"
    )
    receipts.add_argument(
        "--limit",
        type=int,
        default=20,
        metavar="N",
        help="the newest N, the newest last (default %(default)s)",
    )
    command_parser.add_json_flag(status, plan, trades, progress, receipts)


def add_ui(commands: command_parser.CommandGroup) -> None:
    """`ui`."""
    page = commands.command(
        "ui",
        "ui.ui",
        "show the run, or the last one, as a live page in the browser (docs/monitoring.md)",
        "--no-open",
    )
    page.add_argument(
        "--address",
        default="127.0.0.1:0",
        metavar="[HOST:]PORT",
        help="where the page is served (default: a free port of this machine, for it alone); for "
        "other machines set BACKFILL_LISTEN_TOKEN",
    )
    page.add_argument("--no-open", action="store_true", help="print the URL, and open no browser")
    page.add_argument(
        "--end-with-input",
        action="store_true",
        help="end when the standard input does, as the page of `run --ui`",
    )


def add_top(commands: command_parser.CommandGroup) -> None:
    """`top`."""
    top = commands.command(
        "top",
        "top.top",
        "show the run, or the last one, in the terminal, every second, until Ctrl-C",
        "--url http://127.0.0.1:9464",
    )
    top.add_argument(
        "--url",
        metavar="URL",
        help="of a run on any host that listens (`run --listen`), or the URL that `ui` printed; "
        "the token is BACKFILL_LISTEN_TOKEN, or behind #token= in the URL",
    )


def add_validate(commands: command_parser.CommandGroup) -> None:
    """`validate`."""
    validate = commands.command(
        "validate",
        "validate.validate",
        "check the stored data and show the evidence; exit 3 if a check fails",
        "--only duplicates --only receipts --json",
    )
    validate.add_argument(
        "--only", action="append", metavar="NAME", help="run only this check; repeatable"
    )
    validate.add_argument(
        "--offline",
        action="store_true",
        help="do not ask the API: user-volume and live-volume are skipped",
    )
    validate.add_argument(
        "--sample",
        type=int,
        default=20,
        metavar="N",
        help="wallets compared with the API (default %(default)s), half of them the largest",
    )
    command_parser.add_json_flag(validate)


def add_quarantine(commands: command_parser.CommandGroup) -> None:
    """`quarantine` and its actions."""
    actions = commands.group("quarantine", "list or replay rows that could not be read", "list")
    listing = actions.command(
        "list", "quarantine.show", "rows by reason, with examples", "--limit 5"
    )
    listing.add_argument("--limit", type=int, default=20, help="rows shown (default 20)")
    replay = actions.command(
        "replay",
        "quarantine.replay",
        "parse the rows again and move those that can be read now to their tables",
    )
    command_parser.add_json_flag(listing, replay)


def add_report(commands: command_parser.CommandGroup) -> None:
    """`report` and its actions."""
    actions = commands.group("report", "what was found, as files", "coverage")
    coverage = actions.command(
        "coverage",
        "coverage.report",
        "report what is stored, from which source, and how much is proven complete: Markdown and "
        "an HTML page",
        "--output reports/coverage.md",
    )
    coverage.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default EXTERNAL_COVERAGE_STATUS.md in the data folder; the page is FILE with .html",
    )
    categories = actions.command(
        "categories",
        "report.categories",
        "report profit and loss of every wallet by category, with its coverage",
        "--json",
    )
    wallet, market = _add_subjects(actions)
    morning = actions.command(
        "morning",
        "morning.report",
        "report the night: what was loaded, proven, missing, slow and new, and what tonight will "
        "take: text, an HTML page for a mail, and JSON",
        "--json",
    )
    morning.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default MORNING_REPORT.txt in the data folder; the page and the JSON have the same "
        "name, ending in .html and .json",
    )
    command_parser.add_json_flag(coverage, categories, wallet, market, morning)


def _add_subjects(
    actions: command_parser.CommandGroup,
) -> tuple[command_parser.Parser, command_parser.Parser]:
    """The reports of one wallet and of one market."""
    wallet = actions.command(
        "wallet",
        "subject.report_wallet",
        "report what one wallet bought, sold and earned, and what Polymarket says it earned: "
        "Markdown and an HTML page with the profit curve",
        "0x9d84ce0306f8551e02efef1680475fc0f1dc1344",
    )
    wallet.add_argument(
        "wallet", metavar="WALLET", help="an address, @name, or the URL of a profile"
    )
    market = actions.command(
        "market",
        "subject.report_market",
        "report what is stored of one market: its volume beside Gamma's and live-volume's, who "
        "traded, and its price: Markdown and an HTML page with candles",
        "will-it-rain-tomorrow",
    )
    market.add_argument(
        "market", metavar="MARKET", help="a condition id, a market's number, slug or page"
    )
    for subject, prefix, unknown in (
        (wallet, "WALLET", "the curve"),
        (market, "MARKET", "live-volume"),
    ):
        subject.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help=f"default {prefix}_0x….md in the data folder; the page is FILE with .html",
        )
        subject.add_argument(
            "--offline", action="store_true", help=f"do not ask the API: {unknown} is unknown"
        )
    return wallet, market
