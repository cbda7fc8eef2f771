"""Logs of bounded size: a full file becomes `….1`, that one `….2`, and the oldest goes."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path


def is_full(descriptor: int, limit_bytes: int, more_bytes: int = 0) -> bool:
    """Whether a log must be rotated before `more_bytes` are added. What is no file never is."""
    found = os.fstat(descriptor)
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size > 0
        and found.st_size + more_bytes > limit_bytes
    )


def begin_anew(path: Path, files: int) -> io.FileIO:
    """An empty file at `path`; of the full ones `files` - 1 are kept. Raises OSError, and then the
    file that is being written is still there, under whichever name.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    opened = io.FileIO(fresh, "ab")
    try:
        for older in _beyond(path, files - 1):
            older.unlink()
        for number in range(files - 1, 0, -1):
            newer = _numbered(path, number - 1)
            if newer.exists():
                newer.replace(_numbered(path, number))
        fresh.replace(path)
    except OSError:
        opened.close()
        raise
    return opened


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


def _beyond(path: Path, number: int) -> list[Path]:
    """The numbered files from `number` on, which a smaller count leaves no room for."""
    prefix = f"{path.name}."
    older = (other for other in path.parent.iterdir() if other.name.startswith(prefix))
    numbers = ((other, other.name.removeprefix(prefix)) for other in older)
    return [other for other, text in numbers if text.isdecimal() and int(text) >= max(1, number)]
