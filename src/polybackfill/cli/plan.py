"""The plan: what is to be fetched, in which order, and what that would cost."""

from __future__ import annotations

from polybackfill.cli import command_parser


def add(commands: command_parser.CommandGroup) -> None:
    """`plan` and its actions."""
    actions = commands.group(
        "plan", "choose which wallets and conditions are fetched, and in which order", "show"
    )
    _add_ranking(
        actions, "build", "rank wallets by notional, or take a file of wallets and condition ids"
    )
    _add_ranking(
        actions,
        "regenerate",
        "rank again: known wallets keep status and history, new ones are added",
    )
    show = actions.command("show", "plan.show", "the next wallets and conditions")
    show.add_argument("--top", type=int, default=10, metavar="N", help="rows shown (default 10)")
    estimate = actions.command(
        "estimate",
        "estimate.estimate",
        "estimate the units, requests, rows, disk and hours of each part of a run",
    )
    estimate.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="parts, as for `run`; default: those that `run` would fetch",
    )
    estimate.add_argument("--everything", action="store_true", help="like `run --everything`")
    estimate.add_argument("--limit", type=int, metavar="N", help="like `run --limit N`")
    estimate.add_argument("--skip", type=int, metavar="N", help="like `run --skip N`")
    estimate.add_argument("--since", metavar="DATE", help="like `run --since DATE`")
    estimate.add_argument(
        "--until",
        metavar="DATE|HH:MM",
        help="like `run --until`; a time of day also shows what will be done by then",
    )
    estimate.add_argument(
        "--hosts",
        type=int,
        default=1,
        metavar="N",
        help="for N daemons that share one job, each with its own address (default 1)",
    )
    command_parser.add_json_flag(show, estimate)
    _add_reset(actions)


def _add_ranking(actions: command_parser.CommandGroup, name: str, help_text: str) -> None:
    ranking = actions.command(name, f"plan.{name}", help_text, "--top 500 --from pm_trades")
    ranking.add_argument("--top", type=int, default=None, metavar="N", help="only the N largest")
    ranking.add_argument(
        "--from",
        dest="source",
        default="pm_trades",
        metavar="TABLE|FILE",
        help="pm_trades (default), vw_trades_canonical, external_trades_raw, or a file",
    )
    command_parser.add_json_flag(ranking)


def _add_reset(actions: command_parser.CommandGroup) -> None:
    reset = actions.command(
        "reset",
        "plan.reset",
        "set units back to pending, in the plan and in the checkpoint",
        "--errors",
    )
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--stuck", action="store_true", help="units that a dead run left in progress"
    )
    which.add_argument("--errors", action="store_true", help="those in error")
    which.add_argument("--wallet", action="append", metavar="WALLET", help="these wallets")
    which.add_argument("--condition-id", action="append", metavar="ID", help="these conditions")
    which.add_argument(
        "--all", action="store_true", help="all units: the next run fetches everything again"
    )
    command_parser.add_json_flag(reset)
