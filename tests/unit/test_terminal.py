"""How text is made to fit a terminal: widths, breaks, encodings."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import terminal
from polybackfill.reports import console_table

WORDS = st.lists(st.text(st.sampled_from("abcé日🏁"), min_size=1, max_size=12), max_size=40)


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
