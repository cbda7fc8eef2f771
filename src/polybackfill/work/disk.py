"""The ledger's folder: load it, append to it, fold it. Everything here blocks.

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

from collections.abc import Sequence
from pathlib import Path

import structlog

from polybackfill import errors
from polybackfill.work import archive as archives
from polybackfill.work import book as books
from polybackfill.work import files, journal

log = structlog.get_logger()

_READ_ATTEMPTS = 5


class Disk:
    """What of a ledger is durable. With `writable` the folder must be held by its one owner."""

    def __init__(
        self,
        folder: Path,
        *,
        store_id: str = "",
        writable: bool = True,
        segment_units: int = archives.SEGMENT_UNITS,
        step: files.Step = files.no_step,
    ) -> None:
        self._folder = folder
        self._writable = writable
        self._step = step
        self._writer = journal.Writer(folder, store_id, step)
        self.archive = archives.Archive(folder, segment_units=segment_units, step=step)
        self.store_id = store_id
        self.generation = 0
        self.folded_seq = 0
        self.healed: list[str] = []

    @property
    def segments(self) -> tuple[archives.Segment, ...]:
        """The segments of finished units, in the order they were written."""
        return self.archive.segments

    @property
    def journal_bytes(self) -> int:
        """Size of the journal since the last fold."""
        return self._writer.bytes

    def load(self) -> books.Book:
        """Everything durable, as a book. Raises errors.Stop; see the module `journal`."""
        with files.stopping("open", self._folder):
            if self._writable:
                files.make_folder(self._folder)
                return self._load()
        for _ in range(_READ_ATTEMPTS - 1):
            # The owner may fold between our reads; what was missing is there the next time.
            try:
                return self._load()
            except errors.Stop:
                continue
        return self._load()

    def write(self, lines: Sequence[bytes], snapshot: books.Snapshot | None) -> None:
        """Append journal lines, fsync, and fold the snapshot taken right behind them.

        Raises errors.Stop when the disk refuses; what was durable before still is, and opens.
        """
        with files.stopping("write", self._folder):
            self._writer.append(lines)
            if snapshot is not None:
                self._fold(snapshot)

    def close(self) -> None:
        """Let the journal go."""
        self._writer.close()

    def _load(self) -> books.Book:
        state = self._state()
        self.generation, self.folded_seq = state.generation, state.seq
        contents = self._journals(state.seq)
        book = books.Book()
        book.restore(
            seq=state.seq,
            synced_seq=state.synced_seq,
            windows=state.windows,
            held=(*state.open, *state.failed),
        )
        self.archive.load(state.segments, book)
        for content in contents:
            _replay(content, book)
        book.add_unsynced_before(self.archive.after(book.synced_seq))
        if self._writable:
            self._make_ready(state, contents, book)
        return book

    def _state(self) -> archives.State:
        state = archives.read_state(self._folder / archives.STATE)
        if state is None:
            state = self._older_state()
        self._check_store(state.store_id, archives.STATE)
        return state

    def _older_state(self) -> archives.State:
        """The generation before; for a ledger that never folded, the empty one."""
        previous = archives.read_state(self._folder / archives.STATE_PREVIOUS)
        damaged = (self._folder / archives.STATE).exists()
        if previous is None and not self._journal_is_whole():
            raise errors.Stop(
                f"neither {self._folder / archives.STATE} nor {archives.STATE_PREVIOUS} beside it "
                f"can be read; {journal.REMEDY}"
            )
        if damaged:
            self.healed.append(f"{archives.STATE} was damaged; the generation before it was used")
            log.warning("ledger.state_damaged", folder=str(self._folder))
        return previous or archives.empty_state(self.store_id)

    def _journal_is_whole(self) -> bool:
        """Is there no journal at all, or does what is there begin with the first transition?"""
        paths = [self._folder / name for name in (journal.PREVIOUS, journal.CURRENT)]
        found = [content for path in paths if (content := journal.read(path)) is not None]
        if not found:
            return not any((self._folder / name).exists() for name in _STATES)
        return found[0].header.after == 0

    def _journals(self, seq: int) -> list[journal.Content]:
        current = journal.read(self._folder / journal.CURRENT)
        if current is not None:
            self._check_store(current.header.store_id, journal.CURRENT)
        if current is not None and current.header.after <= seq:
            return [current]
        previous = journal.read(self._folder / journal.PREVIOUS)
        return [content for content in (previous, current) if content is not None]

    def _check_store(self, found: str, name: str) -> None:
        if found and self.store_id and found != self.store_id:
            raise errors.Stop(
                f"{self._folder / name} belongs to another store (its id is {found}, this one's is "
                f"{self.store_id}); choose another BACKFILL_CHECKPOINT_DIR or run name, or point "
                "the settings back at that store"
            )

    def _make_ready(
        self, state: archives.State, contents: list[journal.Content], book: books.Book
    ) -> None:
        """Everything could be read: only now is anything in the folder changed."""
        current = next((one for one in contents if one.path.name == journal.CURRENT), None)
        if self.healed:
            archives.restore_previous(self._folder, self._step)
        if not (self._folder / archives.STATE).exists():
            archives.write_state(self._folder, state, self._step)
        if current is not None and current.torn:
            self.healed.append(f"{len(current.torn)} bytes of a torn line were kept aside")
            log.warning("ledger.torn_line", folder=str(self._folder), torn_bytes=len(current.torn))
        self._writer.open(current, book.seq)
        previous = archives.read_state(self._folder / archives.STATE_PREVIOUS)
        older = previous.segments if previous is not None else ()
        if not (self._folder / archives.DAMAGED).exists():
            self.archive.sweep((*state.segments, *older))

    def _fold(self, snapshot: books.Snapshot) -> None:
        segments = self.archive.fold(snapshot)
        state = archives.State(
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
        archives.write_state(self._folder, state, self._step)
        # After a fall back to the previous state that state still needs the previous journal: the
        # current one goes on for another stretch rather than take its place.
        if self._writer.after <= self.folded_seq:
            self._writer.rotate(snapshot.seq)
        self.archive.replaced(segments)
        self.generation, self.folded_seq = state.generation, state.seq


_STATES = (archives.STATE, archives.STATE_PREVIOUS)


def _replay(content: journal.Content, book: books.Book) -> None:
    if content.header.after > book.seq:
        raise errors.Stop(
            f"{content.path} begins after transition {content.header.after}, but those after "
            f"{book.seq} are missing; {journal.REMEDY}"
        )
    for transition in journal.numbered_after(content, book.seq):
        try:
            book.apply(transition)
        except KeyError as error:
            raise errors.Stop(
                f"{content.path}: transition {transition.seq} speaks of {error}, which is not "
                f"open there; {journal.REMEDY}"
            ) from error
