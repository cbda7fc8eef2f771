"""Units with their states as a table beside the others, so that the store can compare them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator

import orjson

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint, unit_states
from polybackfill.checks import temporary_table
from polybackfill.store import client, stored_receipts

_CHUNK_ROWS = 100_000
# One row for each key of each unit. `key` is bare, `reading` what stands behind its @: lists are
# read again from time to time under another name. `whole`: the unit speaks of whole histories, the
# others of the seconds from `since` to `until`. `partial`: keys of the unit were forgotten since,
# so `rows` counts more than its keys.
_COLUMNS = """
(
    unit UInt64, kind LowCardinality(String), key String, reading LowCardinality(String),
    state LowCardinality(String), whole Bool, partial Bool, since Nullable(Int64),
    until Nullable(Int64), rows UInt64, pages UInt64,
    rejected UInt64, first_second Nullable(Int64), last_second Nullable(Int64),
    end_second Nullable(Int64), lag_s Nullable(Float64), attempts UInt32, at DateTime, error String
)
"""

_OWN = "run_name = {run_name:String}"
# Units of other checkpoints get numbers that none of this one has.
_COPY = """
INSERT INTO {table}
SELECT if({own}, seq, bitOr(cityHash64(run_name, seq), {others})) AS unit, kind, key,
    sweep AS reading, 'done' AS state, since IS NULL AND until IS NULL AS whole, partial, since,
    until, rows, pages, rejected, first_second, last_second, end_second, lag_s, attempts,
    recorded_at AS at, '' AS error
FROM backfill_receipts ARRAY JOIN keys AS key
WHERE {which}
"""
_BEGUN, _OTHERS = 1 << 62, 1 << 63

Unit = unit_states.Receipt | unit_states.FailedUnit | unit_states.OpenUnit


def all_units(checkpoint: run_checkpoint.Checkpoint) -> Iterator[Unit]:
    """Finished units, oldest first, then those in error, then those that were begun."""
    return itertools.chain(checkpoint.receipts(), unended_units(checkpoint))


def unended_units(checkpoint: run_checkpoint.Checkpoint) -> Iterator[Unit]:
    """Those in error, then those that were begun."""
    return itertools.chain(checkpoint.failed_units(), checkpoint.open_units())


def numbered(checkpoint: run_checkpoint.Checkpoint) -> Iterator[tuple[int, units.Unit]]:
    """Every unit with its number in the table: that of its last change in the checkpoint, or, of
    one that has not ended, one beyond all of these.
    """
    for number, unit_state in _numbered(all_units(checkpoint)):
        yield number, unit_state.unit


@contextlib.asynccontextmanager
async def filled(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint | None, *, others: bool = True
) -> AsyncIterator[str]:
    """The name of a table with every unit, dropped afterwards: the receipts that the store holds,
    with `others` also those of other checkpoints, and what is in error or begun in this one.

    What this checkpoint has and the store was not told yet is read from the checkpoint.
    """
    async with temporary_table.create(store, _COLUMNS, order="(kind, key)") as name:
        run_name = checkpoint.run_name if checkpoint is not None else ""
        is_told = True
        left: Iterator[Unit] = iter(())
        if checkpoint is not None:
            is_told = await stored_receipts.StoredReceipts(store, run_name).is_aligned(checkpoint)
            left = unended_units(checkpoint) if is_told else all_units(checkpoint)
        which = " OR ".join([_OWN] * is_told + [f"NOT {_OWN}"] * others)
        if which:
            copy = _COPY.format(table=name, own=_OWN, others=_OTHERS, which=which)
            await store.command(copy, parameters={"run_name": run_name})
        for lines, rows in _chunks(_lines(left)):
            await store.insert(name, lines, rows=rows)
        yield name


def _chunks(lines: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Lines joined, and how many. Held one by one, each would keep the kilobytes of the buffer that
    orjson wrote it in.
    """
    while True:
        joined, rows = bytearray(), 0
        for line in itertools.islice(lines, _CHUNK_ROWS):
            joined += line
            rows += 1
        if not rows:
            return
        yield bytes(joined), rows


def _lines(unit_states_left: Iterable[Unit]) -> Iterator[bytes]:
    for number, unit_state in _numbered(unit_states_left):
        yield from _keys(number, unit_state)


def _numbered(unit_states_left: Iterable[Unit]) -> Iterator[tuple[int, Unit]]:
    began = itertools.count(_BEGUN)
    for unit_state in unit_states_left:
        if isinstance(unit_state, unit_states.OpenUnit):
            yield next(began), unit_state
        else:
            yield unit_state.seq, unit_state


def _keys(number: int, unit_state: Unit) -> Iterator[bytes]:
    counts = unit_state.counts
    end = unit_state.end if isinstance(unit_state, unit_states.Receipt) else None
    shared = {
        "unit": number,
        "kind": unit_state.unit.kind,
        "state": STATES[type(unit_state)],
        "whole": unit_state.unit.window == units.FULL_HISTORY,
        "partial": isinstance(unit_state, unit_states.Receipt) and unit_state.partial,
        "since": unit_state.unit.since,
        "until": unit_state.unit.until,
        "rows": counts.rows,
        "pages": counts.pages,
        "rejected": counts.rejected,
        "first_second": counts.first_second,
        "last_second": counts.last_second,
        "end_second": end.second if end is not None else None,
        "lag_s": end.lag_s if end is not None else None,
        "attempts": unit_state.attempt
        if isinstance(unit_state, unit_states.OpenUnit)
        else unit_state.attempts,
        "at": unit_state.at.removesuffix("Z").replace("T", " ") or "1970-01-01 00:00:00",
        "error": "" if isinstance(unit_state, unit_states.Receipt) else unit_state.error,
    }
    head = orjson.dumps(shared).removesuffix(b"}")
    unit = unit_state.unit
    for key in unit.bare_keys:
        named = orjson.dumps({"key": key, "reading": unit.sweep}, option=orjson.OPT_APPEND_NEWLINE)
        yield b"%b,%b" % (head, named.removeprefix(b"{"))


STATES: dict[type[Unit], str] = {
    unit_states.Receipt: "done",
    unit_states.FailedUnit: "error",
    unit_states.OpenUnit: "open",
}
