"""What the transitions add up to: open, failed and finished units. Pure memory, no disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from polybackfill import units
from polybackfill.checkpoint import done_index, journal

KeyWindow = tuple[str, str, int | None, int | None]
WindowOf = tuple[str, int | None, int | None]


class OpenUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that was begun and has not ended.

    `attempt` grows with every begin and fences off the attempts before it. `errors` and
    `interruptions` (the process died under it) count since it last got somewhere, `errors` since
    it got further than the `furthest` pages its walk had before it restarted; `errors_total` never
    goes back. `not_before`: epoch seconds, 0 = at once.
    """

    unit: units.Unit
    attempt: int = 0
    in_flight: bool = False
    resume: units.Resume | None = None
    counts: units.Counts = units.NOTHING
    errors: int = 0
    errors_total: int = 0
    furthest: int = 0
    interruptions: int = 0
    not_before: float = 0.0
    error: str = ""
    at: str = ""


class FailedUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that ended in error, with the message. `passing`: its attempts were used up by trouble
    of the kind that passes, so a later run may try again.
    """

    seq: int
    unit: units.Unit
    attempts: int
    error: str
    counts: units.Counts
    at: str
    passing: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A finished unit: its feed ended and the store acknowledged every row.

    `partial`: some of its keys were forgotten since, so `counts` speaks of more than `unit`.
    """

    seq: int
    unit: units.Unit
    attempts: int
    counts: units.Counts
    at: str
    partial: bool = False
    end: units.FeedEnd | None = None


End = Receipt | FailedUnit
_OpenOrFailed = TypeVar("_OpenOrFailed", bound=OpenUnit | FailedUnit)


@dataclass
class Forgotten:
    """What must go from the finished units on disk at the next fold."""

    kinds: set[str] = field(default_factory=set)
    keys: set[tuple[str, str]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.kinds or self.keys)

    def takes(self, kind: str, key: str) -> bool:
        """Is this key forgotten?"""
        return kind in self.kinds or (kind, key) in self.keys


@dataclass(frozen=True)
class StatesSnapshot:
    """The states at one moment, to be written down; shares nothing that changes."""

    seq: int
    synced_seq: int
    windows: tuple[WindowOf, ...]
    open: tuple[OpenUnit, ...]
    failed: tuple[FailedUnit, ...]
    finished: tuple[Receipt, ...]
    forgotten: Forgotten


class _UnitsByKey(dict[str, _OpenOrFailed]):
    """Units by their id; a key with its window finds the one that holds it."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[KeyWindow, str] = {}

    def put(self, entry: _OpenOrFailed) -> None:
        """Add a unit, or replace what is known of it."""
        unit, unit_id = entry.unit, entry.unit.id
        kind, since, until = unit.kind, unit.since, unit.until
        self[unit_id] = entry
        for key in unit.keys:
            self._ids[kind, key, since, until] = unit_id

    def drop(self, unit_id: str) -> _OpenOrFailed:
        """Remove a unit. Raises KeyError when it is not there."""
        entry = self.pop(unit_id)
        kind, since, until = entry.unit.kind, entry.unit.since, entry.unit.until
        for key in entry.unit.keys:
            if self._ids.get((kind, key, since, until)) == unit_id:
                del self._ids[kind, key, since, until]
        return entry

    def find(self, kind: str, key: str, window: units.Window) -> _OpenOrFailed | None:
        """The unit that holds the key."""
        unit_id = self._ids.get((kind, key, *window))
        return None if unit_id is None else self[unit_id]


class _UnsyncedEnds(dict[int, End]):
    """Units that have ended and that the plan table does not show, by the number of their end."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[tuple[str, str], int] = {}  # how many ends, one for each window

    def add(self, end: End) -> None:
        """Add an end."""
        self[end.seq] = end
        for key in end.unit.keys:
            of_kind = end.unit.kind, key
            self._keys[of_kind] = self._keys.get(of_kind, 0) + 1

    def drop(self, seq: int) -> None:
        """Remove an end, if it is there."""
        end = self.pop(seq, None)
        if end is None:
            return
        for key in end.unit.keys:
            of_kind = end.unit.kind, key
            self._keys[of_kind] -= 1
            if not self._keys[of_kind]:
                del self._keys[of_kind]

    def has_key(self, kind: str, key: str) -> bool:
        """Has a unit with this key ended?"""
        return (kind, key) in self._keys

    def has_any(self, keys: set[tuple[str, str]]) -> bool:
        """Has a unit with one of these (kind, key) ended?"""
        return not keys.isdisjoint(self._keys)


