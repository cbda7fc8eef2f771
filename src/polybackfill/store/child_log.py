"""`store.log`, what the store's child and its engine print, kept within bounds by the child.

The engine writes to standard error. So a full log is exchanged under that descriptor, in one step:
no line is lost, wherever in the process it comes from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from polybackfill import rotation

_LOOK_S = 10.0
_BYTES, _FILES = "BACKFILL_LOG_BYTES", "BACKFILL_LOG_FILES"
_limits = {_BYTES: "32000000", _FILES: "5"}


def bound(log_bytes: int, log_files: int) -> None:
    """How large and how many the logs of children are that this process starts from now on."""
    _limits.update({_BYTES: str(log_bytes), _FILES: str(log_files)})


def environment() -> dict[str, str]:
    """The bounds, for the child."""
    return dict(_limits)


async def keep_bounded(path: Path) -> None:
    """In the child: until cancelled."""
    limit_bytes = int(os.environ.get(_BYTES) or _limits[_BYTES])
    files = int(os.environ.get(_FILES) or _limits[_FILES])
    while True:
        with contextlib.suppress(OSError):  # on a full disk the old file does as well
            rotate(path, limit_bytes, files)
        await asyncio.sleep(_LOOK_S)


def rotate(path: Path, limit_bytes: int, files: int) -> None:
    """Exchange standard output and error, if they are this log and it is full."""
    if not (rotation.is_full(2, limit_bytes) and os.path.samestat(os.fstat(2), os.stat(path))):
        return
    with rotation.begin_anew(path, files) as fresh:
        for descriptor in (1, 2):
            os.dup2(fresh.fileno(), descriptor)
