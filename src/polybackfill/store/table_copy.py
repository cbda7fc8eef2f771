"""A table copied from one store to another: slice by slice, each compared by count and digest.

The rows go into a table beside the one that people read, and from there into it in one step: nobody
sees half of them, and no materialized view takes them for new ones. What is there already is not
sent again: of a copy that was killed, all but the slice it was at. In a cluster each server is sent
its own rows of a big table, and has no others.
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
_FORMAT = "Native"
_ATTEMPTS = 5
_AGAIN_S = 2.0
_DIGESTS = 1 << 64  # a sum of UInt64 begins anew there
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
    FROM (SELECT {key} AS k, count() AS n FROM {table} WHERE {condition} GROUP BY k)
)
GROUP BY part ORDER BY min(k)
"""


@dataclass(frozen=True)
class Content:
    """How many rows, and one number for all of them, whatever their order, that counts repeats."""

    rows: int
    digest: int

    def __add__(self, other: Content) -> Content:
        return Content(self.rows + other.rows, (self.digest + other.digest) % _DIGESTS)


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
    """One table on its way, to each server that holds a share of its rows. Both sides stand still
    meanwhile. Raises what the stores raise, and errors.Stop for a target that holds other rows.
    """

    def __init__(self, source: client.Store, target: client.Store, table: str) -> None:
        self._source = source
        self._target = target
        self.table = table
        self._shares: list[_Share] = []

    async def fill(self) -> Content:
        """The rows are in the target, beside the table unless they are in it already."""
        shape = await _read_shape(self._source, self.table)
        self._shares = [
            _Share(self._source, server, self.table, shape, condition)
            for server, condition in self._target.shares_of(self.table)
        ]
        contents = [await share.compare() for share in self._shares]
        if not all(share.is_shown for share in self._shares):
            for share in self._shares:  # readers are sent to what is beside all of them at once
                await share.fill()
        whole = contents[0]
        if len(contents) > 1:
            whole = await _measure(self._source, self.table, shape)
            _require(self.table, whole, sum(contents, Content(0, 0)))
        return whole

    async def show(self) -> None:
        """What `fill` has put beside the table is in it, all at once; compared once more."""
        if not all(share.is_shown for share in self._shares):
            await self._target.move_in(self.table)
        for share in self._shares:
            await share.end()


class _Share:
    """The rows of a table that one server holds, which are all it holds: those of `condition`.

    `is_shown`: they were in the table itself when they were compared.
    """

    def __init__(
        self, source: client.Store, target: client.Store, table: str, shape: _Shape, condition: str
    ) -> None:
        self._source = source
        self._target = target
        self._table = table
        self._beside = client.beside(table)
        self._shape = shape
        self._condition = condition
        self._wanted = Content(0, 0)
        self.is_shown = False

    async def compare(self) -> Content:
        """What is to be there; errors.Stop where something else is."""
        self._wanted = await self._measure_source()
        there = await self._measure(self._table)
        self.is_shown = there == self._wanted
        if there.rows and not self.is_shown:
            location, database = self._target.address.location, self._target.address.database
            raise errors.Stop(
                f"{self._table} in database {database} at {location} holds {there.rows:,} rows "
                f"that are not those of this store ({self._wanted.rows:,}): name a database that "
                "is empty"
            )
        return self._wanted

    async def fill(self) -> None:
        """The rows are beside the table."""
        await self._target.command(f"CREATE TABLE IF NOT EXISTS {self._beside} AS {self._table}")
        for part in await self._slices():
            await self._copy_slice(part)
        _require(self._table, self._wanted, await self._measure(self._beside))

    async def end(self) -> None:
        """The rows are in the table, and nothing is beside it."""
        _require(self._table, self._wanted, await self._measure(self._table))
        await self._target.command(f"DROP TABLE IF EXISTS {self._beside} SYNC")

    async def _slices(self) -> list[_Slice]:
        key = self._shape.key
        if not key:
            return [_Slice()]
        sql = _BOUNDS.format(table=self._table, key=key, rows=SLICE_ROWS, condition=self._condition)
        lows = [row["low"] for row in await self._source.rows(sql)]
        return list(_between([None, *lows[1:], None]))

    async def _copy_slice(self, part: _Slice) -> None:
        wanted = await self._measure_source(part)
        for attempt in itertools.count(1):
            there = await self._measure(self._beside, part)
            if there == wanted:
                return
            if attempt > _ATTEMPTS:
                _require(self._table, wanted, there)
            try:
                await self._send(part, anew=there.rows > 0)
            except errors.Retry as error:
                if attempt == _ATTEMPTS:
                    raise
                log.warning("push.retry", table=self._table, attempt=attempt, error=str(error))
                await asyncio.sleep(_AGAIN_S * attempt)
                await self._target.settle_leftovers()

    async def _send(self, part: _Slice, *, anew: bool) -> None:
        names, where = self._shape.names, self._shape.where(part)
        if anew:
            sql = f"ALTER TABLE {self._beside} DELETE WHERE {where}"
            await self._target.command(sql, parameters=part.parameters)
        rows = self._source.stream(
            f"SELECT {names} FROM {self._table} {self._shape.final} "
            f"WHERE {self._condition} AND {where}",
            _FORMAT,
            parameters=part.parameters,
        )
        await self._target.insert_stream(f"{self._beside} ({names})", rows, _FORMAT)

    async def _measure_source(self, part: _Slice = _Slice()) -> Content:
        return await _measure(
            self._source, self._table, self._shape, part, condition=self._condition
        )

    async def _measure(self, table: str, part: _Slice = _Slice()) -> Content:
        return await _measure(self._target, table, self._shape, part)


async def _read_shape(store: client.Store, table: str) -> _Shape:
    named = {"table": table}
    columns = await store.rows(_COLUMNS, parameters=named)
    (made,) = await store.rows(_TABLE, parameters=named)
    types = {column["name"]: column["type"] for column in columns}
    key = made["sorting_key"].split(",")[0].strip()
    final = "FINAL" if "Replacing" in made["engine"] else ""
    if key not in types:
        return _Shape(tuple(types.items()), "", "", final)
    return _Shape(tuple(types.items()), key, types[key].replace("'", "\\'"), final)


async def _measure(
    store: client.Store,
    table: str,
    shape: _Shape,
    part: _Slice = _Slice(),
    *,
    condition: str = "true",
) -> Content:
    (row,) = await store.rows(
        f"SELECT count() AS pushed_rows, {shape.digest} AS pushed_digest "
        f"FROM {table} {shape.final} WHERE {condition} AND {shape.where(part)}",
        parameters=part.parameters,
    )
    return Content(row["pushed_rows"], row["pushed_digest"])


def _require(table: str, wanted: Content, there: Content) -> None:
    if there != wanted:
        raise errors.Stop(
            f"{table} did not arrive whole: {wanted.rows:,} rows with digest {wanted.digest} were "
            f"sent, {there.rows:,} with {there.digest} are there. Push again; what is there is "
            "compared first"
        )


def _between(bounds: list[str | None]) -> Iterator[_Slice]:
    return itertools.starmap(_Slice, itertools.pairwise(bounds))
