"""Lines of JSON that carry a checksum, and small files of one such line.

Bits flip, and after a power cut a file may be empty or end early. A record that still decodes could
say something else than was written, so nothing is believed without its checksum.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from polybackfill.filesystem import files

log = structlog.get_logger()

_CHECK_BYTES = len(b',"crc":"00000000"}')
_encoder = msgspec.json.Encoder()

Record = TypeVar("Record", bound=msgspec.Struct)


def encode(record: msgspec.Struct) -> bytes:
    """One line with its checksum."""
    return seal(_encoder.encode(record))


def seal(payload: bytes) -> bytes:
    """An object of JSON as a line with its checksum, which is one more field."""
    return b'%s,"crc":"%08x"}\n' % (payload[:-1], zlib.crc32(payload))


def is_intact(line: bytes) -> bool:
    """Is this a whole line (without its newline) with the right checksum?"""
    payload, check = line[:-_CHECK_BYTES] + b"}", line[-_CHECK_BYTES:]
    return check == b',"crc":"%08x"}' % zlib.crc32(payload)


def is_sealed(line: bytes) -> bool:
    """Does the line (without its newline) end in a checksum, right or wrong?"""
    return line[-_CHECK_BYTES:].startswith(b',"crc":"')


def write(path: Path, record: msgspec.Struct) -> None:
    """Replace the file, down to the disk. Raises errors.Stop when the folder refuses."""
    with files.stopping("write", path):
        files.write_atomic(path, encode(record))


def read(path: Path, kind: type[Record]) -> Record | None:
    """What was written; None when there is no file, or it is damaged or cannot be read."""
    try:
        line = path.read_bytes().removesuffix(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("file.unreadable", path=str(path), error=str(error))
        return None
    if is_intact(line):
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # written by another version
            log.warning("file.not_understood", path=str(path), error=str(error))
            return None
    log.warning("file.damaged", path=str(path))
    return None
