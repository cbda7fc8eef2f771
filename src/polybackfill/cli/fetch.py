"""`run`: what is fetched, and how."""

from __future__ import annotations

from polybackfill.cli import command_parser


def add_run(commands: command_parser.CommandGroup) -> None:
    """`run`."""
    run = commands.command(
        "run",
        "run.run",
        "fetch the planned list, or everything where there is none, until it is proven complete; "
        "stop and start it at will",
        "--until 07:00",
    )
    run.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="markets, events, conditions, wallets, positions, resolutions, user-stats (default: "
        "what the planned list needs; all of them where there is none)",
    )
    content = run.add_argument_group("what")
    content.add_argument(
        "--wallet", action="append", metavar="W", help="wallet, comma list or file; repeatable"
    )
    content.add_argument(
        "--condition-id", action="append", metavar="ID", help="condition, list or file; repeatable"
    )
    content.add_argument(
        "--everything", action="store_true", help="all parts and all keys, also beside a list"
    )
    content.add_argument("--since", metavar="DATE", help="first day or time, UTC, inclusive")
    content.add_argument(
        "--until",
        metavar="DATE|HH:MM",
        help="last day or time, UTC, inclusive; a time of day (07:00) is when to stop instead",
    )
    content.add_argument("--limit", type=int, metavar="N", help="at most N wallets or conditions")
    content.add_argument("--skip", type=int, metavar="N", help="leave out the first N pending")
    speed = run.add_argument_group("how")
    speed.add_argument("--workers", metavar="N", help="workers of each part, or auto (default)")
    speed.add_argument(
        "--sleep-ms", type=int, metavar="MS", help="5000, 2000, 1000: 12, 30, 60 wallets a minute"
    )
    speed.add_argument("--dry-run", action="store_true", help="fetch and report, write nothing")
    command_parser.add_json_flag(run)
