"""The checkpoint's folder: load it, append to it, fold it; and the states whose changes reach it.

A fold, with the crash each step survives:

1. the journal is written and fsynced              nothing else changed: it is replayed
2. new segments are written beside the old         no state lists them: swept at the next open
3. state.json becomes state.prev.json              both name the same generation
4. the new state replaces state.json               journal lines up to its number are skipped
5. the journal becomes ledger.prev.jsonl           the previous state finds its lines there
6. an empty journal takes its place                a missing one is begun again at the same number
7. segments no state lists any more are removed    they would be swept at the next open
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from polybackfill import errors
from polybackfill.checkpoint import journal, recovery, segment_files, unit_states
from polybackfill.filesystem import files, sealed_json

log = structlog.get_logger()

FOLD_LINES = 20_000
FOLD_BYTES = 16 << 20
_READ_ATTEMPTS = 5


class JournalWriter:
    """Appends to the current journal file and knows how much of it is on the disk.

    `after`: the number behind which the file begins. Raises OSError throughout.
    """

    def __init__(self, folder: Path, store_id: str, step: files.Step = files.no_step) -> None:
        self._path = folder / journal.CURRENT
        self._store_id = store_id
        self._step = step
        self._descriptor = -1
        self.bytes = 0
        self.after = 0

    def open(self, content: journal.Content | None, after: int) -> None:
        """Go on behind `content`, whose torn tail is cut off and kept aside, or start a file whose
        first transition is `after` + 1.
        """
        if content is None:
            self._create(after)
        else:
            self.after = content.header.after
            if content.torn:
                self._set_aside(content)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self.bytes = os.fstat(self._descriptor).st_size

    def append(self, lines: Sequence[bytes]) -> None:
        """Write and fsync. After a failure the file ends where it ended before."""
        if not lines:
            return
        content = b"".join(lines)
        try:
            self._step("append")
            files.write_whole(self._descriptor, content)
            self._step("fsync journal")
            os.fsync(self._descriptor)
        except OSError:
            # A second failure leaves a torn last line, which the next open survives.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.bytes)
            raise
        self.bytes += len(content)

    def rotate(self, after: int) -> None:
        """The file becomes the previous one; a new one begins behind transition `after`."""
        self.close()
        self._step("rename journal")
        os.replace(self._path, self._path.with_name(journal.PREVIOUS))
        self._create(after)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self.bytes = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _create(self, after: int) -> None:
        self.after = after
        header = journal.Header(
            format=journal.FORMAT, version=journal.VERSION, store_id=self._store_id, after=after
        )
        files.write_atomic(self._path, sealed_json.encode(header), self._step)

    def _set_aside(self, content: journal.Content) -> None:
        last_seq = content.lines[-1][1].seq if content.lines else content.header.after
        aside = self._path.with_name(f"torn-after-{last_seq:09d}")
        files.write_atomic(aside, content.torn, self._step)
        self._step("truncate journal")
        os.truncate(self._path, content.whole_bytes)


class CheckpointFolder:
    """What of a checkpoint is durable; everything here blocks.

    With `writable` the folder must be held by its one owner.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store_id: str = "",
        writable: bool = True,
        segment_units: int = segment_files.SEGMENT_UNITS,
        step: files.Step = files.no_step,
    ) -> None:
        self.folder = folder
        self.writable = writable
        self._step = step
        self._writer = JournalWriter(folder, store_id, step)
        self.archive = segment_files.SegmentFolder(folder, segment_units=segment_units, step=step)
        self.store_id = store_id
        self.generation = 0
        self.folded_seq = 0
        self.healed: list[str] = []

    @property
    def segments(self) -> tuple[segment_files.Segment, ...]:
        """The segments of finished units, in the order they were written."""
        return self.archive.segments

    @property
    def journal_bytes(self) -> int:
        """Size of the journal since the last fold."""
        return self._writer.bytes

    def load(self) -> unit_states.UnitStates:
        """The durable states of all units. Raises errors.Stop; see the module `journal`."""
        with files.stopping("open", self.folder):
            if self.writable:
                files.make_folder(self.folder)
                return self._load()
        for _ in range(_READ_ATTEMPTS - 1):
            # The owner may fold between our reads; what was missing is there the next time.
            try:
                return self._load()
            except errors.Stop:
                continue
        return self._load()

    def write(self, lines: Sequence[bytes], snapshot: unit_states.StatesSnapshot | None) -> None:
        """Append journal lines, fsync, and fold the snapshot taken right behind them.

        Raises errors.Stop when the disk refuses; what was durable before still is, and opens.
        """
        with files.stopping("write", self.folder):
            self._writer.append(lines)
            if snapshot is not None:
                self._fold(snapshot)

    def close(self) -> None:
        """Let the journal go."""
        self._writer.close()

    def _load(self) -> unit_states.UnitStates:
        contents_of_folder = recovery.read(self.folder, self.store_id)
        state, contents = contents_of_folder.state, contents_of_folder.journals
        self.generation, self.folded_seq = state.generation, state.seq
        self.healed += contents_of_folder.healed
        states = unit_states.UnitStates()
        states.restore(
            seq=state.seq,
            synced_seq=state.synced_seq,
            windows=state.windows,
            open_units=(*state.open, *state.failed),
        )
        self.archive.load(state.segments, states)
        for content in contents:
            recovery.replay(content, states)
        states.add_unsynced_before(self.archive.after(states.synced_seq))
        if self.writable:
            self._make_ready(state, contents, states)
        return states

    def _make_ready(
        self,
        state: segment_files.State,
        contents: list[journal.Content],
        states: unit_states.UnitStates,
    ) -> None:
        """Everything could be read: only now is anything in the folder changed."""
        current = next((one for one in contents if one.path.name == journal.CURRENT), None)
        if self.healed:
            segment_files.restore_previous(self.folder, self._step)
        if not (self.folder / segment_files.STATE).exists():
            segment_files.write_state(self.folder, state, self._step)
        if current is not None and current.torn:
            self.healed.append(f"{len(current.torn)} bytes of a torn line were kept aside")
            log.warning(
                "checkpoint.torn_line", folder=str(self.folder), torn_bytes=len(current.torn)
            )
        self._writer.open(current, states.seq)
        previous = segment_files.read_state(self.folder / segment_files.STATE_PREVIOUS)
        older = previous.segments if previous is not None else ()
        if not (self.folder / segment_files.DAMAGED).exists():
            self.archive.sweep((*state.segments, *older))

    def _fold(self, snapshot: unit_states.StatesSnapshot) -> None:
        segments = self.archive.fold(snapshot)
        state = segment_files.State(
            format=journal.FORMAT,
            version=journal.VERSION,
            store_id=self.store_id,
            generation=self.generation + 1,
            seq=snapshot.seq,
            synced_seq=snapshot.synced_seq,
            windows=snapshot.windows,
            segments=segments,
            open=snapshot.open,
            failed=snapshot.failed,
        )
        segment_files.write_state(self.folder, state, self._step)
        # After a fall back to the previous state that state still needs the previous journal: the
        # current one goes on for another stretch rather than take its place.
        if self._writer.after <= self.folded_seq:
            self._writer.rotate(snapshot.seq)
        self.archive.replaced(segments)
        self.generation, self.folded_seq = state.generation, state.seq


