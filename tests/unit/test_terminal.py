"""What reaches a terminal, seen through a real one: a pseudo terminal of a given width."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import harness

from polybackfill import terminal
from polybackfill.reports import console_table

WORDS = st.lists(st.text(st.sampled_from("abcé日🏁"), min_size=1, max_size=12), max_size=40)


def on_terminal(program: str, columns: int, **environment: str) -> str:
    """What a program writes to a terminal of this width, line ends as it wrote them."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = {**os.environ, "TERM": "xterm-256color", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=settings
    ) as process:
        os.close(theirs)
        told = b"".join(_read(ours))
    os.close(ours)
    assert process.returncode == 0, told.decode(errors="replace")
    return told.decode(errors="replace").replace("\r\n", "\n")


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(descriptor, 65_536)
        except OSError:  # the other side has closed it
            return


@given(WORDS, st.integers(0, 6), st.integers(20, 100))
def test_lines_are_broken_between_words(words: list[str], indent: int, columns: int) -> None:
    text = " " * indent + " ".join(words)
    lines = terminal.wrapped(text, columns).split("\n")
    assert [word for line in lines for word in line.split()] == words
    longest = max([0, *map(terminal.cells, words)])
    for line in lines:
        assert terminal.cells(line) <= max(columns, longest + indent + 2)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = terminal.visible(text)
    assert len(shown) == len(text)
    assert all(character in "\n\t" or ord(character) >= 32 for character in shown)
    assert not set(shown) & set(map(chr, range(0x7F, 0xA0)))
    assert "\n" not in terminal.visible_line(text)


@given(st.text(st.characters(codec="utf-8")))
def test_json_says_the_same_and_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = terminal.visible_json(orjson.dumps({"text": text}).decode())
    assert orjson.loads(shown) == {"text": text}
    assert shown == terminal.visible(shown)


@given(st.text(), st.integers(1, 80))
def test_a_text_among_others_takes_one_line_and_no_more_than_so_much(text: str, most: int) -> None:
    shown = terminal.excerpt(text, most)
    assert len(shown) == min(len(text), most)
    assert shown == terminal.visible_line(shown)


@given(st.text(st.sampled_from("ab日🏁e\u0301")), st.integers(1, 20))
def test_a_text_is_cut_to_columns(text: str, columns: int) -> None:
    cut = terminal.cut(text, columns)
    assert text.startswith(cut)
    assert terminal.cells(cut) <= columns
    assert cut == text or terminal.cells(cut) >= columns - 1


def test_marks_that_turn_the_direction_are_no_text() -> None:
    for mark in "\u200e\u200f\u061c\u202e\u2066":
        assert terminal.visible(f"a{mark}b") == "a\ufffdb"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_every_encoding_takes_every_text(encoding: str) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    screen = terminal.Screen(stream)
    screen.write("tïe 🎲 \ud800 … \x1b]0;title\x07\x9b2J\n")
    screen.flush()
    shown = written.getvalue().decode(encoding)
    assert shown.startswith("tïe" if encoding != "ascii" else "t?e")
    assert "\x1b" not in shown
    assert "\x07" not in shown


PROGRAM = """
import sys
from polybackfill import terminal
terminal.take_over()
print("word " * 40)
print("0x" + "a" * 64, "b" * 30, file=sys.stderr)
print("\\x1b[31mred")
"""


