"""Receipts as people and scripts read them: one record for each unit."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from polybackfill import records, units
from polybackfill.checkpoint import run_checkpoint, unit_states
from polybackfill.checks import receipt_table
from polybackfill.kinds import key_source, registry

# Their keys name slices of a list or of time, no ids.
_SLICED = frozenset(
    kind.name
    for kind in registry.ALL
    if isinstance(kind.keys, key_source.WholeList | key_source.TimeWindows)
)


def newest(
    checkpoint: run_checkpoint.Checkpoint, *, kind: str | None, keys: Collection[str], limit: int
) -> dict[str, Any]:
    """The last `limit` units of a kind (None: of all) that hold one of `keys` (none: any key).

    `found` counts all of them. By the time of their last change, the newest last, whether they are
    done, in error or under way. Reads every receipt of the checkpoint, ten thousand at a time.
    """
    count = 0

    def wanted() -> Iterator[tuple[str, int, receipt_table.Unit]]:
        nonlocal count
        for unit_state in receipt_table.all_units(checkpoint):
            if kind not in (None, unit_state.unit.kind):
                continue
            if keys and not any(key in keys for key in unit_state.unit.bare_keys):
                continue
            count += 1
            yield unit_state.at, count, unit_state

    shown = heapq.nlargest(limit, wanted(), key=lambda one: one[:2])
    return {
        "found": count,
        "receipts": [record(unit_state) for _, _, unit_state in reversed(shown)],
    }


def of_key(
    stored: Iterable[tuple[str, unit_states.Receipt]],
    checkpoint: run_checkpoint.Checkpoint | None,
    key: str,
    *,
    limit: int,
) -> list[dict[str, Any]]:
    """The last `limit` units that hold a key, the newest last: receipts of the store, of whichever
    run (`stored`, with its name); of the checkpoint those that the store is still to be told, and
    what is in error or was begun, of which the store knows nothing.
    """
    receipts = {(run_name, receipt.seq): receipt for run_name, receipt in stored}
    unended: list[receipt_table.Unit] = []
    if checkpoint is not None:
        for end in checkpoint.transitions_since(checkpoint.synced_seq):
            if isinstance(end, unit_states.Receipt) and key in end.unit.bare_keys:
                receipts[checkpoint.run_name, end.seq] = end
        unended = [
            unit_state
            for unit_state in receipt_table.unended_units(checkpoint)
            if key in unit_state.unit.bare_keys
        ]
    in_order = sorted(receipts.values(), key=lambda receipt: receipt.seq)
    shown = sorted([*in_order, *unended], key=lambda unit_state: unit_state.at)
    return [record(unit_state) for unit_state in shown[-limit:]]


def record(unit_state: receipt_table.Unit) -> dict[str, Any]:
    """One unit. Times are epoch seconds; `end_seen`: when the feed said that it ended, None while
    it has not; `lag_s`: how far the source then lay behind the chain, None where it does not say.
    """
    end = unit_state.end if isinstance(unit_state, unit_states.Receipt) else None
    return {
        "unit": unit_state.unit.id,
        "kind": unit_state.unit.kind,
        "keys": _shown_keys(unit_state.unit),
        "window": list(unit_state.unit.window),
        "state": receipt_table.STATES[type(unit_state)],
        "pages": unit_state.counts.pages,
        "rows": unit_state.counts.rows,
        "rejected": unit_state.counts.rejected,
        "first_second": unit_state.counts.first_second,
        "last_second": unit_state.counts.last_second,
        "end_seen": end.second if end is not None else None,
        "lag_s": end.lag_s if end is not None else None,
        "recorded_at": unit_state.at,
        "error": "" if isinstance(unit_state, unit_states.Receipt) else unit_state.error,
    }


def _shown_keys(unit: units.Unit) -> list[str]:
    if unit.kind in _SLICED:
        return list(unit.keys)
    return [records.show(key) for key in unit.bare_keys]
