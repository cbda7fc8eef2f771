"""Which reading of a list is under way.

Lists change, so they are read again from time to time, and one reading may take several runs. Its
name is part of every key, so that a unit done in this reading is not done in the next. When the
file is lost the reading begins anew, which costs requests and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from polybackfill.work import checked_file

FILE = "sweeps.json"
_MARK = "@"
_NAME = "%Y%m%dT%H%M%SZ"


class _Sweep(msgspec.Struct):
    name: str
    complete: bool = False


class _Sweeps(msgspec.Struct):
    sweeps: dict[str, _Sweep]


class Sweeps:
    """The readings of one checkpoint folder. Raises errors.Stop when the folder refuses."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        found = checked_file.read(self._file, _Sweeps)
        self._known = found.sweeps if found is not None else {}

    def current(self, kind: str) -> str | None:
        """The reading of `kind` that is not complete; None when the next one begins."""
        sweep = self._known.get(kind)
        return None if sweep is None or sweep.complete else sweep.name

    def begin(self, kind: str, name: str) -> None:
        """A new reading; on disk when this returns."""
        self._known[kind] = _Sweep(name)
        self._write()

    def complete(self, kind: str) -> None:
        """Every unit of the reading has ended; the next run reads anew."""
        if kind in self._known and not self._known[kind].complete:
            self._known[kind].complete = True
            self._write()

    def _write(self) -> None:
        checked_file.write(self._file, _Sweeps(self._known))


def name(now: float) -> str:
    """The name of a reading that begins at `now` (epoch seconds)."""
    return datetime.fromtimestamp(now, UTC).strftime(_NAME)


def began(sweep: str) -> float:
    """When a reading began, by its name, in epoch seconds."""
    return datetime.strptime(sweep, _NAME).replace(tzinfo=UTC).timestamp()


def key(bare: str, sweep: str) -> str:
    """The key of a unit within a reading."""
    return f"{bare}{_MARK}{sweep}"
