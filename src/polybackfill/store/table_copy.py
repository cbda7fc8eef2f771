"""A table copied from one store to another: slice by slice, each compared by count and digest.

The rows go into a table beside the one that people read, and from there into it in one step: nobody
sees half of them, and no materialized view takes them for new ones. What is there already is not
sent again: of a copy that was killed, all but the slice it was at.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from polybackfill import errors
from polybackfill.store import client

log = structlog.get_logger()

SLICE_ROWS = 250_000
_STAGING = "pushed_"
_FORMAT = "Native"
_ATTEMPTS = 5
_AGAIN_S = 2.0
_COLUMNS = """
SELECT name, type FROM system.columns
WHERE database = currentDatabase() AND table = {table:String}
    AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL')
ORDER BY position
"""
_TABLE = """
SELECT engine, sorting_key FROM system.tables
WHERE database = currentDatabase() AND name = {table:String}
"""
# The lowest key of each slice.
_BOUNDS = """
SELECT toString(min(k)) AS low
FROM (
    SELECT k, intDiv(sum(n) OVER (ORDER BY k), {rows}) AS part
    FROM (SELECT {key} AS k, count() AS n FROM {table} GROUP BY k)
)
GROUP BY part ORDER BY min(k)
"""


@dataclass(frozen=True)
class Content:
    """How many rows, and one number for all of them, whatever their order, that counts repeats."""

    rows: int
    digest: int


@dataclass(frozen=True)
class _Slice:
    """Rows whose first key is at least `low` and below `high`; None: no bound."""

    low: str | None = None
    high: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """For its condition."""
        named = {"low": self.low, "high": self.high}
        return {name: bound for name, bound in named.items() if bound is not None}


@dataclass(frozen=True)
class _Shape:
    """What a table is made of. `key`, `key_type`: of its order, the first column; "" for none."""

    columns: tuple[tuple[str, str], ...]
    key: str
    key_type: str
    final: str

    @property
    def names(self) -> str:
        """The columns for a SELECT or an INSERT."""
        return ", ".join(f"`{name}`" for name, _ in self.columns)

    @property
    def digest(self) -> str:
        """SQL of the number for all rows; a hash of a NULL would be none."""
        terms = [
            f"isNull(`{name}`), ifNull(toString(`{name}`), '')"
            if "Nullable" in of_type
            else f"`{name}`"
            for name, of_type in self.columns
        ]
        return f"sum(cityHash64({', '.join(terms)}))"

    def where(self, part: _Slice) -> str:
        """The condition of a slice."""
        bounds = {">=": ("low", part.low), "<": ("high", part.high)}
        return " AND ".join(
            [
                "true",
                *(
                    f"{self.key} {sign} CAST({{{name}:String}}, '{self.key_type}')"
                    for sign, (name, bound) in bounds.items()
                    if bound is not None
                ),
            ]
        )


class TableCopy:
    """One table on its way. Both sides stand still meanwhile. Raises what the stores raise, and
    errors.Stop for a target that holds other rows.
    """

    def __init__(self, source: client.Store, target: client.Store, table: str) -> None:
        self._source = source
        self._target = target
        self.table = table
        self._staging = f"{_STAGING}{table}"

    async def fill(self) -> Content:
        """The rows are in the target, beside the table unless they are in it already."""
        shape = await self._shape()
        whole = await self._measure(self._source, self.table, shape)
        there = await self._measure(self._target, self.table, shape)
        if there == whole:
            return whole
        if there.rows:
            location, database = self._target.address.location, self._target.address.database
            raise errors.Stop(
                f"{self.table} in database {database} at {location} holds {there.rows:,} rows that "
                f"are not those of this store ({whole.rows:,}): name a database that is empty"
            )
        await self._target.command(f"CREATE TABLE IF NOT EXISTS {self._staging} AS {self.table}")
        for part in await self._slices(shape):
            await self._copy_slice(shape, part)
        self._require(whole, await self._measure(self._target, self._staging, shape))
        return whole

    async def show(self, whole: Content) -> None:
        """What `fill` has put beside the table is in it, all at once; compared once more."""
        shape = await self._shape()
        if await self._measure(self._target, self.table, shape) != whole:
            await self._target.command(
                f"ALTER TABLE {self.table} REPLACE PARTITION ID 'all' FROM {self._staging}"
            )
        self._require(whole, await self._measure(self._target, self.table, shape))
        await self._target.command(f"DROP TABLE IF EXISTS {self._staging} SYNC")

    async def _shape(self) -> _Shape:
        named = {"table": self.table}
        columns = await self._source.rows(_COLUMNS, parameters=named)
        (table,) = await self._source.rows(_TABLE, parameters=named)
        types = {column["name"]: column["type"] for column in columns}
        key = table["sorting_key"].split(",")[0].strip()
        final = "FINAL" if "Replacing" in table["engine"] else ""
        if key not in types:
            return _Shape(tuple(types.items()), "", "", final)
        return _Shape(tuple(types.items()), key, types[key].replace("'", "\\'"), final)

    async def _slices(self, shape: _Shape) -> list[_Slice]:
        if not shape.key:
            return [_Slice()]
        sql = _BOUNDS.format(table=self.table, key=shape.key, rows=SLICE_ROWS)
        lows = [row["low"] for row in await self._source.rows(sql)]
        return list(_between([None, *lows[1:], None]))

    async def _copy_slice(self, shape: _Shape, part: _Slice) -> None:
        wanted = await self._measure(self._source, self.table, shape, part)
        for attempt in itertools.count(1):
            there = await self._measure(self._target, self._staging, shape, part)
            if there == wanted:
                return
            if attempt > _ATTEMPTS:
                self._require(wanted, there)
            try:
                await self._send(shape, part, anew=there.rows > 0)
            except errors.Retry as error:
                if attempt == _ATTEMPTS:
                    raise
                log.warning("push.retry", table=self.table, attempt=attempt, error=str(error))
                await asyncio.sleep(_AGAIN_S * attempt)
                await self._target.settle_leftovers()

    async def _send(self, shape: _Shape, part: _Slice, *, anew: bool) -> None:
        where = shape.where(part)
        if anew:
            sql = f"ALTER TABLE {self._staging} DELETE WHERE {where}"
            await self._target.command(sql, parameters=part.parameters)
        rows = self._source.stream(
            f"SELECT {shape.names} FROM {self.table} {shape.final} WHERE {where}",
            _FORMAT,
            parameters=part.parameters,
        )
        await self._target.insert_stream(f"{self._staging} ({shape.names})", rows, _FORMAT)

    async def _measure(
        self, store: client.Store, table: str, shape: _Shape, part: _Slice = _Slice()
    ) -> Content:
        (row,) = await store.rows(
            f"SELECT count() AS pushed_rows, {shape.digest} AS pushed_digest "
            f"FROM {table} {shape.final} "
            f"WHERE {shape.where(part)}",
            parameters=part.parameters,
        )
        return Content(row["pushed_rows"], row["pushed_digest"])

    def _require(self, wanted: Content, there: Content) -> None:
        if there != wanted:
            raise errors.Stop(
                f"{self.table} did not arrive whole: {wanted.rows:,} rows with digest "
                f"{wanted.digest} were sent, {there.rows:,} with {there.digest} are there. Push "
                "again; what is there is compared first"
            )


def _between(bounds: list[str | None]) -> Iterator[_Slice]:
    return itertools.starmap(_Slice, itertools.pairwise(bounds))
