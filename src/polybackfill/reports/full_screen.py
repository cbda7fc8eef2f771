"""Lines on the whole terminal, drawn again and again; where there is none, once."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

from polybackfill import redaction, terminal

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # a screen of its own, no cursor
_HOME, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def show(make_lines: Callable[[int | None], list[str]], *, every_s: float = 1.0) -> None:
    """Draw what `make_lines` returns for so many columns, until Ctrl-C.

    Longer lines are broken between words; what does not fit below is left out. In a pipe or a file,
    which have no width, the lines are written once.
    """
    if not terminal.is_interactive(sys.stdout):
        print("\n".join(make_lines(None)))
        return
    stream = sys.stdout.plain if isinstance(sys.stdout, terminal.Screen) else sys.stdout
    stream.write(_ENTER)
    try:
        while True:
            columns, rows = shutil.get_terminal_size()
            fitting = [one for line in make_lines(columns) for one in _fit(line, columns)][:rows]
            stream.write(_HOME + "\r\n".join(fitting) + _ERASE_BELOW)
            stream.flush()
            time.sleep(every_s)
    except KeyboardInterrupt:
        return
    finally:
        stream.write(_LEAVE)
        stream.flush()


def _fit(line: str, columns: int) -> list[str]:
    text = terminal.wrapped(redaction.redact(terminal.visible_line(line)), columns)
    return [terminal.cut(one, columns) + _ERASE_LINE for one in text.split("\n")]
