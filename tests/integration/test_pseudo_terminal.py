"""What reaches a terminal, seen through a real one: a pseudo terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping

import pytest
from tests import harness

from polybackfill import terminal


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
