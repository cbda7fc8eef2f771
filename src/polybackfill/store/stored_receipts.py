"""Receipts in the store: what is proven, for SQL, and for a checkpoint that is lost.

Commit, record, then tell: a receipt is inserted after the checkpoint holds it, many at a time, and
one that is forgotten is withdrawn. What a killed process has not told, the next start tells
(`align`): where the sums of both sides differ, all of them are written anew.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
import structlog

from polybackfill import units
from polybackfill.checkpoint import journal, run_checkpoint, unit_states
from polybackfill.store import client

log = structlog.get_logger()

TABLE = "backfill_receipt_rows"
_OWN = "run_name = {run_name:String}"
_TOTALS = f"""
SELECT kind, [count(), sum(length(keys)), sum(rows), sum(pages), sum(rejected)] AS figures
FROM backfill_receipts WHERE {_OWN} GROUP BY kind
"""
_READ = f"SELECT * EXCEPT (job, host, run_name) FROM backfill_receipts WHERE {_OWN} ORDER BY seq"
# Of the newest sweep of a kind, how many keys there are, and which units hold those of some places,
# in the order in which they were finished.
_NEWEST_SWEEP = f"""
{_OWN} AND (kind, sweep) IN (
    SELECT kind, max(sweep) FROM backfill_receipts WHERE {_OWN} GROUP BY kind)
"""
_KEYS = f"""
SELECT kind, sum(length(keys)) AS done FROM backfill_receipts WHERE {_NEWEST_SWEEP} GROUP BY kind
"""
_BETWEEN = f"""
SELECT * EXCEPT (job, host, run_name, upto), count() OVER () AS units
FROM (
    SELECT *, sum(length(keys)) OVER (ORDER BY seq) AS upto FROM backfill_receipts
    WHERE {_NEWEST_SWEEP} AND kind = {{kind:String}}
)
WHERE upto > {{first:UInt64}} AND upto - length(keys) < {{end:UInt64}}
ORDER BY seq LIMIT {{most:UInt64}}
"""
_OF_KEY = """
SELECT * EXCEPT (job, host) FROM backfill_receipts WHERE has(keys, {key:String})
ORDER BY recorded_at DESC, seq DESC LIMIT {most:UInt64}
"""
_HOLDING = f"""
SELECT * FROM {TABLE} FINAL
WHERE {_OWN} AND kind = {{kind:String}} AND hasAny(keys, {{keys:Array(String)}})
    AND sweep = {{sweep:String}}
