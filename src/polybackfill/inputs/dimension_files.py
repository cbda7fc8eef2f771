"""The seed files of the dimensions: `markets_dim_seed.json` and `events_dim_seed.json`.

Written as a bare array, one object a line; read as a bare array or as an object that wraps it
({"markets": […]}, {"events": […]}), however it is laid out.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from polybackfill import errors
from polybackfill.filesystem import files

MARKETS_FILE = "markets_dim_seed.json"
EVENTS_FILE = "events_dim_seed.json"
_LINE_MAX_BYTES = 10_000_000

Row = dict[str, Any]


async def write(path: Path, lines: AsyncIterator[bytes]) -> None:
    """Write JSON objects that come one a line, in pieces cut anywhere, as one array, atomically.

    Raises errors.Stop when the disk refuses.
    """
    with files.stopping("write", path), files.writing_atomic(path) as file:
        file.write(b"[")
        ended = True
        async for piece in lines:
            if piece:
                # Inside JSON text there is no line break, so each one ends an object.
                start = b"\n" if file.tell() == 1 else b",\n" if ended else b""
                ended = piece.endswith(b"\n")
                file.write(start + piece.removesuffix(b"\n").replace(b"\n", b",\n"))
        file.write(b"\n]\n")


def rows(path: Path) -> Iterator[Row]:
    """The objects of a file. Raises FileNotFoundError, and errors.Stop when it is no such file."""
    with path.open("rb") as file:
        by_line = file.readline().strip() == b"["
        by_line = by_line and file.readline(_LINE_MAX_BYTES).strip().endswith((b"}", b"},", b"]"))
    yield from _lines(path) if by_line else _read_document(path)


def _lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line in itertools.islice(file, 1, None):
            text = line.strip().removesuffix(b",")
            if text not in (b"", b"]"):
                try:
                    row = orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    raise _unusable(path, str(error)) from error
                if not isinstance(row, dict):
                    raise _unusable(path, "not an array of objects")
                yield row


def _read_document(path: Path) -> list[Row]:
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise _unusable(path, str(error)) from error
    if isinstance(document, dict):
        document = document.get("markets", document.get("events"))
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise _unusable(path, "neither an array of objects nor an object that wraps one")
    return document


def _unusable(path: Path, problem: str) -> errors.Stop:
    return errors.Stop(
        f"{path} is no seed file ({problem}): polybackfill dims build writes it anew"
    )


class Cache:
    """Rows of one seed file by key, read on demand: again when the file has changed.

    Only what was asked for is kept, so a file of a million markets costs no memory.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._key = key
        self._version: tuple[int, int, int] | None = None
        self._requested: set[str] = set()
        self._rows: dict[str, Row] = {}

    @property
    def missing(self) -> bool:
        """There is no such file now."""
        return self._stat() is None

    def reload(self) -> None:
        """Forget everything; the next question reads the file."""
        self._version, self._requested, self._rows = None, set(), {}

    def get(self, keys: Iterable[str]) -> Mapping[str, Row]:
        """The rows of these keys, those the file has. Raises errors.Stop for a damaged file."""
        version = self._stat()
        if version != self._version:
            self.reload()
            self._version = version
        wanted = set(keys)
        new = wanted - self._requested
        if new and version is not None:
            self._rows.update(
                (row[self._key], row) for row in rows(self.path) if row.get(self._key) in new
            )
        self._requested |= new
        return {key: self._rows[key] for key in wanted if key in self._rows}

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
