"""A small file with names that a person chose, which a run reads once a second."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import msgspec
import structlog

from polybackfill import errors
from polybackfill.filesystem import files

log = structlog.get_logger()

_LOCK_S = 5.0  # a change takes no longer than a few writes to the disk


class NameFile:
    """`names`: what they are, for errors; `remedy`: what removing the file does."""

    def __init__(self, file: Path, names: str, remedy: str) -> None:
        self._file = file
        self._names = names
        self._remedy = remedy
        self._is_unreadable = False

    def read(self) -> frozenset[str]:
        """A missing file names nothing. Raises errors.Stop when it cannot be read or is no list."""
        try:
            return frozenset(msgspec.json.decode(self._file.read_bytes(), type=list[str]))
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise files.as_stop(error, "read", self._file) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise errors.Stop(
                f"{self._file} is no list of {self._names}; remove it to {self._remedy}"
            ) from error

    def look(self, event: str) -> frozenset[str] | None:
        """As `read`; None where it cannot be read, which is logged as `event`, once."""
        try:
            names = self.read()
        except errors.Stop as error:
            if not self._is_unreadable:
                log.warning(event, error=str(error))
            self._is_unreadable = True
            return None
        self._is_unreadable = False
        return names

    def change(self, change: Callable[[frozenset[str]], frozenset[str]]) -> frozenset[str]:
        """Write what `change` makes of the names, and return it. Raises errors.Stop."""
        with self._locked():
            names = change(self.read())
            with files.stopping("write", self._file):
                files.write_atomic(self._file, msgspec.json.encode(sorted(names)))
        return names

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the file inside the block: of two people at once both are heard."""
        file = self._file
        lock = filelock.FileLock(file.with_name(f"{file.name}.lock"), fallback_to_soft=False)
        with files.stopping("lock", file):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=_LOCK_S, poll_interval=0.02)
            except filelock.Timeout as error:
                raise errors.Stop(
                    f"{file} is being changed by another process; try again"
                ) from error
        try:
            yield
        finally:
            lock.release()
