"""Parts that a person has paused: a small file beside the status file, read once a second.

A pause lasts until it is taken back, also over a restart. Workers of a paused part finish the unit
in their hands and take no other.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from polybackfill import settings
from polybackfill.filesystem import files


class PausedParts:
    """The kinds that are paused, as of the last `read`."""

    def __init__(self, chosen: settings.Settings) -> None:
        backfill = chosen.backfill
        self._file = backfill.data_dir / "status" / f"{backfill.run_name}.paused.json"
        self.kinds: frozenset[str] = frozenset()

    def read(self) -> None:
        """Look at the file; what is none pauses nothing."""
        self.kinds = _read(self._file)

    def describe(self) -> str | None:
        """What waits for a person; None when nothing is paused."""
        if not self.kinds:
            return None
        return f"a person, who has paused {', '.join(sorted(self.kinds))}"

    def pause(self, kind: str) -> None:
        """From now on no worker takes a unit of this kind. Raises errors.Stop."""
        self._write(_read(self._file) | {kind})

    def resume(self, kind: str) -> None:
        """Take a pause back. Raises errors.Stop."""
        self._write(_read(self._file) - {kind})

    def _write(self, kinds: frozenset[str]) -> None:
        with files.stopping("write", self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomic(self._file, json.dumps(sorted(kinds)).encode())
        self.kinds = kinds


def _read(file: Path) -> frozenset[str]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return frozenset(map(str, json.loads(file.read_bytes())))
    return frozenset()
