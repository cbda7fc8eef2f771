"""What every command prints, on a narrow terminal and on one that knows only ASCII."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests import harness
from tests.unit.test_terminal import on_terminal

COLUMNS = 80
COMMANDS = (
    "status",
    "check trades",
    "check progress",
    "check receipts",
    "validate --offline",
    "plan show",
    "plan estimate",
    "doctor",
    "report coverage",
    "--help",
    "run --limit many",
    "run nonsense",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Ground]:
    """A folder of an odd name, a store that is open, and a run that has ended with an error."""
    folder = tmp_path_factory.mktemp("ünïcode 🎲")
    with (
        harness.sandbox(trades=5_000) as sandbox,
        harness.ground(folder, sandbox.url) as ground,
    ):
        ground.serve()
        ground.plan(sandbox)
        hostile = {"kind": "400", "route": "activity", "match": sandbox.wallets[0]}
        sandbox.faults(hostile)
        ground.run("run").expect(0, 3)
        sandbox.reset()
        yield ground


@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_is_broken_and_no_character_too_much(command: str, place: harness.Ground) -> None:
    typed = [*harness.COMMAND, *command.split()]
    piped = subprocess.run(
        typed, env=place.environment, cwd=place.folder, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in piped.stderr
    assert "\x1b" not in piped.stdout + piped.stderr
    program = f"""
import os, sys
from polybackfill import cli, terminal
os.chdir({str(place.folder)!r})
terminal.take_over()
try:
    cli.main({command.split()!r})
except SystemExit:
    pass
sys.stdout.flush()
"""
    narrow = {"COLUMNS": str(COLUMNS), "PYTHONIOENCODING": "ascii"}
    shown = on_terminal(program, COLUMNS, **place.environment, **narrow)
    assert "Traceback" not in shown
    told = piped.stdout + piped.stderr
    words = set(told.replace("\ufffd", "?").encode("ascii", "replace").decode().split())
    for line in shown.splitlines():
        assert len(line) <= COLUMNS or len(line.split()) <= 2, line
        assert line == line.rstrip() or len(line) < COLUMNS
    broken = {word for word in shown.split() if word not in words and not _changes(word)}
    assert not broken, shown
    ids = {word for word in shown.split() if len(word) > 20 and not word.startswith("/")}
    assert ids <= words, "an id in two halves is found by no search"


def _changes(word: str) -> bool:
    """Times and sizes differ from one call to the next, and the usage is set by its width."""
    return any(character.isdigit() for character in word) or word.strip("[](),:…").startswith("-")


def test_what_a_text_holds_is_not_obeyed(place: harness.Ground) -> None:
    words = ["sql", "SELECT concat('a', char(27), '[2J', char(7), char(194, 155), 'b') AS text"]
    program = f"""
import os
from polybackfill import cli, terminal
os.chdir({str(place.folder)!r})
terminal.take_over()
cli.main({words!r})
"""
    shown = on_terminal(program, COLUMNS, **place.environment)
    assert "a?[2J??b" in shown
    piped = place.run(*words)
    assert "\x1b" in piped.out, "a program gets every byte"
