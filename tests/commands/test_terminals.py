"""What every command prints, on a narrow terminal and on one that knows only ASCII."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests import harness
from tests.integration.test_pseudo_terminal import on_terminal

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
    "report morning",
    "--help",
    "run --limit many",
    "run nonsense",
)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    """A folder of an odd name, a store that is open, and a run that has ended with an error."""
    folder = tmp_path_factory.mktemp("ünïcode 🎲")
    with (
        harness.sandbox(trades=5_000) as sandbox,
        harness.ground(folder, sandbox.url, prepared=prepared) as ground,
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
    if command == "doctor":  # for people, wherever they read it
        for line in piped.stdout.splitlines():
            assert len(line) <= COLUMNS or len(line.split()) <= 2, line
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
    shown = on_terminal(program, COLUMNS, **{**place.environment, **narrow})
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
    assert "a\ufffd[2J\ufffd\ufffdb" in shown
    piped = place.run(*words)
    assert "\x1b" in piped.out, "a program gets every byte"


WALLET = "0" * 39 + "1"


@pytest.mark.parametrize("columns", [60, 80, 300])
@pytest.mark.parametrize("colour", [{}, {"NO_COLOR": "1"}])
def test_rows_of_a_statement_keep_to_the_terminal(
    columns: int, colour: dict[str, str], place: harness.Ground
) -> None:
    statement = (
        f"SELECT '{WALLET}' AS wallet_address, number AS n, 0.5 AS price, NULL AS nothing, "
        "['Yes', 'No'] AS outcomes, repeat('what will happen ', 9) AS question FROM numbers(2)"
    )
    shown = _sql_on_terminal(statement, columns, place, **colour)
    assert "\x1b" not in shown
    assert all(len(line) <= columns for line in shown.splitlines()), shown
    assert shown.split().count(WALLET) == 2, "no id is cut or broken"
    assert shown.split().count("happen") == 18
    for value in ("0.5", "NULL", "['Yes','No']"):
        assert shown.count(value) == 2
    narrow = [line.split() for line in shown.splitlines() if line.split()[:1] == ["price"]]
    assert narrow == [] if columns == 300 else narrow == [["price", "0.5"]] * 2


def test_a_narrow_result_is_a_table(place: harness.Ground) -> None:
    shown = _sql_on_terminal("SELECT number AS n, 'a' AS t FROM numbers(9, 2)", 60, place)
    assert shown == " n  t\n 9  a\n10  a\n"
    assert _sql_on_terminal("SELECT 1 AS n FORMAT JSONEachRow", 60, place) == '{"n":1}\n'
    assert _sql_on_terminal("SELECT 1 AS n WHERE n = 2", 60, place) == ""
    created = _sql_on_terminal("SHOW CREATE TABLE clean_stops", 60, place)
    assert "    `run_name` String" in created.splitlines()[3], "lines of a text stay lines"


def test_a_long_result_says_that_it_goes_on(place: harness.Ground) -> None:
    shown = _sql_on_terminal("SELECT number AS n, 1 AS one FROM numbers(100000000)", 60, place)
    *rows, note = shown.splitlines()
    assert rows[-1].split() == ["999", "1"]
    assert note.startswith("(the first 1,000 rows")


def _sql_on_terminal(statement: str, columns: int, place: harness.Ground, **more: str) -> str:
    program = f"""
import os
from polybackfill import cli, terminal
os.chdir({str(place.folder)!r})
terminal.take_over()
cli.main(["sql", {statement!r}])
"""
    return on_terminal(program, columns, **place.environment, **more)
