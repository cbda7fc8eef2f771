"""The checkpoint: which units are open, failed or done, as far as it is durable.

Changes are appended in memory and become durable, all together, with `await sync()`. A change is
recorded only after the store acknowledged the rows it speaks of: commit, then record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypedDict

from polybackfill import clocks, units
from polybackfill.checkpoint import checkpoint_folder, journal, segment_files, unit_states
from polybackfill.filesystem import files

_MESSAGE_CHARS = 500


class _Stamp(TypedDict):
    seq: int
    at: str


class Checkpoint:
    """One run's checkpoint folder. One owner writes it; anybody may `view` it.

    After a failed write every later change and sync raises errors.Stop, and questions are
    answered from what is on the disk.
    """

    def __init__(self, states: checkpoint_folder.DurableStates, clock: clocks.Clock) -> None:
        self._durable = states
        self._clock = clock
        self._untold: list[journal.Forget] = []

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        store_id: str = "",
        clock: clocks.Clock | None = None,
        fold_lines: int = checkpoint_folder.FOLD_LINES,
        segment_units: int = segment_files.SEGMENT_UNITS,
        fold_units: int | None = None,
        step: files.Step = files.no_step,
    ) -> Self:
        """Open for writing; the caller holds the folder's lock. Blocks while it reads.

        It folds by itself when so many lines were written or `fold_units` units have finished
        (None: as many as a segment holds).
        Units a dead process held become open again, one interruption more on their account.
        Raises errors.Stop for a damaged, foreign, newer or unwritable folder, and for one that
        belongs to a store with another id.
        """
        states = checkpoint_folder.DurableStates(
            folder,
            store_id=store_id,
            fold_lines=fold_lines,
            segment_units=segment_units,
            fold_units=fold_units,
            step=step,
        )
        checkpoint = cls(states, clock or clocks.SystemClock())
        for open_unit in [one for one in checkpoint._states.open.values() if one.in_flight]:
            checkpoint._durable.append(
                journal.Interrupted(
                    id=open_unit.unit.id, attempt=open_unit.attempt, **checkpoint._stamp()
                )
            )
        return checkpoint

    @classmethod
    def view(cls, folder: Path) -> Self:
        """Open for reading, also beside a running owner; changes raise errors.Stop."""
        return cls(checkpoint_folder.DurableStates(folder, writable=False), clocks.SystemClock())

    @property
    def run_name(self) -> str:
        """The run whose checkpoint it is: its folder has that name."""
        return self._durable.folder.name

    # Questions

    def is_done(self, kind: str, key: str, window: units.Window = units.FULL_HISTORY) -> bool:
        """Was this key fetched to its proven end, for exactly this window?"""
        return self._states.is_done(kind, key, window)

    def open_units(self) -> list[unit_states.OpenUnit]:
        """Units begun and not ended, in flight or waiting, oldest first."""
        return list(self._states.open.values())

    def failed_units(self) -> list[unit_states.FailedUnit]:
        """Units in error, oldest first."""
        return list(self._states.failed.values())

    def find(self, unit: units.Unit) -> unit_states.OpenUnit | None:
        """The unit as it stands, None when it is not open."""
        return self._states.open.get(unit.id)

    def pages(self, unit: units.Unit) -> int:
        """Pages of an open unit whose rows are stored."""
        open_unit = self.find(unit)
        return open_unit.counts.pages if open_unit is not None else 0

    def open_unit(
        self, kind: str, key: str, window: units.Window = units.FULL_HISTORY
    ) -> unit_states.OpenUnit | None:
        """The open unit that holds a key."""
        return self._states.open_unit(kind, key, window)

    def failed_unit(
        self, kind: str, key: str, window: units.Window = units.FULL_HISTORY
    ) -> unit_states.FailedUnit | None:
        """The unit in error that holds a key."""
        return self._states.failed_unit(kind, key, window)

    def has_ended(self, kind: str, key: str, window: units.Window = units.FULL_HISTORY) -> bool:
        """Is the key done, or in error, with exactly this window?"""
        done = self._states.is_done(kind, key, window)
        return done or self._states.failed_unit(kind, key, window) is not None

    def count_ended(self, kind: str, window: units.Window) -> int:
        """How many keys of a kind are done or in error with exactly this window."""
        failed = (
            len(failed_unit.unit.keys)
            for failed_unit in self._states.failed.values()
            if failed_unit.unit.kind == kind and failed_unit.unit.window == window
        )
        return self._states.done_keys_in(kind, window) + sum(failed)

    def attempts(self, unit: units.Unit) -> int:
        """How often the open or failed unit was begun, over all processes."""
        return self._states.next_attempt(unit) - 1

    @property
    def synced_seq(self) -> int:
        """Up to which transition the plan table in the store was brought in line."""
        return self._states.synced_seq

    def is_synced(self, kind: str, key: str) -> bool:
        """Does the plan table show how this key ended? If not, it may still say pending."""
        return not self._states.is_unsynced(kind, key)

    def transitions_since(self, seq: int) -> list[unit_states.End]:
        """Units that ended after transition `seq`, durable, not yet noted as synced, in order."""
        return [
            end
            for at, end in self._states.unsynced.items()
            if seq < at <= self._durable.durable_seq
        ]

    def receipts(self, kind: str | None = None) -> Iterator[unit_states.Receipt]:
        """Every finished unit (of one kind), read from disk ten thousand at a time. Raises
        errors.Stop.
        """
        pending, recent = self._durable.forgotten(), self._durable.unfolded()
        segments, reader = self._durable.folded()
        for segment in segments:
            if kind is not None and kind not in segment.totals:
                continue
            for receipt in reader.read(segment):
                left: unit_states.Receipt | None = receipt
                for gone in pending:
                    left = unit_states.without(left, gone) if left is not None else None
                if left is not None and kind in (None, left.unit.kind):
                    yield left
        yield from (receipt for receipt in recent if kind in (None, receipt.unit.kind))

    def totals(self) -> dict[str, segment_files.Totals]:
        """Kind → sums over finished units, counted from their receipts."""
        sums: dict[str, segment_files.Totals] = {}
        segments, _ = self._durable.folded()
        receipts: Iterable[unit_states.Receipt] = self._durable.unfolded()
        if any(self._durable.forgotten()):  # until the next fold; their sums are not to be trusted
            segments, receipts = (), self.receipts()
        for segment in segments:
            for kind, totals in segment.totals.items():
                sums.setdefault(kind, segment_files.Totals()).merge(totals)
        for receipt in receipts:
            sums.setdefault(receipt.unit.kind, segment_files.Totals()).add(receipt)
        return sums

    def stats(self) -> dict[str, Any]:
        """Counts by kind and the state of the files, for status and logs."""
        states = self._states
        kinds = sorted({kind for kind, _, _ in states.windows})
        return {
            "done_keys": {kind: states.done_keys(kind) for kind in kinds},
            "open": len(states.open),
            "in_flight": sum(open_unit.in_flight for open_unit in states.open.values()),
            "failed": len(states.failed),
            "unsynced": len(states.unsynced),
            "seq": states.seq,
            "synced_seq": states.synced_seq,
            **self._durable.stats(),
        }

    # Changes: False or None means refused, the attempt is no longer the unit's

    def begin(self, unit: units.Unit) -> int:
        """A worker takes the unit; returns the attempt's number, which fences off older ones.

        Raises ValueError when every key is done (forget them first).
        """
        is_open = unit.id in self._states.open
        if not is_open and all(self.is_done(unit.kind, key, unit.window) for key in unit.keys):
            raise ValueError(f"{unit.id} is done; forget it before it is begun again")
        attempt = self._states.next_attempt(unit)
        self._durable.append(journal.Begin(unit=unit, attempt=attempt, **self._stamp()))
        return attempt

    def advance(
        self,
        unit_id: str,
        attempt: int,
        resume: units.Resume | None,
        step: units.Counts = units.NOTHING,
    ) -> bool:
        """Everything before `resume` is acknowledged; `step` is what came since the last call."""
        open_unit = self._current(unit_id, attempt)
        if open_unit is None:
            return False
        self._durable.append(
            journal.Advance(
                id=unit_id,
                attempt=attempt,
                resume=resume,
                counts=open_unit.counts.plus(step),
                **self._stamp(),
            )
        )
        return True

    def restart(self, unit_id: str, attempt: int) -> bool:
        """The walk begins at its first page again; its counts begin at zero."""
        if self._current(unit_id, attempt) is None:
            return False
        self._durable.append(journal.Restart(id=unit_id, attempt=attempt, **self._stamp()))
        return True

    def finish(
        self,
        unit_id: str,
        attempt: int,
        step: units.Counts = units.NOTHING,
        end: units.FeedEnd | None = None,
    ) -> bool:
        """The end is proven and every row acknowledged; `step` as in `advance`, `end` as seen."""
        open_unit = self._current(unit_id, attempt)
        if open_unit is None:
            return False
        counts = open_unit.counts.plus(step)
        self._durable.append(
            journal.Finish(id=unit_id, attempt=attempt, counts=counts, end=end, **self._stamp())
        )
        return True

    def give_back(
        self,
        unit_id: str,
        attempt: int,
        *,
        counted: bool,
        fenced: bool = False,
        not_before: float = 0.0,
        error: str = "",
    ) -> unit_states.OpenUnit | None:
        """The unit waits for another attempt, from `not_before` (epoch seconds) on.

        `counted`: it counts as an error. `fenced`: what the attempt still sends is refused at
        once; otherwise only from the next begin on, so that pages on their way are not lost.
        """
        if self._current(unit_id, attempt) is None:
            return None
        self._durable.append(
            journal.GiveBack(
                id=unit_id,
                attempt=attempt,
                counted=counted,
                fenced=fenced,
                not_before=not_before,
                error=error[:_MESSAGE_CHARS],
                **self._stamp(),
            )
        )
        return self._states.open[unit_id]

    def fail(self, unit_id: str, attempt: int, message: str, *, passing: bool = False) -> bool:
        """The unit ends in error; `passing`: by trouble of the kind that passes."""
        if self._current(unit_id, attempt) is None:
            return False
        error = message[:_MESSAGE_CHARS]
        self._durable.append(
            journal.Fail(id=unit_id, attempt=attempt, error=error, passing=passing, **self._stamp())
        )
        return True

    def reopen(self, unit_id: str) -> None:
        """A unit in error is fetched again when a feed names it. Raises KeyError for another."""
        if unit_id not in self._states.failed:
            raise KeyError(unit_id)
        self._durable.append(journal.Reopen(id=unit_id, **self._stamp()))

    def split(self, unit_id: str, attempt: int) -> tuple[units.Unit, units.Unit] | None:
        """Two halves take the unit's place. Raises ValueError for a unit with one key."""
        open_unit = self._current(unit_id, attempt)
        if open_unit is None:
            return None
        halves = units.split(open_unit.unit)
        self._durable.append(
            journal.Split(id=unit_id, attempt=attempt, halves=halves, **self._stamp())
        )
        return halves

    def forget(self, kind: str, keys: Iterable[str] | None = None) -> None:
        """These keys (None: all of the kind), in every window, are as if never seen.

        An open unit or one in error goes as a whole when it holds one of them. Receipts on disk
        are rewritten without them at the next fold, or when the checkpoint is opened the next time.
        """
        named = None if keys is None else tuple(dict.fromkeys(keys))
        if named == ():
            return
        forgotten = journal.Forget(kind=kind, keys=named, **self._stamp())
        self._durable.append(forgotten)
        self._untold.append(forgotten)

    def untold(self) -> list[journal.Forget]:
        """What this process forgot and the store's receipts still say."""
        return list(self._untold)

    def note_told(self, forgotten: Sequence[journal.Forget]) -> None:
        """The store's receipts say these no more; the first ones of `untold`."""
        del self._untold[: len(forgotten)]

    def note_plan_synced(self, seq: int) -> None:
        """The plan table shows every end up to `seq`. To be called also when it holds none."""
        if any(at <= seq for at in self._states.unsynced):
            self._durable.append(journal.PlanSynced(upto=seq, **self._stamp()))

    # Durability

    async def sync(self) -> None:
        """Return when every change made before the call is on the disk; folds when it is time.

        Calls share writes; the loop is never blocked. Raises errors.Stop when the disk refuses.
        """
        await self._durable.sync()

    async def fold(self) -> None:
        """Sync, and write the snapshot now."""
        self._durable.want_fold()
        await self._durable.sync()

    def close(self) -> None:
        """Write what is left, let the files go. Blocks. Raises errors.Stop as `sync` does."""
        self._durable.close()

    @property
    def _states(self) -> unit_states.UnitStates:
        return self._durable.states

    def _current(self, unit_id: str, attempt: int) -> unit_states.OpenUnit | None:
        open_unit = self._states.open.get(unit_id)
        return open_unit if open_unit is not None and open_unit.attempt == attempt else None

    def _stamp(self) -> _Stamp:
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"seq": self._states.seq + 1, "at": at}
