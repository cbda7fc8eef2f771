"""`store.log`, what the store's child and its engine print, kept within bounds by the child.

The engine writes to standard error. So a full log is exchanged under that descriptor, in one step:
no line is lost, wherever in the process it comes from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from chdb_http import log_rotation

LIMIT_BYTES, FILES = 32_000_000, 5
_LOOK_S = 10.0


async def keep_bounded(path: Path, limit_bytes: int, files: int) -> None:
    """In the child: until cancelled."""
    while True:
        with contextlib.suppress(OSError):  # on a full disk the old file does as well
            rotate(path, limit_bytes, files)
        await asyncio.sleep(_LOOK_S)


def rotate(path: Path, limit_bytes: int, files: int) -> None:
    """Exchange standard output and error, if they are this log and it is full."""
    if not (log_rotation.is_full(2, limit_bytes) and os.path.samestat(os.fstat(2), os.stat(path))):
        return
    with log_rotation.begin_anew(path, files) as fresh:
        for descriptor in (1, 2):
            os.dup2(fresh.fileno(), descriptor)
