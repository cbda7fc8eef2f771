"""The generated references say what the program says."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from polybackfill import cli, settings

ROOT = Path(__file__).resolve().parents[2]
COMMENTED = re.compile(r"^# ([a-z_]+ = .*)$", re.MULTILINE)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and all below it, however deep."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


PARSERS = list(parsers(cli.build_parser()))
COMMANDS = [parser for parser in PARSERS if parser.get_default("command")]


def test_nothing_generated_is_out_of_date():
    check = subprocess.run(
        [sys.executable, "tests/docs/reference.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_the_shipped_file_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = settings.load()
    shipped = settings.load(file=ROOT / "config" / "backfill.toml")
    assert shipped == plain


def test_the_shipped_file_shows_every_setting_with_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = (ROOT / "config" / "backfill.toml").read_text(encoding="utf-8")
    used = tmp_path / "used.toml"
    used.write_text(COMMENTED.sub(r"\1", shipped), encoding="utf-8")
    shown = tomllib.loads(used.read_text(encoding="utf-8"))
    assert list(shown["backfill"]) == list(settings.BackfillSettings.model_fields)
    assert list(shown["clickhouse"]) == list(settings.ClickHouseSettings.model_fields)
    assert list(shown["watchlist"]) == list(settings.WatchlistSettings.model_fields)
    loaded, default = settings.load(file=used), settings.load()
    for part in ("backfill", "clickhouse", "watchlist"):
        for name, value in getattr(default, part):
            if value is not None:
                assert getattr(getattr(loaded, part), name) == value, name


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_help_says_what_a_command_does_and_ends_with_an_example(parser):
    assert (parser.description or "").strip()
    last = parser.format_help().rstrip().splitlines()[-1]
    assert last.strip().startswith("polybackfill"), last


@pytest.mark.parametrize("parser", COMMANDS, ids=lambda parser: parser.prog)
def test_every_argument_is_explained(parser):
    assert [action.dest for action in parser._actions if not action.help] == []
