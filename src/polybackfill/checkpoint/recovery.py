"""Reading a checkpoint folder as its last owner, or a crash, has left it; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from polybackfill import errors
from polybackfill.checkpoint import journal, segment_files, unit_states

log = structlog.get_logger()

_STATES = (segment_files.STATE, segment_files.STATE_PREVIOUS)


@dataclass
class FolderContents:
    """The newest state that can be read, and the journals that go on from it, oldest first.

    `healed`: what was damaged and made up for.
    """

    state: segment_files.State
    journals: list[journal.Content]
    healed: list[str] = field(default_factory=list)


def read(folder: Path, store_id: str) -> FolderContents:
    """What the folder holds. Raises errors.Stop when neither state can be read, and for a
    checkpoint of another store than `store_id` ("" for any).
    """
    healed: list[str] = []
    state = _state(folder, store_id, healed)
    return FolderContents(state, _journals(folder, store_id, state.seq), healed)


def replay(content: journal.Content, states: unit_states.UnitStates) -> None:
    """Apply what the states have not seen yet. Raises errors.Stop where something is missing."""
    if content.header.after > states.seq:
        raise errors.Stop(
            f"{content.path} begins after transition {content.header.after}, but those after "
            f"{states.seq} are missing; {journal.REMEDY}"
        )
    for transition in journal.numbered_after(content, states.seq):
        try:
            states.apply(transition)
        except KeyError as error:
            raise errors.Stop(
                f"{content.path}: entry {transition.seq} changes {error}, which was never begun; "
                f"{journal.REMEDY}"
            ) from error


def _state(folder: Path, store_id: str, healed: list[str]) -> segment_files.State:
    state = segment_files.read_state(folder / segment_files.STATE)
    if state is None:
        state = _older_state(folder, store_id, healed)
    _check_store(folder / segment_files.STATE, state.store_id, store_id)
    return state


def _older_state(folder: Path, store_id: str, healed: list[str]) -> segment_files.State:
    """The generation before; for a checkpoint that never folded, the empty one."""
    previous = segment_files.read_state(folder / segment_files.STATE_PREVIOUS)
    damaged = (folder / segment_files.STATE).exists()
    if previous is None and not _journal_is_whole(folder):
        raise errors.Stop(
            f"neither {folder / segment_files.STATE} nor "
            f"{segment_files.STATE_PREVIOUS} beside it can be read; {journal.REMEDY}"
        )
    if damaged:
        healed.append(f"{segment_files.STATE} was damaged; the generation before it was used")
        log.warning("checkpoint.state_damaged", folder=str(folder))
    return previous or segment_files.empty_state(store_id)


def _journal_is_whole(folder: Path) -> bool:
    """Is there no journal at all, or does what is there begin with the first transition?"""
    paths = [folder / name for name in (journal.PREVIOUS, journal.CURRENT)]
    written = [content for path in paths if (content := journal.read(path)) is not None]
    if not written:
        return not any((folder / name).exists() for name in _STATES)
    return written[0].header.after == 0


def _journals(folder: Path, store_id: str, seq: int) -> list[journal.Content]:
    current = journal.read(folder / journal.CURRENT)
    if current is not None:
        _check_store(folder / journal.CURRENT, current.header.store_id, store_id)
    if current is not None and current.header.after <= seq:
        return [current]
    previous = journal.read(folder / journal.PREVIOUS)
    return [content for content in (previous, current) if content is not None]


def _check_store(path: Path, store_id: str, ours: str) -> None:
    if store_id and ours and store_id != ours:
        raise errors.Stop(
            f"{path} belongs to another store (its id is {store_id}, "
            f"this one's is {ours}); choose another BACKFILL_CHECKPOINT_DIR or run "
            "name, or point the settings back at that store"
        )
