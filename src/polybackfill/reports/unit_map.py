"""The map of a checkpoint: each part as a row of cells, in the order in which its keys were read.

A cell stands for so many keys and says how many of them are proven, in error, under way or missing;
of what a run follows for so many seconds, so that a gap is seen at its time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polybackfill.checkpoint import run_checkpoint, sweeps, unit_states
from polybackfill.checks import receipt_table
from polybackfill.engine import followed_windows
from polybackfill.kinds import registry
from polybackfill.polymarket import time_window
from polybackfill.reports import receipt_records
from polybackfill.store import stored_receipts

CELLS = 60
UNITS_SHOWN = 50
_MOST_WINDOWS = 100_000
_STATES = ("done", "error", "open", "missing")


@dataclass
class _Row:
    """One part in one sweep. `step`: keys of a cell."""

    step: int
    keys: int = 0
    cells: list[dict[str, int]] = field(default_factory=list)

    def add(self, state: str, count: int) -> None:
        """So many more keys in this state."""
        while count > 0:
            number = self.keys // self.step
            if number == len(self.cells):
                self.cells.append(dict.fromkeys(_STATES, 0))
            room = min(count, (number + 1) * self.step - self.keys)
            self.cells[number][state] += room
            self.keys += room
            count -= room


def in_order(checkpoint: run_checkpoint.Checkpoint) -> Iterator[receipt_table.Unit]:
    """Units that ended, in the order in which they did, then those that were begun."""
    failed: Iterator[unit_states.End] = iter(checkpoint.failed_units())
    yield from heapq.merge(checkpoint.receipts(), failed, key=lambda end: end.seq)
    yield from checkpoint.open_units()


def _steps(keys: Mapping[str, int]) -> dict[str, int]:
    return {kind: max(1, -(-count // CELLS)) for kind, count in keys.items()}


def draw_map(checkpoint: run_checkpoint.Checkpoint, keys: Mapping[str, int]) -> dict[str, Any]:
    """The rows by kind, of the newest sweep of each. `keys`: how many there are by kind."""
    followed = {kind for kind in keys if registry.KINDS[kind].is_followed}
    steps = _steps({kind: count for kind, count in keys.items() if kind not in followed})
    rows: dict[str, tuple[str, _Row]] = {}
    for unit_state in in_order(checkpoint):
        unit = unit_state.unit
        if unit.kind not in steps or sweeps.is_of_follow(unit.sweep):
            continue
        sweep, row = rows.get(unit.kind, ("", None))
        if row is None or unit.sweep > sweep:
            row = _Row(steps[unit.kind])
            rows[unit.kind] = (unit.sweep, row)
        if unit.sweep >= sweep:
            row.add(receipt_table.STATES[type(unit_state)], len(unit.keys))
    drawn = {}
    for kind, count in keys.items():
        if kind in followed:
            drawn[kind] = _draw_windows(followed_windows.read_windows(kind, checkpoint))
            continue
        _, row = rows.get(kind, ("", _Row(steps[kind])))
        row.add("missing", count - row.keys)
        drawn[kind] = {"step": row.step, "cells": row.cells}
    return drawn


async def draw_stored_map(
    receipts: stored_receipts.StoredReceipts, keys: Mapping[str, int]
) -> dict[str, Any]:
    """The same of the receipts in the store, for a checkpoint that is lost: what is not proven is
    missing.
    """
    done, steps = await receipts.count_keys(), _steps(keys)
    drawn = {}
    for kind, count in keys.items():
        if registry.KINDS[kind].is_followed:
            windows = followed_windows.name_windows(await _read_windows(receipts, kind))
            drawn[kind] = _draw_windows(windows)
            continue
        row = _Row(steps[kind])
        row.add("done", done.get(kind, 0))
        row.add("missing", count - row.keys)
        drawn[kind] = {"step": row.step, "cells": row.cells}
    return drawn


async def stored_units_of_cell(
    receipts: stored_receipts.StoredReceipts, kind: str, step: int, number: int
) -> dict[str, Any]:
    """As `units_of_cell`, of the receipts in the store."""
    if kind in registry.KINDS and registry.KINDS[kind].is_followed:
        return _windows_of_cell(await _read_windows(receipts, kind), step, number)
    first = number * step
    units, more = await receipts.read_between(kind, first, first + step, UNITS_SHOWN)
    return {"receipts": [receipt_records.record(unit) for unit in units], "more": more}


async def _read_windows(
    receipts: stored_receipts.StoredReceipts, kind: str
) -> list[unit_states.Receipt]:
    """All receipts of a kind that is followed: about one for each day."""
    windows, _ = await receipts.read_between(kind, 0, _MOST_WINDOWS, _MOST_WINDOWS)
    return windows


def _draw_windows(windows: Iterable[time_window.TimeWindow]) -> dict[str, Any]:
    """The row of a kind that is followed: its cells stand for seconds, from `since` on."""
    spans = list(followed_windows.join(windows))
    if not spans:
        return {"step": 1, "cells": []}
    since, end = spans[0].since, spans[-1].until + 1
    step = max(1, -(-(end - since) // CELLS))
    cells = []
    for first in range(since, end, step):
        size = min(step, end - first)
        done = sum(
            max(0, min(span.until + 1, first + size) - max(span.since, first)) for span in spans
        )
        cells.append({**dict.fromkeys(_STATES, 0), "done": done, "missing": size - done})
    return {"step": step, "cells": cells, "since": since}


def _windows_of_cell(
    receipts: Sequence[unit_states.Receipt], step: int, number: int
) -> dict[str, Any]:
    windows = followed_windows.name_windows(receipts)
    first = min((window.since for window in windows), default=0) + number * step
    records = [
        receipt_records.record(receipt)
        for receipt in receipts
        for window in [time_window.parse(receipt.unit.bare_keys[0])]
        if window.since < first + step and window.until >= first
    ]
    return {"receipts": records[:UNITS_SHOWN], "more": max(0, len(records) - UNITS_SHOWN)}


def units_of_cell(
    checkpoint: run_checkpoint.Checkpoint, kind: str, step: int, number: int
) -> dict[str, Any]:
    """The receipts behind a cell, as `check receipts` shows them; at most UNITS_SHOWN, and under
    `more` how many there are beyond.
    """
    if kind in registry.KINDS and registry.KINDS[kind].is_followed:
        return _windows_of_cell(list(checkpoint.receipts(kind)), step, number)
    more = 0
    receipts: list[dict[str, Any]] = []
    position, sweep = 0, ""
    first, end = number * step, (number + 1) * step
    for unit_state in in_order(checkpoint):
        unit = unit_state.unit
        is_elsewhere = unit.kind != kind or sweeps.is_of_follow(unit.sweep)
        if is_elsewhere or unit.sweep < sweep:
            continue
        if unit.sweep > sweep:
            position, sweep, receipts, more = 0, unit.sweep, [], 0
        if position < end and position + len(unit.keys) > first:
            if len(receipts) < UNITS_SHOWN:
                receipts.append(receipt_records.record(unit_state))
            else:
                more += 1
        position += len(unit.keys)
    return {"receipts": receipts, "more": more}
