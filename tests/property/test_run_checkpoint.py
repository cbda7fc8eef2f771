"""The checkpoint against a model, through crashes at any byte, folds, forgetting and damage."""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint, segment_files

KEYS = tuple("abcdef")
WINDOWS = (units.FULL_HISTORY, (5, None))
UNITS = [
    *(units.Unit(units.WALLETS, (key,), *window) for key in KEYS for window in WINDOWS),
    units.Unit(units.CONDITIONS, ("a", "b", "c")),
    units.Unit(units.CONDITIONS, ("d", "e")),
    units.Unit(units.CONDITIONS, ("f",)),
]
KINDS = (units.WALLETS, units.CONDITIONS)
Held = dict[str, Any]


@dataclass
class Model:
    """What a checkpoint should say, kept in the plainest way."""

    seq: int = 0
    synced_seq: int = 0
    open: dict[units.Unit, Held] = field(default_factory=dict)
    failed: dict[units.Unit, tuple[int, str]] = field(default_factory=dict)
    done: list[tuple[int, units.Unit, int]] = field(default_factory=list)  # seq, unit, rows

    def is_done(self, kind: str, key: str, window: units.Window) -> bool:
        return any(
            unit.kind == kind and key in unit.keys and unit.window == window
            for _, unit, _ in self.done
        )

    def busy(self, unit: units.Unit) -> bool:
        """Would this unit share a key with an open, failed or finished one that is another?"""
        others = [*self.open, *self.failed, *(one for _, one, _ in self.done)]
        return any(
            one != unit
            and (one.kind, one.window) == (unit.kind, unit.window)
            and set(one.keys) & set(unit.keys)
            for one in others
        ) or any(self.is_done(unit.kind, key, unit.window) for key in unit.keys)

    def begin(self, unit: units.Unit) -> None:
        counts = ("rows", "pages", "furthest", "errors", "total", "deaths")
        fresh: Held = {"resume": None, **dict.fromkeys(counts, 0)}
        self.open[unit] = {**self.open.get(unit, fresh), "flying": True}
        self.failed.pop(unit, None)

    def forget(self, kind: str, keys: set[str]) -> None:
        for table in (self.open, self.failed):
            for unit in [one for one in table if one.kind == kind and keys & set(one.keys)]:
                del table[unit]  # type: ignore[attr-defined]
        left = []
        for seq, unit, rows in self.done:
            kept = tuple(key for key in unit.keys if unit.kind != kind or key not in keys)
            if kept:
                left.append((seq, units.Unit(unit.kind, kept, unit.since, unit.until), rows))
        self.done = left

    def unsynced(self) -> dict[int, units.Unit]:
        ends = {seq: unit for unit, (seq, _) in self.failed.items()}
        ends |= {seq: unit for seq, unit, _ in self.done}
        return {seq: unit for seq, unit in sorted(ends.items()) if seq > self.synced_seq}


