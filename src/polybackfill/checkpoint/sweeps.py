"""Which sweep of a list is under way.

Lists change, so they are read again from time to time, and one sweep may take several runs. Its
name is part of every key (`units.mark_key`), so that a unit done in this sweep is not done in the
next. When the file is lost the sweep begins anew, which costs requests and nothing else.

Sweeps of a planned list have names of their own: neither counts as one of everything, nor the other
way round.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from polybackfill.filesystem import sealed_json

FILE = "sweeps.json"
_NAME = "%Y%m%dT%H%M%SZ"
_LISTED = "-listed"
_FOLLOW = "-follow"


class _Sweep(msgspec.Struct):
    name: str
    complete: bool = False


class _Sweeps(msgspec.Struct):
    sweeps: dict[str, _Sweep]


class Sweeps:
    """The sweeps of one checkpoint folder, by kind: with `listed_only` those of the planned list,
    else those of everything. Raises errors.Stop when the folder refuses.
    """

    def __init__(self, folder: Path, *, listed_only: bool = False) -> None:
        self._file = folder / FILE
        self._mark = _LISTED if listed_only else ""
        stored = sealed_json.read(self._file, _Sweeps)
        self._known = stored.sweeps if stored is not None else {}

    def current(self, kind: str) -> str | None:
        """The sweep of `kind` that is not complete; None when the next one begins."""
        sweep = self._known.get(kind + self._mark)
        return None if sweep is None or sweep.complete else sweep.name

    def completed(self, kind: str) -> float | None:
        """When the newest sweep of everything began, if it is complete, in epoch seconds."""
        sweep = self._known.get(kind)
        return began(sweep.name) if sweep is not None and sweep.complete else None

    def of_list(self, kind: str) -> str | None:
        """The newest sweep of the planned list, complete or not; None of none."""
        sweep = self._known.get(kind + _LISTED)
        return None if sweep is None else sweep.name

    def begin(self, kind: str, name: str) -> None:
        """A new sweep; on disk when this returns."""
        self._known[kind + self._mark] = _Sweep(name)
        self._write()

    def complete(self, kind: str) -> None:
        """Every unit of the sweep has ended; the next run reads anew."""
        sweep = self._known.get(kind + self._mark)
        if sweep is not None and not sweep.complete:
            sweep.complete = True
            self._write()

    def drop_of_list(self, kind: str) -> None:
        """Forget the sweep of the planned list: its next run begins a new one."""
        if self._known.pop(kind + _LISTED, None) is not None:
            self._write()

    def _write(self) -> None:
        sealed_json.write(self._file, _Sweeps(self._known))


def name(now: float, *, listed_only: bool = False) -> str:
    """The name of a sweep that begins at `now` (epoch seconds), of everything or of the list."""
    return datetime.fromtimestamp(now, UTC).strftime(_NAME) + (_LISTED if listed_only else "")


def follow_name(now: float) -> str:
    """The name of a round of a run that follows, which reads some keys of a sweep anew."""
    return datetime.fromtimestamp(now, UTC).strftime(_NAME) + _FOLLOW


def is_of_follow(sweep: str) -> bool:
    """Whether it is the name of such a round."""
    return sweep.endswith(_FOLLOW)


def began(sweep: str) -> float:
    """When a sweep of everything began, by its name, in epoch seconds."""
    return datetime.strptime(sweep, _NAME).replace(tzinfo=UTC).timestamp()


def is_of_list(sweep: str) -> bool:
    """Whether a sweep is one of the planned list."""
    return sweep.endswith(_LISTED)
