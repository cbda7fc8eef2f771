"""A checkpoint handed on to another store that holds the same rows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from polybackfill.checkpoint import restoration, segment_files, sweeps
from polybackfill.filesystem import files


def hand_over(folder: Path, target: Path, store_id: str) -> bool:
    """Copy a checkpoint that was folded and closed; the caller holds its lock. Blocks.

    False, and nothing is changed, where `target` has one already. `store_id`: of the other store.
    The state comes last, so that a copy that was killed is none. Raises errors.Stop.
    """
    with files.stopping("write", target):
        files.make_folder(target)
        if not restoration.is_new(target):
            return False
        state = segment_files.read_state(folder / segment_files.STATE)
        state = state or segment_files.empty_state(store_id)
        for segment in state.segments:
            for name in (segment.name, Path(segment.name).with_suffix(".idx").name):
                files.copy_atomic(folder / name, target / name)
        if (folder / sweeps.FILE).exists():
            files.copy_atomic(folder / sweeps.FILE, target / sweeps.FILE)
        segment_files.write_state(target, msgspec.structs.replace(state, store_id=store_id))
    return True
