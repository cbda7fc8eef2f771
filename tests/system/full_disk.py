"""Stands in for `python -m polybackfill`: the disk is full after 20,000 bytes of the journal."""

from __future__ import annotations

import errno
import os
import sys

from polybackfill import cli
from polybackfill.work import files

ROOM_BYTES = 20_000

_write_whole = files.write_whole
_written = 0


def _write_until_full(descriptor: int, content: bytes) -> None:
    global _written  # noqa: PLW0603
    room = max(0, ROOM_BYTES - _written)
    _write_whole(descriptor, content[:room])
    _written += len(content)
    if len(content) > room:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


files.write_whole = _write_until_full
sys.exit(cli.main())