def test_on_a_terminal_no_word_is_broken() -> None:
    lines = on_terminal(PROGRAM, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert {word for line in lines[:3] for word in line.split()} == {"word"}
    assert lines[-3:] == ["0x" + "a" * 64, "  " + "b" * 30, "\ufffd[31mred"]


def test_in_a_pipe_lines_stay_whole() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[0] == "word " * 40
    assert "\x1b" not in ended.stdout + ended.stderr


ROWS = """
from polybackfill import terminal
from polybackfill.reports import console_table
terminal.take_over()
console_table.show("errors", [
    {"key": "0x" + "a" * 64, "attempts": 12345, "message": " ".join(["the host said no"] * 6)},
    {"key": "0x" + "b" * 64, "attempts": 1, "message": "\\x1b[2Jgone\\nfor good"},
])
"""


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_table_too_wide_becomes_lists(columns: int) -> None:
    shown = on_terminal(ROWS, columns)
    lines = shown.splitlines()
    assert all(len(line) <= max(columns, 80) for line in lines)
    for word in ("0x" + "a" * 64, "12,345", "\ufffd[2Jgone for good"):
        assert word in " ".join(shown.split())
    assert not any(line.endswith("  ") for line in lines)


def test_a_table_that_fits_has_one_line_a_row() -> None:
    rows = [
        {"part": "wallets", "done": 12, "share": "1 %"},
        {"part": "x", "done": 3_456, "share": ""},
    ]
    assert console_table.lines(rows, 80) == [
        "part      done  share",
        "wallets     12  1 %",
        "x        3,456",
    ]


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": "", "TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(
    environment: Mapping[str, str], coloured: bool
) -> None:
    program = """
import structlog
from polybackfill import terminal
from polybackfill.reports import logs
terminal.take_over()
with logs.configured(level="info", file=None):
    structlog.get_logger().warning("unit.retry", error="\\x1b[2J503 " + "again " * 20)
"""
    os.environ.pop("JOURNAL_STREAM", None)
    shown = on_terminal(program, 80, **environment)
    assert "[2J503" in shown
    assert "\x1b[2J" not in shown
    assert ("\x1b[" in shown) == coloured
    assert all(terminal.cells(line) <= 80 for line in shown.splitlines())
    assert shown.count("again") == 20


BOTTOM = """
import sys
from polybackfill import terminal
terminal.take_over()
with terminal.bottom_line() as line:
    line.draw("first " * 50)
    print("said meanwhile")
    line.draw("second")
print("the end")
"""


def test_what_is_said_meanwhile_stands_above_the_line() -> None:
    shown = on_terminal(BOTTOM, 60)
    drawn = [piece.rstrip("\r") for piece in shown.split("\x1b[J")]
    assert drawn[1] == ("first " * 50)[:59]
    assert drawn[2:] == ["said meanwhile\n", "second", "the end\n"]


def test_of_a_line_that_wraps_after_a_resize_all_rows_are_erased() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        line = terminal.BottomLine(stream)
        for columns in (100, 40):
            fcntl.ioctl(stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            line.draw("x" * 90)
        told = ""
        while told.count("\x1b[J") < 2 or not told.endswith("x" * 39):  # it may come in pieces
            told += os.read(ours, 65_536).decode()
    os.close(ours)
    assert told.split("\x1b[J")[1:] == ["x" * 90 + "\r" + "\x1b[A" * 2, "x" * 39]


RESIZED = """
import asyncio, os, signal, time
from polybackfill import terminal
from polybackfill.reports import progress_line

progress_line._REDRAW_S, progress_line._SETTLED_S = 0.01, 0.6
progress_line.line = lambda picture, columns: "line"
drawn = []

def current():
    drawn.append(time.monotonic())
    if len(drawn) == 1:
        os.kill(os.getpid(), signal.SIGWINCH)
    return {}

async def main():
    task = asyncio.create_task(progress_line.show(current))
    while len(drawn) < 3:
        await asyncio.sleep(0.01)
    task.cancel()

asyncio.run(main())
print("settled" if drawn[1] - drawn[0] >= 0.6 else f"drawn amid a resize: {drawn}")
"""


def test_amid_a_resize_nothing_is_drawn() -> None:
    """What is shown has another width by then than the one that the terminal tells."""
    assert on_terminal(RESIZED, 60).split("\x1b[J")[-1] == "settled\n"


def test_every_command_says_it_in_any_encoding() -> None:
    """The help of all of them has dashes, dots and quotes that ASCII lacks."""
    for words in (
        ["--help"],
        ["run", "--help"],
        ["run", "—part"],
        ["check", "plan", "--data-dir", "/ü"],
    ):
        ended = subprocess.run(
            [*harness.COMMAND, *words],
            capture_output=True,
            env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
            check=False,
        )
        told = ended.stdout + ended.stderr
        assert b"Traceback" not in told
        assert told.isascii()