"""
_NEWEST = f"SELECT max(version) AS version FROM {TABLE} WHERE {_OWN}"
_DELETE = f"DELETE FROM {TABLE} WHERE {_OWN}"
_INSERT_MAX = 100_000
_KEYS_MAX = 10_000  # the values of one statement travel in its URL
_FIRST = 1


class StoredReceipts:
    """The receipts of one checkpoint. Raises what the store raises.

    `run_name`: of the run whose checkpoint it is, and of no other. `job`: that it shares with
    others; it stands in what is written, with the name of this machine.
    """

    def __init__(self, store: client.Store, run_name: str, *, job: str = "") -> None:
        self._store = store
        self._owner = {"run_name": run_name}
        host = socket.gethostname() if job else ""
        self._written_by = {**self._owner, "job": job, "host": host}

    async def follow(
        self, checkpoint: run_checkpoint.Checkpoint, ends: Iterable[unit_states.End]
    ) -> None:
        """Withdraw what was forgotten, then write those of `ends` that are receipts, which the
        caller has just read from the checkpoint: one of a forgotten key is not among them.
        """
        forgotten = checkpoint.untold()
        receipts = [end for end in ends if isinstance(end, unit_states.Receipt)]
        await self._withdraw(forgotten)
        checkpoint.note_told(forgotten)
        await self._write(receipts, _FIRST)

    async def align(self, checkpoint: run_checkpoint.Checkpoint) -> None:
        """Make up for what the last process could not tell any more; before the first unit."""
        await self.follow(checkpoint, checkpoint.transitions_since(checkpoint.synced_seq))
        if await self.is_aligned(checkpoint):
            return
        log.info("receipts.written_anew", **self._owner)
        (row,) = await self._store.rows(_NEWEST, parameters=self._owner)
        version = row["version"] + 1
        await self._write(checkpoint.receipts(), version)
        await self._delete("version < {version:UInt32}", {"version": version})

    async def is_aligned(self, checkpoint: run_checkpoint.Checkpoint) -> bool:
        """Do the receipts of both sides add up to the same?"""
        rows = await self._store.rows(_TOTALS, parameters=self._owner)
        stored = {row["kind"]: row["figures"] for row in rows}
        return stored == {
            kind: [one.units, one.keys, one.rows, one.pages, one.rejected]
            for kind, one in checkpoint.totals().items()
            if one.units
        }

    async def read(self) -> AsyncIterator[list[unit_states.Receipt]]:
        """All of them, some thousand at a time, in the order in which they were finished."""
        rest = b""
        async for piece in self._store.stream(_READ, "JSONEachRow", parameters=self._owner):
            *lines, rest = (rest + piece).split(b"\n")
            if lines:
                yield [_decode(orjson.loads(line)) for line in lines]

    async def count_keys(self) -> dict[str, int]:
        """How many keys the newest sweep of each kind has proven, or all of a kind without any."""
        rows = await self._store.rows(_KEYS, parameters=self._owner)
        return {row["kind"]: row["done"] for row in rows}

    async def read_between(
        self, kind: str, first: int, end: int, most: int
    ) -> tuple[list[unit_states.Receipt], int]:
        """The first `most` receipts of those keys whose place, counted from 0 in the order in which
        units were finished, is in [first, end), and how many more there are.
        """
        places = {"first": first, "end": end, "most": most}
        rows = await self._store.rows(_BETWEEN, parameters={**self._owner, "kind": kind, **places})
        return [_decode(row) for row in rows], (rows[0]["units"] - len(rows) if rows else 0)

    async def _withdraw(self, forgotten: Sequence[journal.Forget]) -> None:
        keys_by_list: dict[tuple[str, str], dict[str, None]] = {}
        for kind in dict.fromkeys(one.kind for one in forgotten if one.keys is None):
            await self._delete("kind = {kind:String}", {"kind": kind})
        for one in forgotten:
            for key in one.keys or ():
                of_list = keys_by_list.setdefault((one.kind, units.key_sweep(key)), {})
                of_list[units.bare_key(key)] = None
        for (kind, sweep), keyed in keys_by_list.items():
            keys = list(keyed)
            for first in range(0, len(keys), _KEYS_MAX):
                await self._withdraw_keys(kind, sweep, keys[first : first + _KEYS_MAX])

    async def _withdraw_keys(self, kind: str, sweep: str, keys: Sequence[str]) -> None:
        """What is left of a unit takes its place; a unit without keys goes, all of its versions."""
        named = {**self._owner, "kind": kind, "sweep": sweep, "keys": keys}
        rows = await self._store.rows(_HOLDING, parameters=named)
        forgotten = set(keys)
        gone: list[int] = []
        left = []
        for row in rows:
            row["keys"] = [key for key in row["keys"] if key not in forgotten]
            if row["keys"]:
                left.append(row | {"partial": True, "version": row["version"] + 1})
            else:
                gone.append(row["seq"])
        await self._insert(orjson.dumps(row) + b"\n" for row in left)
        if gone:
            of_kind = "kind = {kind:String} AND seq IN {seqs:Array(UInt64)}"
            await self._delete(of_kind, {"kind": kind, "seqs": gone})

    async def _write(self, receipts: Iterable[unit_states.Receipt], version: int) -> None:
        shared = {**self._written_by, "version": version}
        await self._insert(
            orjson.dumps({**_encode(receipt), **shared}) + b"\n" for receipt in receipts
        )

    async def _insert(self, lines: Iterator[bytes]) -> None:
        # Joined, and not held one by one: each would keep the kilobytes that orjson wrote it in.
        while True:
            joined, rows = bytearray(), 0
            for line in itertools.islice(lines, _INSERT_MAX):
                joined += line
                rows += 1
            if not rows:
                return
            await self._store.insert(TABLE, bytes(joined), rows=rows)

    async def _delete(self, which: str, named: Mapping[str, Any]) -> None:
        for server in self._store.servers:
            await server.command(f"{_DELETE} AND {which}", parameters={**self._owner, **named})


async def read_of_key(
    store: client.Store, key: str, *, most: int
) -> list[tuple[str, unit_states.Receipt]]:
    """The newest receipts that hold a key, of whichever run, each with the run's name."""
    rows = await store.rows(_OF_KEY, parameters={"key": key, "most": most})
    return [(row["run_name"], _decode(row)) for row in rows]


def _encode(receipt: unit_states.Receipt) -> dict[str, Any]:
    unit, end = receipt.unit, receipt.end
    return {
        "kind": unit.kind,
        "seq": receipt.seq,
        "keys": unit.bare_keys,
        "sweep": unit.sweep,
        "since": unit.since,
        "until": unit.until,
        **msgspec.to_builtins(receipt.counts),
        "end_second": end.second if end is not None else None,
        "lag_s": end.lag_s if end is not None else None,
        "end_is_confirmed": end is not None and end.confirmed,
        "attempts": receipt.attempts,
        "partial": receipt.partial,
        "recorded_at": receipt.at.removesuffix("Z").replace("T", " "),
    }


def _decode(row: Mapping[str, Any]) -> unit_states.Receipt:
    keys = tuple(units.mark_key(key, row["sweep"]) for key in row["keys"])
    end = None
    if row["end_second"] is not None:
        end = units.FeedEnd(
            second=row["end_second"], lag_s=row["lag_s"], confirmed=row["end_is_confirmed"]
        )
    counts = {name: row[name] for name in units.Counts.__struct_fields__}
    return unit_states.Receipt(
        seq=row["seq"],
        unit=units.Unit(row["kind"], keys, row["since"], row["until"]),
        attempts=row["attempts"],
        counts=units.Counts(**counts),
        at=row["recorded_at"].replace(" ", "T") + "Z",
        partial=row["partial"],
        end=end,
    )
