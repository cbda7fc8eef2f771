"""How a command is put on the menu: its help, its example, the flags that every command takes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from polybackfill import errors


class Parser(argparse.ArgumentParser):
    """A parser whose refusals end with the exit code of every other bad input."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with it; exit 78."""
        self.print_usage(sys.stderr)
        self.exit(errors.EXIT_CONFIG, f"error: {message}; see {self.prog} --help\n")


class Menu:
    """The commands below `parser`, or the actions of one of its groups."""

    def __init__(self, parser: Parser, **titles: Any) -> None:
        self._prog = parser.prog
        self._entries = parser.add_subparsers(**titles)

    def command(self, name: str, target: str, help_text: str, example: str = "") -> Parser:
        """A command. `target`: `module.function` below `polybackfill.commands`, called with what
        was typed; `example`: the words behind the command's own.
        """
        parser = self._entry(name, help_text, example)
        parser.set_defaults(command=tuple(target.split(".")))
        where = parser.add_argument_group("where")
        where.add_argument("--config", type=Path, metavar="FILE", help="settings file")
        where.add_argument("--data-dir", type=Path, metavar="DIR", help="BACKFILL_DATA_DIR")
        where.add_argument(
            "--checkpoint-dir", type=Path, metavar="DIR", help="BACKFILL_CHECKPOINT_DIR"
        )
        where.add_argument("--run-name", metavar="NAME", help="BACKFILL_RUN_NAME: whose ledger")
        return parser

    def group(self, name: str, help_text: str, example: str) -> Menu:
        """A command that only has actions; `example`: one of them."""
        parser = self._entry(name, help_text, example)
        return Menu(parser, metavar="ACTION", title="actions", required=True)

    def _entry(self, name: str, help_text: str, example: str) -> Parser:
        typed = f"{self._prog} {name} {example}".rstrip()
        parser: Parser = self._entries.add_parser(
            name,
            help=help_text.replace("%", "%%"),
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=f"example:\n  {typed}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        return parser


def takes_json(*parsers: Parser) -> None:
    """These commands answer a script, too."""
    for parser in parsers:
        parser.add_argument("--json", action="store_true", help="one JSON document for a script")
