"""To begin with: a demonstration, the set-up, a Polymarket of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from polybackfill.cli import command_parser


def add_demo(commands: command_parser.CommandGroup) -> None:
    """`demo`."""
    demo = commands.command(
        "demo",
        "demo.demo",
        "start a local Polymarket, load all of it and compare the result with the truth; takes "
        "about a minute",
        "--trades 100000",
    )
    _add_sizes(demo, trades=301_000, markets=5_050, wallets=2_050)
    demo.add_argument("--keep", action="store_true", help="keep the demo's data folder")
    command_parser.add_json_flag(demo)


def _add_sizes(parser: argparse.ArgumentParser, *, trades: int, markets: int, wallets: int) -> None:
    """How large a universe is made, and which."""
    parser.add_argument(
        "--trades", type=int, default=trades, help="trade rows (default %(default)s)"
    )
    parser.add_argument("--markets", type=int, default=markets, help="default %(default)s")
    parser.add_argument("--wallets", type=int, default=wallets, help="default %(default)s")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the made-up universe (default %(default)s)"
    )


def add_setup(commands: command_parser.CommandGroup) -> None:
    """`init` and `doctor`."""
    init = commands.command(
        "init",
        "init.init",
        "create missing folders, tables and views; a second time changes nothing",
    )
    doctor = commands.command(
        "doctor",
        "doctor.doctor",
        "check settings, folders, store, tables and upstream, and say what to do",
        "--probe",
    )
    doctor.add_argument(
        "--probe",
        action="store_true",
        help="also test every assumption about the API: at most 60 requests, a few seconds; exit 3 "
        "if rows could be lost",
    )
    command_parser.add_json_flag(init, doctor)


def add_service(commands: command_parser.CommandGroup) -> None:
    """`service` and its actions."""
    actions = commands.group("service", "run the program as a systemd service", "install --dry-run")
    install = actions.command(
        "install",
        "service.install",
        "write unit, timer and environment file of a service that runs this installation",
        "--user --now",
    )
    show = actions.command("show", "service.show", "the installed files, secrets masked")
    uninstall = actions.command(
        "uninstall",
        "service.uninstall",
        "stop the service and remove its files; data and what you changed stay",
    )
    for action in (install, show, uninstall):
        action.add_argument(
            "--user", action="store_true", help="install a service of your own user; needs no root"
        )
        action.add_argument(
            "--root",
            type=Path,
            metavar="DIR",
            help="write the files below DIR, for example for an image",
        )
        action.set_defaults(dry_run=False)
    install.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="the service's working and data folder (default /var/lib/polybackfill; with --user "
        "here)",
    )
    install.add_argument(
        "--service-user",
        default="polybackfill",
        metavar="NAME",
        help="user of the service, if --user is not given (default %(default)s)",
    )
    install.add_argument("--dry-run", action="store_true", help="print the files, write nothing")
    install.add_argument("--now", action="store_true", help="also enable and start the service")


def add_support_bundle(commands: command_parser.CommandGroup) -> None:
    """`support-bundle`."""
    bundle = commands.command(
        "support-bundle",
        "support_bundle.bundle",
        "make one archive for a bug report; shows its contents first and replaces wallet addresses",
        "--output bundle.tar.gz --yes",
    )
    bundle.add_argument(
        "--output", type=Path, metavar="FILE", help="default: below the data folder, in support/"
    )
    bundle.add_argument("--yes", action="store_true", help="write it without asking")
    bundle.add_argument("--offline", action="store_true", help="do not ask the API anything")


def add_sandbox(commands: command_parser.CommandGroup) -> None:
    """`sandbox`."""
    sandbox = commands.command(
        "sandbox",
        "sandbox.sandbox",
        "a local Polymarket that enforces the limits, injects faults and knows the truth",
        "--port 8700 --trades 300000 --latency-ms 0",
    )
    sandbox.add_argument(
        "--port", type=int, default=8700, help="default %(default)s; 0 takes any free port"
    )
    _add_sizes(sandbox, trades=20_000, markets=200, wallets=300)
    sandbox.add_argument(
        "--events",
        type=int,
        default=None,
        help="group the markets into about so many events (default: mostly one market each)",
    )
    sandbox.add_argument(
        "--latency-ms",
        type=float,
        default=None,
        help="milliseconds for a page of the Data API (default 600)",
    )
    sandbox.add_argument(
        "--limits",
        default="published",
        metavar="L",
        help="published, off, a factor, or a JSON file",
    )
    sandbox.add_argument("--faults", type=Path, metavar="FILE", help="JSON list of faults")
    sandbox.add_argument("--replay", type=Path, metavar="DIR", help="serve recorded rows instead")
    sandbox.add_argument(
        "--money-cases", action="store_true", help="add markets and wallets made for profit"
    )
    sandbox.add_argument(
        "--cache", action="store_true", help="serve first pages that are up to 300 s old"
    )
    sandbox.add_argument(
        "--late-rows", type=int, default=0, metavar="N", help="rows that appear a while after start"
    )
    sandbox.add_argument(
        "--grow",
        type=float,
        default=0.0,
        metavar="S",
        help="add trades, markets and resolutions for so many seconds after the start",
    )
    sandbox.add_argument(
        "--grow-on-request",
        action="store_true",
        help="begin with that at a POST to /_sandbox/grow",
    )
    sandbox.add_argument(
        "--now",
        type=int,
        metavar="EPOCH",
        help="simulated time at start, in seconds since 1970; default: a fixed day",
    )
