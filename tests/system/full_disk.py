"""Stands in for `python -m polybackfill`: the disk is full soon after a first page is recorded."""

from __future__ import annotations

import errno
import os
import sys

from polybackfill import cli
from polybackfill.filesystem import files

RECORDED = (b'"event":"advance"', b'"event":"finish"')
ROOM_BYTES = 500

_write_whole = files.write_whole
_room: int | None = None


def _write_until_full(descriptor: int, content: bytes) -> None:
    global _room  # noqa: PLW0603
    if _room is None:
        _write_whole(descriptor, content)
        if any(event in content for event in RECORDED):
            _room = ROOM_BYTES
        return
    _write_whole(descriptor, content[:_room])
    if len(content) > _room:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _room -= len(content)


files.write_whole = _write_until_full
sys.exit(cli.main())