class UnitStates:
    """State after transition number `seq`.

    Finished units are kept as index entries; their receipts stay in memory only until the next
    fold (`finished`), or until the plan table in the store shows them (`unsynced`).
    """

    def __init__(self) -> None:
        self.seq = 0
        self.synced_seq = 0
        self.windows: dict[WindowOf, int] = {}
        self.done = done_index.DoneIndex()
        self.open = _UnitsByKey[OpenUnit]()
        self.failed = _UnitsByKey[FailedUnit]()
        self.finished: list[Receipt] = []
        self._finished_keys: set[tuple[str, str]] = set()
        self.forgotten = Forgotten()
        self.unsynced = _UnsyncedEnds()
        # Attempts of forgotten open units: a late line of one must not pass for a new attempt.
        self._attempts_before: dict[str, int] = {}
        self._apply: dict[type[journal.Transition], Callable[[Any], None]] = {
            journal.Begin: self._begin,
            journal.Advance: self._advance,
            journal.Restart: self._restart,
            journal.GiveBack: self._give_back,
            journal.Interrupted: self._interrupted,
            journal.Finish: self._finish,
            journal.Fail: self._fail,
            journal.Reopen: self._reopen,
            journal.Split: self._split,
            journal.Forget: self._forget,
            journal.PlanSynced: self._plan_synced,
        }

    def apply(self, transition: journal.AnyTransition) -> None:
        """Take one transition in. Raises KeyError for a unit that is not open."""
        self._apply[type(transition)](transition)
        self.seq = transition.seq

    def restore(
        self,
        *,
        seq: int,
        synced_seq: int,
        windows: Iterable[WindowOf],
        open_units: Iterable[OpenUnit | FailedUnit],
    ) -> None:
        """Begin from what a fold wrote down. The done index is loaded by the caller."""
        self.seq, self.synced_seq = seq, synced_seq
        self.windows = {window: number for number, window in enumerate(windows)}
        for unit_held in open_units:
            if isinstance(unit_held, FailedUnit):
                self.failed.put(unit_held)
                if unit_held.seq > synced_seq:
                    self.unsynced.add(unit_held)
            else:
                self.open.put(unit_held)

    def add_unsynced_before(self, receipts: Iterable[Receipt]) -> None:
        """Ends of earlier stretches, read from segments, but for the keys forgotten since."""
        recent, self.unsynced = self.unsynced, _UnsyncedEnds()
        earlier = [kept for one in receipts if (kept := without(one, self.forgotten)) is not None]
        for end in sorted([*earlier, *recent.values()], key=lambda end: end.seq):
            self.unsynced.add(end)

    def snapshot(self) -> StatesSnapshot:
        """What a fold writes. Costs as much as there are open, failed and unfolded units."""
        return StatesSnapshot(
            seq=self.seq,
            synced_seq=self.synced_seq,
            windows=tuple(self.windows),
            open=tuple(self.open.values()),
            failed=tuple(self.failed.values()),
            finished=tuple(self.finished),
            forgotten=self.forgotten,
        )

    def folded(self) -> None:
        """The snapshot just taken is on its way to the disk; begin a new stretch."""
        self._finish_again([])
        self.forgotten = Forgotten()

    def is_done(self, kind: str, key: str, window: units.Window) -> bool:
        """Has a unit with this key and exactly this window finished?"""
        number = self.windows.get((kind, *window))
        return number is not None and done_index.entry(kind, key, number) in self.done

    def is_unsynced(self, kind: str, key: str) -> bool:
        """Is the key's end one that the plan table does not show yet?"""
        return self.unsynced.has_key(kind, key)

    def open_unit(self, kind: str, key: str, window: units.Window) -> OpenUnit | None:
        """The open unit that holds the key."""
        return self.open.find(kind, key, window)

    def failed_unit(self, kind: str, key: str, window: units.Window) -> FailedUnit | None:
        """The unit in error that holds the key."""
        return self.failed.find(kind, key, window)

    def done_keys_in(self, kind: str, window: units.Window) -> int:
        """How many keys of a kind are done with exactly this window."""
        number = self.windows.get((kind, *window))
        return 0 if number is None else self.done.count([number])

    def done_keys(self, kind: str) -> int:
        """How many keys of a kind are done, a key counted once for each window."""
        return self.done.count(
            number for (of_kind, _, _), number in self.windows.items() if of_kind == kind
        )

    def next_attempt(self, unit: units.Unit) -> int:
        """The number a begin of this unit must carry."""
        if unit.id in self.open:
            return self.open[unit.id].attempt + 1
        if unit.id in self.failed:
            return self.failed[unit.id].attempts + 1
        return self._attempts_before.get(unit.id, 0) + 1

    def window_number(self, unit: units.Unit) -> int:
        """The small number that stands for the unit's kind and window in the index."""
        return self.windows.setdefault((unit.kind, *unit.window), len(self.windows))

    def _begin(self, line: journal.Begin) -> None:
        open_unit = self.open.get(line.unit.id)
        if open_unit is None:
            open_unit = OpenUnit(unit=line.unit)
        self._drop_failed(line.unit.id)
        self.open.put(
            msgspec.structs.replace(
                open_unit, attempt=line.attempt, in_flight=True, not_before=0.0, at=line.at
            )
        )

    def _advance(self, line: journal.Advance) -> None:
        open_unit = self.open[line.id]
        self._change(
            line.id,
            resume=line.resume,
            counts=line.counts,
            errors=0 if line.counts.pages > open_unit.furthest else open_unit.errors,
            interruptions=0,
            at=line.at,
        )

    def _restart(self, line: journal.Restart) -> None:
        open_unit = self.open[line.id]
        furthest = max(open_unit.furthest, open_unit.counts.pages)
        self._change(line.id, resume=None, counts=units.NOTHING, furthest=furthest, at=line.at)

    def _give_back(self, line: journal.GiveBack) -> None:
        open_unit = self.open[line.id]
        self._change(
            line.id,
            in_flight=False,
            attempt=open_unit.attempt + (1 if line.fenced else 0),
            errors=open_unit.errors + (1 if line.counted else 0),
            errors_total=open_unit.errors_total + (1 if line.counted else 0),
            not_before=line.not_before,
            error=line.error or open_unit.error,
            at=line.at,
        )

    def _interrupted(self, line: journal.Interrupted) -> None:
        interruptions = self.open[line.id].interruptions + 1
        self._change(line.id, in_flight=False, interruptions=interruptions, at=line.at)

    def _finish(self, line: journal.Finish) -> None:
        open_unit = self.open.drop(line.id)
        receipt = Receipt(
            seq=line.seq,
            unit=open_unit.unit,
            attempts=line.attempt,
            counts=line.counts,
            at=line.at,
            end=line.end,
        )
        window = self.window_number(open_unit.unit)
        for key in open_unit.unit.keys:
            self.done.add(done_index.entry(open_unit.unit.kind, key, window))
        self._add_finished(receipt)
        self.unsynced.add(receipt)

    def _fail(self, line: journal.Fail) -> None:
        open_unit = self.open.drop(line.id)
        failed = FailedUnit(
            seq=line.seq,
            unit=open_unit.unit,
            attempts=line.attempt,
            error=line.error,
            counts=open_unit.counts,
            at=line.at,
            passing=line.passing,
        )
        self.failed.put(failed)
        self.unsynced.add(failed)

    def _reopen(self, line: journal.Reopen) -> None:
        self._attempts_before[line.id] = self.failed[line.id].attempts
        self._drop_failed(line.id)

    def _split(self, line: journal.Split) -> None:
        self.open.drop(line.id)
        for half in line.halves:
            self.open.put(OpenUnit(unit=half, at=line.at))

    def _forget(self, line: journal.Forget) -> None:
        if line.keys is None:
            gone = Forgotten(kinds={line.kind})
            numbers = {number for window, number in self.windows.items() if window[0] == line.kind}
            self.done.drop_windows(numbers)
            self.forgotten.kinds.add(line.kind)
        else:
            gone = Forgotten(keys={(line.kind, key) for key in line.keys})
            for key in line.keys:
                self.done.drop_key(done_index.entry(line.kind, key, 0))
            self.forgotten.keys |= gone.keys
        self._forget_open(gone)
        # Keys are forgotten one by one as well, most of them finished long ago: look before reading
        # through ten thousand receipts.
        if gone.kinds or not gone.keys.isdisjoint(self._finished_keys):
            self._finish_again([left for one in self.finished if (left := without(one, gone))])
        if gone.kinds or self.unsynced.has_any(gone.keys):
            self._forget_ends(gone)

    def _forget_ends(self, gone: Forgotten) -> None:
        ends, self.unsynced = self.unsynced, _UnsyncedEnds()
        for end in ends.values():
            kept = without(end, gone) if isinstance(end, Receipt) else end
            if kept is not None:
                self.unsynced.add(kept)

    def _finish_again(self, receipts: list[Receipt]) -> None:
        self.finished, self._finished_keys = [], set()
        for receipt in receipts:
            self._add_finished(receipt)

    def _add_finished(self, receipt: Receipt) -> None:
        self.finished.append(receipt)
        self._finished_keys.update((receipt.unit.kind, key) for key in receipt.unit.keys)

    def _forget_open(self, gone: Forgotten) -> None:
        for open_unit in [one for one in self.open.values() if _touches(one.unit, gone)]:
            self.open.drop(open_unit.unit.id)
            self._attempts_before[open_unit.unit.id] = open_unit.attempt
        for failed in [one for one in self.failed.values() if _touches(one.unit, gone)]:
            self._drop_failed(failed.unit.id)

    def _plan_synced(self, line: journal.PlanSynced) -> None:
        self.synced_seq = line.upto
        shown = [seq for seq in self.unsynced if seq <= line.upto]
        for seq in shown:
            self.unsynced.drop(seq)

    def _change(self, unit_id: str, **changes: object) -> None:
        self.open[unit_id] = msgspec.structs.replace(self.open[unit_id], **changes)

    def _drop_failed(self, unit_id: str) -> None:
        if unit_id in self.failed:
            self.unsynced.drop(self.failed.drop(unit_id).seq)


def without(receipt: Receipt, gone: Forgotten) -> Receipt | None:
    """The receipt without the forgotten keys; None when none is left. Its counts stay whole,
    hence `partial`.
    """
    unit = receipt.unit
    kept = tuple(key for key in unit.keys if not gone.takes(unit.kind, key))
    if len(kept) == len(unit.keys):
        return receipt
    if not kept:
        return None
    left = units.Unit(unit.kind, kept, unit.since, unit.until, unit.expected_rows)
    return msgspec.structs.replace(receipt, unit=left, partial=True)


def _touches(unit: units.Unit, gone: Forgotten) -> bool:
    return any(gone.takes(unit.kind, key) for key in unit.keys)