@dataclass(frozen=True)
class _FoldBounds:
    """A fold is due after so many journal lines or finished units, or a journal of FOLD_BYTES."""

    lines: int
    units: int

    def is_reached(self, disk: CheckpointFolder, states: unit_states.UnitStates) -> bool:
        return (
            states.seq - disk.folded_seq >= self.lines
            or len(states.finished) >= self.units
            or disk.journal_bytes >= FOLD_BYTES
        )


@dataclass(frozen=True)
class _Durable:
    """What the disk holds: transitions up to `seq`, these segments; written in `syncs` writes."""

    seq: int
    segments: tuple[segment_files.Segment, ...]
    syncs: int = 0


class DurableStates:
    """The states of all units in memory, and the folder that their changes are written to.

    When a write fails it stops for good: every later change and sync raises errors.Stop, and
    questions are answered from what is on the disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store_id: str = "",
        writable: bool = True,
        fold_lines: int = FOLD_LINES,
        segment_units: int = segment_files.SEGMENT_UNITS,
        fold_units: int | None = None,
        step: files.Step = files.no_step,
    ) -> None:
        self._fold_bounds = _FoldBounds(fold_lines, fold_units or segment_units)
        self._disk = CheckpointFolder(
            folder, store_id=store_id, writable=writable, segment_units=segment_units, step=step
        )
        self._states: unit_states.UnitStates | None = self._disk.load()
        self._durable = _Durable(self.states.seq, self._disk.segments)
        self._unwritten: list[bytes] = []
        self._in_fold: unit_states.StatesSnapshot | None = None
        # What an earlier process forgot leaves the segments with the first sync of this one.
        self._fold_wanted = writable and bool(self._states.forgotten)
        self._flight: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._stop: errors.Stop | None = None
        self._closed = False

    @property
    def states(self) -> unit_states.UnitStates:
        """The state; after a failed write what is durable. errors.Stop when that is unreadable."""
        if self._states is None:
            raise self._stopped()
        return self._states

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._disk.folder

    @property
    def durable_seq(self) -> int:
        """Number of the last transition that is on the disk."""
        return self._durable.seq

    def append(self, transition: journal.AnyTransition) -> None:
        """Take a change in; `sync` makes it durable. Raises errors.Stop after a failed write."""
        self.check()
        self._unwritten.append(sealed_json.encode(transition))
        self.states.apply(transition)

    def want_fold(self) -> None:
        """The next sync folds."""
        self._fold_wanted = True

    def check(self) -> None:
        """Raise errors.Stop when no change may be made."""
        if self._stop is not None:
            raise self._stopped()
        if not self._disk.writable:
            raise errors.Stop(f"the checkpoint in {self._disk.folder} was opened for reading only")
        if self._closed:
            raise errors.Stop(f"the checkpoint in {self._disk.folder} is closed")

    def folded(self) -> tuple[tuple[segment_files.Segment, ...], segment_files.SegmentFolder]:
        """Segments of finished units, and what reads them."""
        return self._durable.segments, self._disk.archive

    def unfolded(self) -> list[unit_states.Receipt]:
        """Finished units that are in no segment yet."""
        folding = self._in_fold.finished if self._in_fold is not None else ()
        gone = self.states.forgotten
        kept = [
            left for receipt in folding if (left := unit_states.without(receipt, gone)) is not None
        ]
        return [*kept, *self.states.finished]

    def forgotten(self) -> list[unit_states.Forgotten]:
        """What was forgotten and may still be in a segment."""
        folding = [self._in_fold.forgotten] if self._in_fold is not None else []
        return [*folding, self.states.forgotten]

    def stats(self) -> dict[str, object]:
        """The state of the files."""
        return {
            "durable_seq": self.durable_seq,
            "generation": self._disk.generation,
            "segments": len(self._durable.segments),
            "journal_bytes": self._disk.journal_bytes,
            "syncs": self._durable.syncs,
            "healed": list(self._disk.healed),
        }

    async def sync(self) -> None:
        """Return when every change made before the call is on the disk; folds when it is time.

        Calls share writes; the loop is never blocked. Raises errors.Stop when the disk refuses.
        """
        self.check()
        wanted_seq = self.states.seq
        while self.durable_seq < wanted_seq or self._fold_wanted:
            if self._flight is None:
                self._flight = asyncio.create_task(self._write_out(), name="checkpoint-sync")
            # The write goes on when a caller is cancelled: half a write is worse than a late one.
            await asyncio.shield(self._flight)
            self.check()

    def close(self) -> None:
        """Write what is left, let the files go. Blocks. Raises errors.Stop as `sync` does."""
        if self._closed:
            return
        self._closed = True
        self._thread.shutdown(wait=True)
        try:
            if self._stop is None and self._unwritten:
                self._disk.write(self._unwritten, None)
        finally:
            self._disk.close()

    async def _write_out(self) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        lines, self._unwritten = self._unwritten, []
        seq, snapshot = self.states.seq, self._due_snapshot()
        try:
            await loop.run_in_executor(self._thread, self._disk.write, lines, snapshot)
            self._durable = _Durable(seq, self._disk.segments, self._durable.syncs + 1)
        except errors.Stop as stop:
            self._stop = stop
            await self._fall_back_to_disk(stop)
        except BaseException as error:
            self._stop = errors.Stop(f"a write to {self._disk.folder} did not end: {error!r}")
            raise
        finally:
            self._in_fold = None
            self._flight = None

    def _due_snapshot(self) -> unit_states.StatesSnapshot | None:
        if not (self._fold_wanted or self._fold_bounds.is_reached(self._disk, self.states)):
            return None
        self._fold_wanted = False
        self._in_fold = self.states.snapshot()
        self.states.folded()
        return self._in_fold

    async def _fall_back_to_disk(self, stop: errors.Stop) -> None:
        """Answer from what is durable, or not at all."""
        self._states, self._unwritten, self._in_fold = None, [], None
        durable = CheckpointFolder(self._disk.folder, writable=False)
        try:
            loop = asyncio.get_running_loop()
            self._states = await loop.run_in_executor(self._thread, durable.load)
        except errors.Stop as second:
            self._stop = errors.Stop(f"{stop}; then {second}", exit_code=stop.exit_code)
            return
        self._disk.close()
        self._disk = durable
        self._durable = _Durable(self._states.seq, durable.segments, self._durable.syncs)

    def _stopped(self) -> errors.Stop:
        stop = self._stop or errors.Stop(f"the checkpoint in {self._disk.folder} cannot be read")
        return errors.Stop(str(stop), exit_code=stop.exit_code)
