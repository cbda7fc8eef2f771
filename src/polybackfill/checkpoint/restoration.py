"""A checkpoint folder made from receipts that were kept elsewhere, where the folder was lost.

What was under way or in error is not among them, so it is fetched from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from polybackfill.checkpoint import journal, segment_files, unit_states
from polybackfill.filesystem import files

_FILES = (
    segment_files.STATE,
    segment_files.STATE_PREVIOUS,
    segment_files.DAMAGED,
    journal.CURRENT,
    journal.PREVIOUS,
)


def is_new(folder: Path) -> bool:
    """Is there no checkpoint in the folder, not even a damaged one?"""
    return not any((folder / name).exists() for name in _FILES)


class Restoration:
    """Writes segments as receipts come; the folder is a checkpoint once it has ended.

    The caller holds the folder's lock. Blocks. Raises errors.Stop when the disk refuses.
    """

    def __init__(self, folder: Path, store_id: str) -> None:
        self._folder = folder
        self._store_id = store_id
        self._archive = segment_files.SegmentFolder(folder)
        self._segments: list[segment_files.Segment] = []
        self._numbers: dict[unit_states.WindowOf, int] = {}
        self._pending: list[unit_states.Receipt] = []
        self.units = 0

    def add(self, receipts: Sequence[unit_states.Receipt]) -> None:
        """The next ones, by the number of their change."""
        self.units += len(receipts)
        self._pending += receipts
        while len(self._pending) >= segment_files.SEGMENT_UNITS:
            self._write(self._pending[: segment_files.SEGMENT_UNITS])
            del self._pending[: segment_files.SEGMENT_UNITS]

    def end(self) -> None:
        """The last segment, then the state that lists them all."""
        if self._pending:
            self._write(self._pending)
        seq = self._segments[-1].last_seq if self._segments else 0
        state = msgspec.structs.replace(
            segment_files.empty_state(self._store_id),
            generation=1,
            seq=seq,
            synced_seq=seq,
            windows=tuple(self._numbers),
            segments=tuple(self._segments),
        )
        with files.stopping("write", self._folder):
            segment_files.write_state(self._folder, state)

    def _write(self, receipts: list[unit_states.Receipt]) -> None:
        for receipt in receipts:
            window = (receipt.unit.kind, *receipt.unit.window)
            self._numbers.setdefault(window, len(self._numbers))
        with files.stopping("write", self._folder):
            self._segments.append(self._archive.write(receipts, self._numbers))