class CheckpointMachine(RuleBasedStateMachine):
    """Rules change checkpoint and model alike; the invariant compares them."""

    @initialize(fold_lines=st.integers(3, 30), segment_units=st.integers(1, 4))
    def start(self, fold_lines: int, segment_units: int) -> None:
        self.runner = asyncio.Runner()
        self.home = Path(tempfile.mkdtemp(prefix="checkpoint-property-"))
        self.sizes = {"fold_lines": fold_lines, "segment_units": segment_units}
        self.lives = 0
        self.folder = self.home / "0"
        self.model = Model()
        self.history = [copy.deepcopy(self.model)]  # after each transition since the last sync
        self.stale: list[tuple[units.Unit, int]] = []
        self.book = run_checkpoint.Checkpoint.open(self.folder, **self.sizes)  # type: ignore[arg-type]

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.book.close()
            self.runner.close()
            shutil.rmtree(self.home)

    def noted(self) -> None:
        self.model.seq += 1
        self.history.append(copy.deepcopy(self.model))

    def attempt(self, unit: units.Unit) -> int:
        held = self.book.find(unit)
        assert held is not None
        return held.attempt

    def some_open(self, data: st.DataObject) -> units.Unit:
        return data.draw(st.sampled_from(sorted(self.model.open, key=lambda unit: unit.id)))

    @rule(unit=st.sampled_from(UNITS))
    def begin(self, unit: units.Unit) -> None:
        if self.model.busy(unit):
            return
        before = self.book.find(unit)
        attempt = self.book.begin(unit)
        if before is not None:
            assert attempt > before.attempt
            self.stale.append((unit, before.attempt))
        self.model.begin(unit)
        self.noted()

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), rows=st.integers(0, 9), second=st.integers(1, 9))
    def advance(self, data: st.DataObject, rows: int, second: int) -> None:
        unit = self.some_open(data)
        counts = units.Counts(rows=rows, pages=1)
        assert self.book.advance(unit.id, self.attempt(unit), {"second": second}, counts)
        held = self.model.open[unit]
        held.update(resume={"second": second}, rows=held["rows"] + rows, deaths=0)
        held["pages"] += 1
        if held["pages"] > held["furthest"]:
            held["errors"] = 0
        self.noted()

    @precondition(lambda self: self.model.open)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        unit = self.some_open(data)
        assert self.book.restart(unit.id, self.attempt(unit))
        held = self.model.open[unit]
        held.update(resume=None, rows=0, pages=0, furthest=max(held["furthest"], held["pages"]))
        self.noted()

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), counted=st.booleans(), fenced=st.booleans())
    def give_back(self, data: st.DataObject, counted: bool, fenced: bool) -> None:
        unit = self.some_open(data)
        attempt = self.attempt(unit)
        assert self.book.give_back(unit.id, attempt, counted=counted, fenced=fenced) is not None
        if fenced:
            self.stale.append((unit, attempt))
        held = self.model.open[unit]
        held.update(flying=False, errors=held["errors"] + counted, total=held["total"] + counted)
        self.noted()

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), rows=st.integers(0, 9))
    def finish(self, data: st.DataObject, rows: int) -> None:
        unit = self.some_open(data)
        attempt = self.attempt(unit)
        assert self.book.finish(unit.id, attempt, units.Counts(rows=rows))
        total = self.model.open.pop(unit)["rows"] + rows
        self.model.done.append((self.model.seq + 1, unit, total))
        self.noted()

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), message=st.text(max_size=8))
    def fail(self, data: st.DataObject, message: str) -> None:
        unit = self.some_open(data)
        assert self.book.fail(unit.id, self.attempt(unit), message)
        del self.model.open[unit]
        self.model.failed[unit] = (self.model.seq + 1, message)
        self.noted()

    @precondition(lambda self: self.model.failed)
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        unit = data.draw(st.sampled_from(sorted(self.model.failed, key=lambda unit: unit.id)))
        self.book.reopen(unit.id)
        assert self.book.failed_unit(unit.kind, unit.keys[0], unit.window) is None
        del self.model.failed[unit]
        self.noted()

    @precondition(lambda self: any(len(unit.keys) > 1 for unit in self.model.open))
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        wide = sorted((one for one in self.model.open if len(one.keys) > 1), key=lambda u: u.id)
        unit = data.draw(st.sampled_from(wide))
        halves = self.book.split(unit.id, self.attempt(unit))
        assert halves == units.split(unit)
        del self.model.open[unit]
        for half in halves:
            self.model.begin(half)
            self.model.open[half]["flying"] = False
        self.noted()

    @rule(kind=st.sampled_from(KINDS), keys=st.none() | st.sets(st.sampled_from(KEYS), min_size=1))
    def forget(self, kind: str, keys: set[str] | None) -> None:
        self.book.forget(kind, keys)
        self.model.forget(kind, set(KEYS) if keys is None else keys)
        self.noted()

    @rule(data=st.data())
    def sync_the_plan(self, data: st.DataObject) -> None:
        ends = self.book.transitions_since(self.book.synced_seq)
        if ends:
            upto = data.draw(st.sampled_from(ends)).seq
            self.book.note_plan_synced(upto)
            self.model.synced_seq = upto
            self.noted()

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def a_stale_worker_speaks(self, data: st.DataObject) -> None:
        unit, attempt = data.draw(st.sampled_from(self.stale))
        held = self.book.find(unit)
        if held is not None and held.attempt != attempt:
            assert not self.book.advance(unit.id, attempt, {"second": 1})
            assert not self.book.finish(unit.id, attempt)
            assert self.book.give_back(unit.id, attempt, counted=True) is None

    @rule()
    def sync(self) -> None:
        self.runner.run(self.book.sync())
        self.history = [copy.deepcopy(self.model)]

    @rule()
    def fold(self) -> None:
        self.runner.run(self.book.fold())
        self.history = [copy.deepcopy(self.model)]

    @rule(share=st.floats(0, 1), garbage=st.sampled_from([b"", b"\0\0\0", b'{"ev']))
    def crash(self, share: float, garbage: bytes) -> None:
        """Only what was synced is on disk, and any number of bytes of what was not."""
        unwritten = b"".join(self.book._durable._unwritten)
        torn = unwritten[: int(share * len(unwritten))]
        survived = self.history[torn.count(b"\n")]
        fallen = self.folder
        self.folder = self.home / str(self.lives + 1)
        shutil.copytree(fallen, self.folder)
        with (self.folder / "ledger.jsonl").open("ab") as file:
            file.write(torn + garbage)
        self.book._durable._unwritten.clear()
        self.book.close()
        self.live_again(survived)

    @rule(torn=st.booleans())
    def end_and_start(self, torn: bool) -> None:
        self.book.close()
        if torn:
            state = self.folder / segment_files.STATE
            state.write_bytes(state.read_bytes()[:-30])
        self.live_again(self.model)

    def live_again(self, survived: Model) -> None:
        self.lives += 1
        self.model = copy.deepcopy(survived)
        self.history = [copy.deepcopy(self.model)]
        self.stale.clear()
        self.book = run_checkpoint.Checkpoint.open(self.folder, **self.sizes)  # type: ignore[arg-type]
        for held in self.model.open.values():
            if held["flying"]:
                held.update(flying=False, deaths=held["deaths"] + 1)
                self.noted()

    @invariant()
    def checkpoint_and_model_agree(self) -> None:
        if not hasattr(self, "book"):
            return
        for kind in KINDS:
            for key in KEYS:
                for window in WINDOWS:
                    expected = self.model.is_done(kind, key, window)
                    assert self.book.is_done(kind, key, window) == expected
        found = {
            held.unit: {
                "resume": held.resume,
                "rows": held.counts.rows,
                "pages": held.counts.pages,
                "furthest": held.furthest,
                "errors": held.errors,
                "total": held.errors_total,
                "deaths": held.interruptions,
                "flying": held.in_flight,
            }
            for held in self.book.open_units()
        }
        assert found == self.model.open
        failed = {one.unit: (one.seq, one.error) for one in self.book.failed_units()}
        assert failed == self.model.failed
        receipts = sorted((one.seq, one.unit, one.counts.rows) for one in self.book.receipts())
        assert receipts == sorted(self.model.done)
        for kind in KINDS:
            of_kind = [(unit, rows) for _, unit, rows in self.model.done if unit.kind == kind]
            totals = self.book.totals().get(kind, segment_files.Totals())
            assert totals.units == len(of_kind)
            assert totals.keys == sum(len(unit.keys) for unit, _ in of_kind)
            assert totals.rows == sum(rows for _, rows in of_kind)
        unsynced = self.model.unsynced()
        waiting = {(unit.kind, key) for unit in unsynced.values() for key in unit.keys}
        for kind in KINDS:
            for key in KEYS:
                assert self.book.is_synced(kind, key) == ((kind, key) not in waiting)
        durable_seq = self.history[0].seq
        assert [end.seq for end in self.book.transitions_since(0)] == [
            seq for seq in unsynced if seq <= durable_seq
        ]


CheckpointMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None
)
test_checkpoint_against_a_model = CheckpointMachine.TestCase
