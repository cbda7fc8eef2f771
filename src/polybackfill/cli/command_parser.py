"""How a command is put on the menu: its help, its example, the flags that every command takes."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from polybackfill import errors, guess

_FLAG = re.compile(r"--[\w-]+")  # and no SQL that begins with a comment
# argparse's own words for a word that is none of the choices, in all versions.
_NO_CHOICE = re.compile(r"argument (\S+): invalid choice: '(.*?)' \(.*choose from (.*)\)$")


class Parser(argparse.ArgumentParser):
    """A parser whose refusals end with the exit code of every other bad input, and with a guess."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong with it; exit 78."""
        self.print_usage(sys.stderr)
        self.exit(errors.EXIT_CONFIG, f"error: {_guessed(message)}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse an unknown flag where the known ones are, and before what else is missing."""
        if self._subparsers is None:
            self._refuse_flags(args or ())
        return super().parse_known_args(args, namespace)

    def _refuse_flags(self, words: Sequence[str]) -> None:
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        for word in words:
            if word == "--":
                return
            flag = word.split("=", maxsplit=1)[0]
            if _FLAG.fullmatch(flag) and not any(one.startswith(flag) for one in known):
                self.error(f"no such flag: {flag}{guess.near(flag, known)}")


def _guessed(message: str) -> str:
    match = _NO_CHOICE.fullmatch(message)
    if match is None:
        return message
    what, word, choices = match.groups()
    known = [choice.strip(" '") for choice in choices.split(",")]
    return f"no {what.lower()} {word}: there are {', '.join(known)}{guess.near(word, known)}"


class CommandGroup:
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
        where.add_argument("--run-name", metavar="NAME", help="BACKFILL_RUN_NAME: whose checkpoint")
        return parser

    def group(self, name: str, help_text: str, example: str) -> CommandGroup:
        """A command that only has actions; `example`: one of them."""
        parser = self._entry(name, help_text, example)
        return CommandGroup(parser, metavar="ACTION", title="actions", required=True)

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


def add_json_flag(*parsers: Parser) -> None:
    """These commands answer a script, too."""
    for parser in parsers:
        parser.add_argument("--json", action="store_true", help="one JSON document for a script")
