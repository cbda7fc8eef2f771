"""What people type: the parser alone. A command's module is imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from polybackfill import errors

DESCRIPTION = """\
Loads the history of Polymarket into ClickHouse, overnight and unattended, and proves what is
complete.

Start with `polybackfill demo`, which needs nothing but this program."""

EXIT_CODES = """\
exit codes:  0 all asked work proven done    3 finished, some units in error
             4 no progress                   75 another run holds the lock, or upstream is out
             78 settings or input

example:
  polybackfill demo"""


class Parser(argparse.ArgumentParser):
    """A parser whose refusals end with the exit code of every other bad input."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with it; exit 78."""
        self.print_usage(sys.stderr)
        self.exit(errors.EXIT_CONFIG, f"error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command tree; each command carries the module and function behind it."""
    parser = Parser(
        prog="polybackfill",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    _add_demo(commands)
    _add_setup(commands)
    _add_plan(commands)
    _add_run(commands)
    _add_status(commands)
    _add_validate(commands)
    _add_market_ids(commands)
    _add_finalize_all(commands)
    _add_quarantine(commands)
    _add_dims(commands)
    _add_report(commands)
    _add_watchlist(commands)
    _add_sql(commands)
    _add_sandbox(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors made on purpose are printed, not raised."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        from importlib import metadata  # noqa: PLC0415  (the slowest import of a plain --help)

        print(f"polybackfill {metadata.version('polybackfill')}")
        return errors.EXIT_OK
    if not hasattr(arguments, "command"):
        parser.print_help()
        return errors.EXIT_CONFIG
    module_name, function_name = arguments.command
    _end_on_sigterm(errors.EXIT_OK if module_name == "run" else errors.EXIT_FORCED)
    return _call(module_name, function_name, arguments)


def _call(module_name: str, function_name: str, arguments: argparse.Namespace) -> int:
    code = errors.EXIT_OK
    try:
        module = importlib.import_module(f"polybackfill.commands.{module_name}")
        code = int(getattr(module, function_name)(arguments))
        sys.stdout.flush()
    except errors.Stop as error:
        return _refused(error, error.exit_code)
    except errors.Retry as error:
        return _refused(error, errors.EXIT_UNAVAILABLE)
    except errors.BackfillError as error:
        return _refused(error, errors.EXIT_CONFIG)
    except BrokenPipeError:
        # Whoever read the answer has seen enough. What is still held must not fail at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return code


def _end_on_sigterm(exit_code: int) -> None:
    """Until a command handles signals itself, SIGTERM ends it in order, so that nothing stays."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(exit_code)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, leave)


def _refused(error: Exception, exit_code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return exit_code


def _command(
    commands: Any, name: str, target: tuple[str, str], help_text: str, example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=target)
    where = parser.add_argument_group("where")
    where.add_argument("--config", type=Path, metavar="FILE", help="settings file")
    where.add_argument("--data-dir", type=Path, metavar="DIR", help="BACKFILL_DATA_DIR")
    where.add_argument("--checkpoint-dir", type=Path, metavar="DIR", help="BACKFILL_CHECKPOINT_DIR")
    where.add_argument("--run-name", metavar="NAME", help="BACKFILL_RUN_NAME: whose ledger")
    return parser


def _group(commands: Any, name: str, help_text: str, example: str) -> Any:
    parser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=f"example:\n  polybackfill {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.add_subparsers(metavar="ACTION", title="actions", required=True)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document for a script")


def _add_demo(commands: Any) -> None:
    demo = _command(
        commands,
        "demo",
        ("demo", "demo"),
        "a local Polymarket, all of it loaded and compared with the truth, in about a minute",
        "polybackfill demo --trades 100000",
    )
    demo.add_argument(
        "--trades", type=int, default=300_000, help="trade rows (default %(default)s)"
    )
    demo.add_argument("--markets", type=int, default=5_000, help="markets (default %(default)s)")
    demo.add_argument("--wallets", type=int, default=2_000, help="wallets (default %(default)s)")
    demo.add_argument("--seed", type=int, default=1, help="another universe (default %(default)s)")
    demo.add_argument("--keep", action="store_true", help="keep the demo's data folder")
    _json(demo)


def _add_setup(commands: Any) -> None:
    _json(
        _command(
            commands,
            "init",
            ("setup", "init"),
            "create what is missing: folders, tables, views; a second time changes nothing",
            "polybackfill init",
        )
    )
    _json(
        _command(
            commands,
            "doctor",
            ("setup", "doctor"),
            "check settings, folders, store, tables and upstream, and say what to do",
            "polybackfill doctor --json",
        )
    )


def _add_plan(commands: Any) -> None:
    actions = _group(
        commands, "plan", "which wallets and conditions are to be fetched, in which order", "show"
    )
    for action, text in (
        ("build", "rank wallets by notional, or take a file of wallets and condition ids"),
        ("regenerate", "rank again: known wallets keep status and history, new ones are added"),
    ):
        plan = _command(
            actions,
            action,
            ("plan", action),
            text,
            f"polybackfill plan {action} --top 500 --from pm_trades",
        )
        plan.add_argument("--top", type=int, default=None, metavar="N", help="only the N largest")
        plan.add_argument(
            "--from",
            dest="source",
            default="pm_trades",
            metavar="TABLE|FILE",
            help="pm_trades (default), vw_trades_canonical, external_trades_raw, or a file",
        )
        _json(plan)
    show = _command(
        actions,
        "show",
        ("plan", "show"),
        "the next wallets and conditions",
        "polybackfill plan show",
    )
    show.add_argument("--top", type=int, default=10, metavar="N", help="rows shown (default 10)")
    _json(show)
    estimate = _command(
        actions,
        "estimate",
        ("estimate", "estimate"),
        "what a run would cost: units, requests, rows, disk and hours, part by part",
        "polybackfill plan estimate",
    )
    estimate.add_argument(
        "parts", nargs="*", metavar="PART", help="parts of `run`; without any, everything"
    )
    _json(estimate)
    reset = _command(
        actions,
        "reset",
        ("plan", "reset"),
        "set units back to pending, in the plan and in the ledger",
        "polybackfill plan reset --errors",
    )
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument("--stuck", action="store_true", help="in_progress ones of a dead run")
    which.add_argument("--errors", action="store_true", help="those in error")
    which.add_argument("--wallet", action="append", metavar="WALLET", help="these wallets")
    which.add_argument("--condition-id", action="append", metavar="ID", help="these conditions")
    which.add_argument("--all", action="store_true", help="everything: fetch it all again")
    _json(reset)


def _add_run(commands: Any) -> None:
    run = _command(
        commands,
        "run",
        ("run", "run"),
        "fetch everything, or some parts, until it is proven complete; stop and start it at will",
        "polybackfill run --until 07:00",
    )
    run.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="markets, events, conditions, wallets, positions, resolutions (default: all of them)",
    )
    content = run.add_argument_group("what")
    content.add_argument(
        "--wallet", action="append", metavar="W", help="wallet, comma list or file; repeatable"
    )
    content.add_argument(
        "--condition-id", action="append", metavar="ID", help="condition, list or file; repeatable"
    )
    content.add_argument("--since", metavar="DATE", help="first day or time, UTC, inclusive")
    content.add_argument(
        "--until",
        metavar="DATE|HH:MM",
        help="last day or time, UTC, inclusive; a time of day (07:00) is when to stop instead",
    )
    content.add_argument("--limit", type=int, metavar="N", help="at most N wallets or conditions")
    content.add_argument("--skip", type=int, metavar="N", help="leave out the first N pending")
    pace = run.add_argument_group("how")
    pace.add_argument("--workers", metavar="N", help="workers of each part, or auto (default)")
    pace.add_argument(
        "--sleep-ms", type=int, metavar="MS", help="5000, 2000, 1000: 12, 30, 60 wallets a minute"
    )
    pace.add_argument("--dry-run", action="store_true", help="fetch and report, write nothing")
    _json(run)


def _add_status(commands: Any) -> None:
    status = _command(
        commands, "status", ("status", "status"), "how the run stands", "polybackfill status --json"
    )
    status.add_argument(
        "--health", action="store_true", help="exit 0 when no run is active or it makes progress"
    )
    _json(status)
    actions = _group(commands, "check", "counts of the plan and of the stored trades", "plan")
    plan = _command(
        actions, "plan", ("status", "check_plan"), "the plan by status", "polybackfill check plan"
    )
    trades = _command(
        actions,
        "trades",
        ("status", "check_trades"),
        "stored trades by source, growth by day, duplicates",
        "polybackfill check trades --json",
    )
    progress = _command(
        actions,
        "progress",
        ("progress", "check"),
        "each part's share, rate, time left and oldest progress; trades expected and fetched",
        "polybackfill check progress --json",
    )
    _json(plan)
    _json(trades)
    _json(progress)


def _add_validate(commands: Any) -> None:
    validate = _command(
        commands,
        "validate",
        ("validate", "validate"),
        "named checks of what is stored, each with its evidence; exit 3 when one fails",
        "polybackfill validate --only duplicates --only receipts --json",
    )
    validate.add_argument(
        "--only", action="append", metavar="NAME", help="this check alone; repeatable"
    )
    validate.add_argument(
        "--offline", action="store_true", help="do not ask the API: user-volume is skipped"
    )
    validate.add_argument(
        "--sample",
        type=int,
        default=20,
        metavar="N",
        help="wallets compared with the API (default %(default)s), half of them the largest",
    )
    _json(validate)


def _add_market_ids(commands: Any) -> None:
    actions = _group(
        commands, "market-ids", "which market each trade belongs to, by its number", "lookup"
    )
    lookup = _command(
        actions,
        "lookup",
        ("market_ids", "lookup"),
        "find the markets of conditions, in the stored lists, then at Gamma; no table is written",
        "polybackfill market-ids lookup --workers 5 --sleep-ms 0",
    )
    lookup.add_argument("--workers", metavar="N", help="workers (default 5)")
    lookup.add_argument("--batch", type=int, default=40, help="ids a request (default %(default)s)")
    lookup.add_argument("--sleep-ms", type=int, metavar="MS", help="pause of a worker, default 0")
    lookup.add_argument(
        "--limit", type=int, metavar="N", help="at most N conditions, busiest first"
    )
    finalize = _command(
        actions,
        "finalize",
        ("market_ids", "finalize"),
        "check what was found and put it into market_id_lookup_results.json",
        "polybackfill market-ids finalize",
    )
    apply = _command(
        actions,
        "apply",
        ("market_ids_apply", "apply"),
        "show coverage before and after, and with --write fill external_trades_raw.market_id",
        "polybackfill market-ids apply --write",
    )
    apply.add_argument("--from", dest="source", type=Path, metavar="FILE", help="another map")
    apply.add_argument("--write", action="store_true", help="write; without it nothing changes")
    apply.add_argument("--revert", action="store_true", help="take the last apply back")
    status = _command(
        actions,
        "status",
        ("market_ids", "status"),
        "coverage now and projected, and alerts below 90 % or with 5 % pending",
        "polybackfill market-ids status --json",
    )
    for parser in (lookup, finalize, apply, status):
        _json(parser)


def _add_finalize_all(commands: Any) -> None:
    _json(
        _command(
            commands,
            "finalize-all",
            ("finalize_all", "finalize_all"),
            "market-ids finalize, then report categories, and what came of them",
            "polybackfill finalize-all",
        )
    )


def _add_quarantine(commands: Any) -> None:
    actions = _group(commands, "quarantine", "rows set aside because they made no sense", "list")
    listing = _command(
        actions,
        "list",
        ("quarantine", "show"),
        "rows by reason, with examples",
        "polybackfill quarantine list --limit 5",
    )
    listing.add_argument("--limit", type=int, default=20, help="rows shown (default 20)")
    _json(listing)
    replay = _command(
        actions,
        "replay",
        ("quarantine", "replay"),
        "parse the rows again; what is understood now goes to its table",
        "polybackfill quarantine replay",
    )
    _json(replay)


def _add_dims(commands: Any) -> None:
    actions = _group(
        commands, "dims", "what markets and events are: category, tags, payouts", "build"
    )
    _json(
        _command(
            actions,
            "build",
            ("dims", "build"),
            "make markets_dim, events_dim and condition_market_map anew, and the seed files",
            "polybackfill dims build",
        )
    )


def _add_report(commands: Any) -> None:
    actions = _group(commands, "report", "what was found, as files", "coverage")
    coverage = _command(
        actions,
        "coverage",
        ("coverage", "report"),
        "what is stored, from which source, and what of it is proven: Markdown and an HTML page",
        "polybackfill report coverage --output reports/coverage.md",
    )
    coverage.add_argument(
        "--output",
        type=Path,
        default=Path("EXTERNAL_COVERAGE_STATUS.md"),
        metavar="FILE",
        help="default %(default)s; the page is FILE with .html",
    )
    _json(coverage)
    _json(
        _command(
            actions,
            "categories",
            ("report", "categories"),
            "profit and loss of every wallet by category, with its coverage",
            "polybackfill report categories --json",
        )
    )


def _add_watchlist(commands: Any) -> None:
    actions = _group(commands, "watchlist", "markets that strategies watch", "list")
    auto = _command(
        actions,
        "auto",
        ("watchlist", "auto"),
        "add what wallets with a figure have bought into; only with AUTONOMOUS_TRADING_ENABLED",
        "polybackfill watchlist auto --since 2026-11-20",
    )
    auto.add_argument("--since", metavar="DATE", help="first day or time, UTC (default: 24 hours)")
    listing = _command(
        actions, "list", ("watchlist", "show"), "what is watched", "polybackfill watchlist list"
    )
    listing.add_argument("--strategy", metavar="ID", help="only this one")
    add = _command(
        actions,
        "add",
        ("watchlist", "add"),
        "watch markets by hand",
        "polybackfill watchlist add 253591 --side no --reason 'thin book'",
    )
    add.add_argument("--side", choices=("yes", "no"), help="the outcome to watch")
    add.add_argument("--reason", default="added by hand", metavar="TEXT", help="for the log")
    remove = _command(
        actions,
        "remove",
        ("watchlist", "remove"),
        "watch markets no longer",
        "polybackfill watchlist remove 253591",
    )
    remove.add_argument("--strategy", metavar="ID", help="only for this one (default: for all)")
    for parser in (add, remove):
        parser.add_argument("market", nargs="+", metavar="MARKET", help="market or condition id")
    for parser in (auto, add):
        parser.add_argument("--strategy", default="default", metavar="ID", help="for whom")
        parser.add_argument("--strategy-name", metavar="NAME", help="its name, for the log")
    for parser in (auto, listing, add, remove):
        _json(parser)


def _add_sql(commands: Any) -> None:
    sql = _command(
        commands,
        "sql",
        ("sql", "sql"),
        "one statement against the store, also while a run is going on",
        'polybackfill sql "SELECT status, count() FROM wallet_backfill_plan GROUP BY status"',
    )
    sql.add_argument("statement", help="ClickHouse SQL")
    sql.add_argument("--format", default=None, metavar="F", help="TSV, JSONEachRow, CSV, Pretty, …")
    actions = _group(commands, "db", "the embedded store", "serve")
    serve = _command(
        actions,
        "serve",
        ("sql", "serve"),
        "keep the embedded store open for other tools until Ctrl-C",
        "polybackfill db serve --port 8123",
    )
    serve.add_argument("--port", type=int, default=None, metavar="PORT", help="port on loopback")


def _add_sandbox(commands: Any) -> None:
    sandbox = _command(
        commands,
        "sandbox",
        ("sandbox", "sandbox"),
        "a local Polymarket that enforces the limits, injects faults and knows the truth",
        "polybackfill sandbox --port 8700 --trades 300000 --latency-ms 0",
    )
    sandbox.add_argument("--port", type=int, default=8700, help="default %(default)s; 0 takes any")
    sandbox.add_argument("--seed", type=int, default=1, help="default %(default)s")
    sandbox.add_argument("--markets", type=int, default=200, help="default %(default)s")
    sandbox.add_argument(
        "--events", type=int, default=None, help="default: mostly one market an event"
    )
    sandbox.add_argument("--wallets", type=int, default=300, help="default %(default)s")
    sandbox.add_argument("--trades", type=int, default=20_000, help="default %(default)s")
    sandbox.add_argument("--latency-ms", type=float, default=None, help="default: 600 a data page")
    sandbox.add_argument(
        "--limits",
        default="published",
        metavar="L",
        help="published, off, a factor, or a JSON file",
    )
    sandbox.add_argument("--faults", type=Path, metavar="FILE", help="JSON list of faults")
    sandbox.add_argument("--replay", type=Path, metavar="DIR", help="serve recorded rows instead")
    sandbox.add_argument("--cache", action="store_true", help="first pages up to 300 s old")
    sandbox.add_argument(
        "--late-rows", type=int, default=0, metavar="N", help="rows that appear a while after start"
    )
