"""`run`: what is fetched, and how."""

from __future__ import annotations

from polybackfill import kinds
from polybackfill.cli import command_parser


def add_run(commands: command_parser.CommandGroup) -> None:
    """`run`."""
    run = commands.command(
        "run",
        "run.run",
        "fetch the planned list, or everything if there is no list, until it is proven complete; "
        "you can stop and restart it at any time",
        "--until 07:00",
    )
    run.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"{', '.join(kinds.MODULES)} (default: what the planned list needs; all of them where "
        "there is none)",
    )
    content = run.add_argument_group("what")
    content.add_argument(
        "--wallet", action="append", metavar="W", help="wallet, comma list or file; repeatable"
    )
    content.add_argument(
        "--condition-id", action="append", metavar="ID", help="condition, list or file; repeatable"
    )
    content.add_argument(
        "--everything",
        action="store_true",
        help="fetch all parts and all keys, even if there is a planned list",
    )
    content.add_argument(
        "--follow",
        action="store_true",
        help="stay when everything is fetched, and store what is new within seconds; as "
        "--everything, until it is stopped",
    )
    content.add_argument("--since", metavar="DATE", help="first day or time, UTC, inclusive")
    content.add_argument(
        "--until",
        metavar="DATE|HH:MM",
        help="last day or time, UTC, inclusive; a time of day (07:00) is when to stop instead",
    )
    content.add_argument("--limit", type=int, metavar="N", help="at most N wallets or conditions")
    content.add_argument(
        "--skip", type=int, metavar="N", help="skip the first N pending wallets or conditions"
    )
    speed = run.add_argument_group("how")
    speed.add_argument("--workers", metavar="N", help="workers of each part, or auto (default)")
    speed.add_argument(
        "--sleep-ms",
        type=int,
        metavar="MS",
        help="start one wallet in this time: 5000 gives 12 wallets a minute, 1000 gives 60",
    )
    speed.add_argument(
        "--listen",
        metavar="[HOST:]PORT",
        help="serve health, metrics and status there while it runs (docs/monitoring.md)",
    )
    speed.add_argument(
        "--ui", action="store_true", help="show the run as a page in the browser, like `ui`"
    )
    speed.add_argument("--dry-run", action="store_true", help="fetch and report, write nothing")
    command_parser.add_json_flag(run)
