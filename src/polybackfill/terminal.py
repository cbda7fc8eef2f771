"""What a person sees: text that the terminal can show, no word broken, one line kept at the bottom.

`take_over` puts a `Screen` in the place of each standard stream, once, at the start of a command.
From then on `print` is safe whatever a text holds: what the terminal's encoding lacks becomes a
question mark, control characters from elsewhere never arrive, and on a terminal long lines are
broken between words. Machines are served by `sys.stdout.buffer`, which is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, TextIO, cast

from polybackfill import redaction

WIDTH = 80  # columns, where nobody says how many there are
# Control characters, what turns the direction of writing, and what is a line end to some readers.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_TEXT_MAX = 400  # characters of one fetched text among others
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PIECES = re.compile(r"\s*\S+")
_REPLACEMENT = "\ufffd"
_ERASE_TO_END = "\x1b[J"
_UP = "\x1b[A"


def visible(text: str) -> str:
    """The text without anything a terminal would obey; line ends and tabs stay."""
    return _UNSAFE.sub(_REPLACEMENT, text)


def visible_line(text: str) -> str:
    """The same in one line, for texts that come from elsewhere."""
    return visible(" ".join(text.split("\n")).replace("\t", " "))


def excerpt(text: str, most: int = _TEXT_MAX) -> str:
    """The same, with the end left out of what is longer than anybody means."""
    return visible_line(text if len(text) <= most else f"{text[: most - 1]}…")


def visible_json(document: str) -> str:
    """A JSON document that says the same, and holds nothing that a terminal would obey."""
    return _UNSAFE.sub(lambda character: f"\\u{ord(character[0]):04x}", document)


def is_interactive(stream: TextIO) -> bool:
    """Whether a person looks at it, on a terminal that understands cursor movements."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Whether colours are wanted there (no-color.org)."""
    return is_interactive(stream) and not os.environ.get("NO_COLOR")


def width(stream: TextIO) -> int | None:
    """Columns of the terminal at this moment; None of a file or a pipe, which has no width."""
    if not stream.isatty():
        return None
    with contextlib.suppress(OSError, ValueError):
        if columns := os.get_terminal_size(stream.fileno()).columns:
            return columns
    return shutil.get_terminal_size((WIDTH, 24)).columns


def cells(text: str) -> int:
    """Columns that a text takes; colours take none."""
    plain = _COLOUR.sub("", text) if "\x1b" in text else text
    if plain.isascii():
        return len(plain)
    import wcwidth  # noqa: PLC0415  (a tenth of a second, which most commands do without)

    return wcwidth.width(plain)


def cut(text: str, columns: int) -> str:
    """As much of the text, which has no colours, as fits into so many columns."""
    if text.isascii():
        return text[:columns]
    import wcwidth  # noqa: PLC0415

    return wcwidth.clip(text, 0, columns, fillchar="")


def wrapped(text: str, columns: int, *, indent: int | None = None) -> str:
    """Each line broken between words, the rest of it behind `indent`, by default two more than its
    beginning; a word that is too long stays whole.
    """
    return "\n".join(_broken(line, columns, indent) for line in text.split("\n"))


def _broken(line: str, columns: int, indent: int | None) -> str:
    if cells(line) <= columns:
        return line
    if indent is None:
        indent = len(line) - len(line.lstrip(" ")) + 2
    hanging = " " * (indent if indent < columns // 2 else 0)
    lines, taken = [""], 0
    for piece in _PIECES.findall(line):
        size = cells(piece)
        if lines[-1] and taken + size > columns:
            lines.append(hanging + piece.lstrip())
            taken = cells(lines[-1])
        else:
            lines[-1] += piece
            taken += size
    return "\n".join(lines)


class BottomLine:
    """One line that is drawn again and again; what else is written goes above it.

    Terminals break a line anew when they become narrower, so what was drawn is measured by the
    width of the moment in which it is erased.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._taken = 0

    def draw(self, text: str) -> None:
        """Show this text in place of the one before; what does not fit is left out."""
        columns = width(self._stream) or WIDTH
        shown = cut(visible_line(text), columns - 1)
        self._write(self._erasing() + shown)
        self._taken = cells(shown)

    def erase(self) -> None:
        """Leave an empty line, with the cursor at its beginning."""
        if self._taken:
            self._write(self._erasing())
            self._taken = 0

    def _erasing(self) -> str:
        columns = width(self._stream) or WIDTH
        rows = max(1, -(-self._taken // columns))
        return "\r" + _UP * (rows - 1) + _ERASE_TO_END

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone; the run goes on
            self._stream.write(text)
            self._stream.flush()


class Screen:
    """A standard stream for texts. All else is the stream's own, `plain`."""

    bottom: ClassVar[BottomLine | None] = None

    def __init__(self, stream: TextIO) -> None:
        self.plain = stream
        self._begun = ""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write a text, whatever it holds; to a terminal as soon as its line is whole."""
        shown = redaction.redact(visible(text))
        columns = width(self.plain)
        if columns is None:
            self.plain.write(shown)
        else:
            whole, end, self._begun = (self._begun + shown).rpartition("\n")
            if end:
                self.write_styled(whole + end)
        return len(text)

    def flush(self) -> None:
        """Let everything go out, also the beginning of a line."""
        begun, self._begun = self._begun, ""
        if begun:
            self.write_styled(begun)
        self.plain.flush()

    def write_styled(self, text: str) -> None:
        """Write what was made safe by its maker, colours and all."""
        columns = width(self.plain)
        if columns is not None:
            text = wrapped(text, columns)
            if Screen.bottom is not None:
                Screen.bottom.erase()
        self.plain.write(text)

    def writelines(self, texts: list[str]) -> None:
        """Write one text after the other."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


@contextlib.contextmanager
def bottom_line() -> Iterator[BottomLine]:
    """A line at the bottom of the terminal behind stderr, erased in the end."""
    stream = sys.stderr
    line = BottomLine(stream.plain if isinstance(stream, Screen) else stream)
    Screen.bottom = line
    try:
        yield line
    finally:
        line.erase()
        Screen.bottom = None


def write_styled(stream: TextIO, text: str) -> None:
    """Write what was made safe by its maker, colours and all."""
    if isinstance(stream, Screen):
        stream.write_styled(text)
    else:
        stream.write(text)


def take_over() -> None:
    """From now on stdout and stderr are Screens."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Screen):
            setattr(sys, name, cast(TextIO, Screen(stream)))
