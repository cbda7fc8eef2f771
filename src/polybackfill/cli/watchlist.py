"""The watchlist: what strategies watch."""

from __future__ import annotations

from polybackfill.cli import command_parser


def add(commands: command_parser.CommandGroup) -> None:
    """`watchlist` and its actions."""
    actions = commands.group("watchlist", "markets that strategies watch", "list")
    auto = actions.command(
        "auto",
        "watchlist.auto",
        "add markets bought by wallets with a known profit; only with AUTONOMOUS_TRADING_ENABLED",
        "--since 2026-11-20",
    )
    auto.add_argument("--since", metavar="DATE", help="first day or time, UTC (default: 24 hours)")
    listing = actions.command("list", "watchlist.show", "what is watched")
    listing.add_argument("--strategy", metavar="ID", help="only this one")
    add_by_hand = actions.command(
        "add", "watchlist.add", "watch markets by hand", "253591 --side no --reason 'thin book'"
    )
    add_by_hand.add_argument("--side", choices=("yes", "no"), help="the outcome to watch")
    add_by_hand.add_argument(
        "--reason", default="added by hand", metavar="TEXT", help="for the log"
    )
    remove = actions.command("remove", "watchlist.remove", "stop watching markets", "253591")
    remove.add_argument(
        "--strategy", metavar="ID", help="stop only for this strategy (default: for all)"
    )
    for parser in (add_by_hand, remove):
        parser.add_argument("market", nargs="+", metavar="MARKET", help="market or condition id")
    for parser in (auto, add_by_hand):
        parser.add_argument("--strategy", default="default", metavar="ID", help="for whom")
        parser.add_argument(
            "--strategy-name", metavar="NAME", help="the strategy's name, for the log"
        )
    command_parser.add_json_flag(auto, listing, add_by_hand, remove)
