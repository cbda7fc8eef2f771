"""Small files of one JSON record with a checksum: read whole, or taken for lost.

Bits flip, and after a power cut a file may be empty or end early. A record that still decodes could
say something else than was written, so nothing is believed without its checksum.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from polybackfill.work import files, journal

log = structlog.get_logger()

Record = TypeVar("Record", bound=msgspec.Struct)


def write(path: Path, record: msgspec.Struct) -> None:
    """Replace the file, down to the disk. Raises errors.Stop when the folder refuses."""
    with files.stopping("write", path):
        files.write_atomic(path, journal.encode(record))


def read(path: Path, kind: type[Record]) -> Record | None:
    """What was written; None when there is no file, or it is damaged or cannot be read."""
    try:
        line = path.read_bytes().removesuffix(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("file.unreadable", path=str(path), error=str(error))
        return None
    if journal.intact(line):
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # written by another version
            log.warning("file.not_understood", path=str(path), error=str(error))
            return None
    log.warning("file.damaged", path=str(path))
    return None
