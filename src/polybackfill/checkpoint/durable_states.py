"""A book whose changes reach the disk: appended in memory, written together, folded when due."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from polybackfill import errors
from polybackfill.checkpoint import checkpoint_folder, journal, segment_files, unit_states
from polybackfill.filesystem import files, sealed_json

FOLD_LINES = 20_000
FOLD_BYTES = 16 << 20


class DurableStates:
    """One owner's book and its folder.

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
        self._folder = folder
        self._writable = writable
        self._fold_lines = fold_lines
        self._fold_units = fold_units or segment_units
        self._disk = checkpoint_folder.CheckpointFolder(
            folder, store_id=store_id, writable=writable, segment_units=segment_units, step=step
        )
        self._states: unit_states.UnitStates | None = self._disk.load()
        self._segments = self._disk.segments
        self._unwritten: list[bytes] = []
        self._in_fold: unit_states.StatesSnapshot | None = None
        # What an earlier process forgot leaves the segments with the first sync of this one.
        self._fold_wanted = writable and bool(self._states.forgotten)
        self._flight: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._stop: errors.Stop | None = None
        self._closed = False
        self.durable_seq = self.states.seq
        self.syncs = 0

    @property
    def states(self) -> unit_states.UnitStates:
        """The state; after a failed write what is durable. errors.Stop when that is unreadable."""
        if self._states is None:
            raise self._stopped()
        return self._states

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
        if not self._writable:
            raise errors.Stop(f"the checkpoint in {self._folder} was opened for reading only")
        if self._closed:
            raise errors.Stop(f"the checkpoint in {self._folder} is closed")

    def folded(self) -> tuple[tuple[segment_files.Segment, ...], segment_files.SegmentFolder]:
        """Segments of finished units, and what reads them."""
        return self._segments, self._disk.archive

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
            "segments": len(self._segments),
            "journal_bytes": self._disk.journal_bytes,
            "syncs": self.syncs,
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
                self._flight = asyncio.create_task(self._write_out(), name="ledger-sync")
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
            self._segments = self._disk.segments
            self.durable_seq = seq
            self.syncs += 1
        except errors.Stop as stop:
            self._stop = stop
            await self._fall_back_to_disk(stop)
        except BaseException as error:
            self._stop = errors.Stop(f"a write to {self._folder} did not end: {error!r}")
            raise
        finally:
            self._in_fold = None
            self._flight = None

    def _due_snapshot(self) -> unit_states.StatesSnapshot | None:
        due = (
            self._fold_wanted
            or self.states.seq - self._disk.folded_seq >= self._fold_lines
            or len(self.states.finished) >= self._fold_units
            or self._disk.journal_bytes >= FOLD_BYTES
        )
        if not due:
            return None
        self._fold_wanted = False
        self._in_fold = self.states.snapshot()
        self.states.folded()
        return self._in_fold

    async def _fall_back_to_disk(self, stop: errors.Stop) -> None:
        """Answer from what is durable, or not at all."""
        self._states, self._unwritten, self._in_fold = None, [], None
        durable = checkpoint_folder.CheckpointFolder(self._folder, writable=False)
        try:
            loop = asyncio.get_running_loop()
            self._states = await loop.run_in_executor(self._thread, durable.load)
        except errors.Stop as second:
            self._stop = errors.Stop(f"{stop}; then {second}", exit_code=stop.exit_code)
            return
        self._disk.close()
        self._disk, self._segments = durable, durable.segments
        self.durable_seq = self._states.seq

    def _stopped(self) -> errors.Stop:
        stop = self._stop or errors.Stop(f"the checkpoint in {self._folder} cannot be read")
        return errors.Stop(str(stop), exit_code=stop.exit_code)
