"""Market ids, and what is built on them."""

from __future__ import annotations

from pathlib import Path

from polybackfill.cli import command_parser


def add(commands: command_parser.CommandGroup) -> None:
    """`market-ids` and its actions."""
    actions = commands.group("market-ids", "find the market id of each trade", "lookup")
    lookup = actions.command(
        "lookup",
        "market_ids.lookup",
        "find the market of each condition in the stored lists, then at Gamma; write no table",
        "--workers 5 --sleep-ms 0",
    )
    lookup.add_argument("--workers", metavar="N", help="workers (default 5)")
    lookup.add_argument("--batch", type=int, default=40, help="ids a request (default %(default)s)")
    lookup.add_argument("--sleep-ms", type=int, metavar="MS", help="pause of a worker, default 0")
    lookup.add_argument(
        "--limit", type=int, metavar="N", help="at most N conditions, busiest first"
    )
    finalize = actions.command(
        "finalize",
        "market_ids.finalize",
        "check the market ids found and write them to market_id_lookup_results.json",
    )
    apply = actions.command(
        "apply",
        "market_ids_apply.apply",
        "show coverage before and after, and with --write fill external_trades_raw.market_id",
        "--write",
    )
    apply.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help="a map other than that of the last lookup",
    )
    apply.add_argument(
        "--write", action="store_true", help="write the changes; without this flag nothing changes"
    )
    apply.add_argument("--revert", action="store_true", help="undo the last apply")
    status = actions.command(
        "status",
        "market_ids.status",
        "show coverage now and projected; warn below 90 % or with 5 % pending",
        "--json",
    )
    command_parser.add_json_flag(lookup, finalize, apply, status)


def add_finalize_all(commands: command_parser.CommandGroup) -> None:
    """`finalize-all`."""
    command_parser.add_json_flag(
        commands.command(
            "finalize-all",
            "finalize_all.finalize_all",
            "run market-ids finalize and report categories, and show their results",
        )
    )


def add_dims(commands: command_parser.CommandGroup) -> None:
    """`dims` and its actions."""
    actions = commands.group(
        "dims", "build and explain categories, tags and payouts of markets and events", "build"
    )
    build = actions.command(
        "build",
        "dims.build",
        "rebuild markets_dim, events_dim, condition_market_map and the seed files",
    )
    explain = actions.command(
        "explain",
        "dims.explain",
        "which tags put a market into its category",
        "0x0000000000000000000000000000000000000000000000000000000000000001",
    )
    explain.add_argument(
        "condition", nargs="+", help="condition id, market id, slug or URL; several at once"
    )
    command_parser.add_json_flag(build, explain)
