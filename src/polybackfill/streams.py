"""Standard output and error that cannot end a run: a disk is full, a terminal has gone.

Python's own streams keep what they could not write, raise at every further line, and at the exit
turn the code into 120. These hand on each text at once, and drop it where nobody takes it.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUSY_S = 5.0  # a reader that takes nothing for so long is not waited for


class Outlet(io.RawIOBase):
    """A descriptor. Unless forgiving, what cannot be written raises OSError."""

    # What a run says is worth less than its rows; of other commands the output is the result.
    forgives_all: ClassVar[bool] = False

    def __init__(self, descriptor: int, *, forgiving: bool) -> None:
        self._descriptor = descriptor
        self._forgiving = forgiving

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """It is for writing only."""
        return True

    def write(self, content: ReadableBuffer, /) -> int:
        """Write all of it; returns its length, also when it had to be dropped."""
        rest = memoryview(content).cast("B")
        length = len(rest)
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
        except OSError:
            if not (self._forgiving or Outlet.forgives_all):
                raise
        return length

    def _write_some(self, rest: memoryview) -> int:
        try:
            return os.write(self._descriptor, rest)
        except BlockingIOError:
            if not select.select([], [self._descriptor], [], _BUSY_S)[1]:
                raise
            return 0


def take_over() -> None:
    """Put an outlet in the place of each standard stream; descriptors that were closed become
    /dev/null, or the first files that are opened would take their numbers, and our lines.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _text(1, sys.stdout, forgiving=False)
    sys.stderr = _text(2, sys.stderr, forgiving=True)


def forgive() -> None:
    """From now on standard output cannot fail either."""
    Outlet.forgives_all = True


def _text(number: int, before: object, *, forgiving: bool) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    wrong = getattr(before, "errors", None) or "backslashreplace"
    outlet = Outlet(number, forgiving=forgiving)
    return io.TextIOWrapper(
        outlet,  # type: ignore[arg-type]  # it writes all of it, so nothing need be between
        encoding=encoding,
        errors=wrong,
        write_through=True,
    )
