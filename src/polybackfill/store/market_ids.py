"""Market ids of stored trades: which are missing, filling them in, and taking that back.

`external_trades_raw` is filled by one ALTER TABLE … UPDATE for up to `_SLICE` conditions: it writes
the column anew and leaves the others and the projection alone (0.2 s for a million rows). What is
written comes from rows of `market_id_fills`, never from text in a statement. The user's own
`trades_raw` is only read; for it there is `condition_market_ids` to join.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import orjson

from polybackfill.store import client, query_files

TRADES = "external_trades_raw"
USER_TRADES = "trades_raw"
# What stands where no id is known; 'unknown' is what other programs write.
_LACKING = "market_id IN ('', 'unknown')"
_TOKENS = 8
_SLICE = 200_000  # conditions of one UPDATE: their ids are two arrays in the store's memory
_INSERT_ROWS = 100_000

_MISSING_HERE = f"""
    SELECT condition_id, count() AS trades, toUInt64(0) AS user_trades,
        groupUniqArrayIf({_TOKENS})(token_id, token_id != '') AS tokens
    FROM {TRADES} WHERE {_LACKING} AND length(condition_id) = 64 GROUP BY condition_id
"""
# The user's table may hold ids with 0x, in capitals, and nulls.
_USER_CONDITION = "replaceOne(lower(ifNull(toString(condition_id), '')), '0x', '')"
_MISSING_THERE = f"""
    SELECT {_USER_CONDITION} AS condition_id, toUInt64(0) AS trades, count() AS user_trades,
        CAST([], 'Array(String)') AS tokens
    FROM {USER_TRADES}
    WHERE ifNull(toString(market_id), '') IN ('', 'unknown') AND length(condition_id) = 64
    GROUP BY condition_id
"""
_OF_CONDITIONS = """
SELECT sum(held) AS trades, sum(held - lacking) AS with_id, count() AS conditions,
    countIf(lacking = 0) AS conditions_with_id
FROM ({by_condition})
"""
_COVERAGE = _OF_CONDITIONS.format(
    by_condition=f"""
    SELECT condition_id, count() AS held, countIf({_LACKING}) AS lacking
    FROM {TRADES} GROUP BY condition_id"""
)
_TAKEN = """
(condition_id, market_id) IN (
        SELECT condition_id, market_id FROM market_id_fills
        WHERE apply_id = {apply_id:UInt64} AND empty(trade_ids))
    OR external_trade_id IN (
        SELECT arrayJoin(trade_ids) FROM market_id_fills WHERE apply_id = {apply_id:UInt64})
"""
_COVERAGE_WITHOUT = _OF_CONDITIONS.format(
    by_condition=f"""
    SELECT condition_id, count() AS held, countIf({_LACKING} OR {_TAKEN}) AS lacking
    FROM {TRADES} GROUP BY condition_id"""
)
# `but` names an apply whose mappings do not count; there is none of number 0.
_USER_COVERAGE = _OF_CONDITIONS.format(
    by_condition=f"""
    SELECT condition, held, if(condition IN (
        SELECT condition_id FROM condition_market_id_rows FINAL WHERE version != {{but:UInt64}}
    ), 0, without) AS lacking
    FROM (
        SELECT {_USER_CONDITION} AS condition, count() AS held,
            countIf(ifNull(toString(market_id), '') IN ('', 'unknown')) AS without
        FROM {USER_TRADES} GROUP BY condition)"""
)
_FILLS = f"""
INSERT INTO market_id_fills (apply_id, slice, condition_id, market_id, trades, trade_ids)
SELECT {{apply_id:UInt64}}, cityHash64(t.condition_id) % {{slices:UInt32}}, t.condition_id,
    known.market_id, t.lacking, mixed.trade_ids
FROM
(
    SELECT condition_id, countIf({_LACKING}) AS lacking
    FROM {TRADES} GROUP BY condition_id HAVING lacking > 0
) AS t
INNER JOIN condition_market_ids AS known ON known.condition_id = t.condition_id
LEFT JOIN
(
    SELECT condition_id, groupArray(external_trade_id) AS trade_ids
    FROM {TRADES}
    WHERE {_LACKING} AND condition_id IN (
        SELECT condition_id FROM {TRADES} GROUP BY condition_id
        HAVING countIf({_LACKING}) > 0 AND countIf(NOT {_LACKING}) > 0)
    GROUP BY condition_id
) AS mixed ON mixed.condition_id = t.condition_id
"""
_OF_SLICE = "apply_id = {apply_id:UInt64} AND slice = {slice:UInt32}"
_COLUMN = f"""
(SELECT groupArray({{column}}) FROM (
    SELECT DISTINCT condition_id, market_id FROM market_id_fills
    WHERE {_OF_SLICE} ORDER BY condition_id))
"""
_KEYS, _IDS = (_COLUMN.replace("{column}", name) for name in ("condition_id", "market_id"))
_UPDATE = f"""
ALTER TABLE {TRADES} UPDATE market_id = transform(condition_id, {_KEYS}, {_IDS}, market_id)
WHERE {_LACKING} AND condition_id IN (SELECT condition_id FROM market_id_fills WHERE {_OF_SLICE})
SETTINGS allow_nondeterministic_mutations = 1
"""
_TAKE_BACK = f"""
ALTER TABLE {TRADES} UPDATE market_id = '' WHERE {_TAKEN}
SETTINGS allow_nondeterministic_mutations = 1
"""
_KNOWN = query_files.read("known_market_ids")
_DIMENSION = f"""
SELECT reinterpretAsUInt64(reverse(substring(unhex(condition_id), 1, 8))) AS high,
    reinterpretAsUInt64(reverse(substring(unhex(condition_id), 9, 8))) AS low,
    toUInt64OrZero(market) AS number
FROM ({_KNOWN.format(applied="1", listed="1")})
WHERE number > 0 ORDER BY high, low
"""
# What is known of the conditions that were traded; at last the id that stands on the trades.
_KNOWN_OF_TRADED = f"""
WITH traded AS ({{traded}}),
known AS (
    {_KNOWN.format(applied="condition_id IN (traded)", listed="condition_id IN (traded)")}
)
SELECT condition_id, if(known.market = '', carried.market, known.market) AS market_id
FROM traded
LEFT JOIN known USING (condition_id)
LEFT JOIN (
    SELECT condition_id, anyIf(market_id, NOT {_LACKING}) AS market
    FROM {TRADES} GROUP BY condition_id
) AS carried USING (condition_id)
WHERE market_id != '' AND length(condition_id) = 64 AND match(condition_id, '^[0-9a-f]+$')
ORDER BY condition_id
SETTINGS join_use_nulls = 0
"""
_TRADED_HERE = f"SELECT DISTINCT condition_id FROM {TRADES}"
_TRADED_THERE = f"SELECT DISTINCT {_USER_CONDITION} AS condition_id FROM {USER_TRADES}"
_WITHDRAW = """
INSERT INTO condition_market_id_rows
    (condition_id, market_id, source, verified_at, version, is_deleted)
SELECT condition_id, market_id, source, verified_at, {version:UInt64}, 1
FROM condition_market_id_rows FINAL WHERE version = {apply_id:UInt64}
"""


@dataclass(frozen=True, slots=True)
class Missing:
    """A condition some of whose trades carry no market id.

    `trades`, `user_trades`: how many in external_trades_raw and trades_raw; `tokens`: up to 8 token
    ids seen in the former.
    """

    condition_id: str
    trades: int
    user_trades: int
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A market of a list: its condition, id and token ids ('' and () where the list has none)."""

    condition_id: str
    market_id: str
    token_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Coverage:
    """Trades, those with a market id, conditions, and those all of whose trades have one."""

    trades: int = 0
    with_id: int = 0
    conditions: int = 0
    conditions_with_id: int = 0

    @property
    def share(self) -> float | None:
        """Part of the trades with an id, 0 … 1; None without trades."""
        return self.with_id / self.trades if self.trades else None


@dataclass(frozen=True)
class Apply:
    """One apply that has not been taken back. `apply_id`: the millisecond it began in."""

    apply_id: int
    source: str
    conditions: int
    trades: int
    mappings: int


class MarketIds:
    """The market ids of one store. Raises what the store raises."""

    def __init__(self, store: client.Store) -> None:
        self._store = store

    async def coverage(self, *, without: Apply | None = None) -> Coverage:
        """Of `external_trades_raw`, as it is, or would be with an apply taken back."""
        if without is None:
            return await self._coverage(_COVERAGE)
        return await self._coverage(_COVERAGE_WITHOUT, {"apply_id": without.apply_id})

    async def user_coverage(self, *, without: Apply | None = None) -> Coverage | None:
        """Of the user's `trades_raw` joined with `condition_market_ids`; None when it has no
        market ids to speak of.
        """
        if not await self._user_has_ids():
            return None
        return await self._coverage(_USER_COVERAGE, {"but": without.apply_id if without else 0})

    async def _coverage(self, sql: str, parameters: client.Parameters | None = None) -> Coverage:
        known_ids = (await self._store.rows(sql, parameters=parameters))[0]
        return Coverage(**{name: int(known_ids[name] or 0) for name in known_ids})

    async def missing(self, *, applied: bool = False) -> AsyncIterator[Missing]:
        """Conditions whose trades lack an id, those with most trades first.

        `applied`: also those whose id `condition_market_ids` holds, so that only a fill is due.
        """
        left_out = (
            "1"
            if applied
            else ("condition_id NOT IN (SELECT condition_id FROM condition_market_ids)")
        )
        async for fields in self._fields(
            "SELECT condition_id, sum(trades) AS here, sum(user_trades) AS there, "
            f"arrayStringConcat(groupUniqArrayArray({_TOKENS})(tokens), ',') "
            f"FROM ({await self._both()}) WHERE {left_out} AND match(condition_id, '^[0-9a-f]+$') "
            "GROUP BY condition_id ORDER BY here + there DESC, condition_id"
        ):
            condition, here, there, tokens = fields
            yield Missing(condition, int(here), int(there), _texts(tokens))

    async def listed_for_missing(self) -> AsyncIterator[Listed]:
        """What `api_markets_staging` knows of the conditions of `missing()`."""
        async for condition, market, tokens in self._fields(
            "SELECT condition_id, market_id, arrayStringConcat(token_ids, ',') "
            "FROM api_markets_staging WHERE market_id != '' "
            f"AND condition_id IN (SELECT condition_id FROM ({await self._both()})) "
            "AND condition_id NOT IN (SELECT condition_id FROM condition_market_ids)"
        ):
            yield Listed(condition, market, _texts(tokens))

    async def known_of_traded(self) -> AsyncIterator[Listed]:
        """The market of each traded condition, of either table, that the store knows."""
        traded = _TRADED_HERE
        if await self._user_has_ids():
            traded = f"{_TRADED_HERE} UNION DISTINCT {_TRADED_THERE}"
        async for condition, market in self._fields(_KNOWN_OF_TRADED.format(traded=traded)):
            yield Listed(condition, market)

    async def stream_lists(self) -> AsyncIterator[Listed]:
        """Every market id the lists know, with its condition."""
        async for condition, market in self._fields(
            "SELECT DISTINCT condition_id, market_id FROM api_market_rows "
            "WHERE market_id != '' AND condition_id != ''"
        ):
            yield Listed(condition, market)

    async def applied(self) -> AsyncIterator[Listed]:
        """Every mapping in force."""
        async for condition, market in self._fields(
            "SELECT condition_id, market_id FROM condition_market_ids"
        ):
            yield Listed(condition, market)

    async def dimension(self) -> bytes:
        """Every condition whose market is known, applied or listed, in order of condition.

        24 bytes each, little endian: the first 8 bytes of the condition as a number, the next 8,
        the market id.
        """
        return await self._store.text(_DIMENSION, "RowBinary")

    async def learned(self, since: int, *, most: int) -> dict[str, str] | None:
        """Condition → market id of what was applied or listed since then, epoch seconds.

        None when that is more than `most` conditions; `dimension` is the way to read many.
        """
        rows = self._fields(
            _KNOWN.format(
                applied="version >= {since:UInt32} * 1000", listed="fetched_at >= {since:UInt32}"
            )
            + "LIMIT {limit:UInt32}",
            {"since": since, "limit": most + 1},
        )
        known_ids = {condition: market async for condition, market in rows}
        return known_ids if len(known_ids) <= most else None

    async def apply(
        self, mappings: Sequence[Listed], *, source: str, by: str, now: float
    ) -> Apply | None:
        """Add the mappings to those in force, and fill all trades whose id is known then.

        `source`: where the map came from, for people; `by`: who knew, stored with each mapping;
        `now`: epoch seconds. None when there was nothing to add and nothing to fill. Killed at any
        moment and done again, it ends with the same ids; each step is recorded before it is taken.
        The mappings must be new: the caller has checked them against `applied()`.
        """
        apply_id = await self._next_id(now)
        if not mappings and not await self._fillable():
            return None
        await self._note(apply_id, "apply", source, now)
        for first in range(0, len(mappings), _INSERT_ROWS):
            chunk = mappings[first : first + _INSERT_ROWS]
            lines = [
                orjson.dumps(
                    {
                        "condition_id": one.condition_id,
                        "market_id": one.market_id,
                        "source": by,
                        "verified_at": int(now),
                        "version": apply_id,
                    }
                )
                for one in chunk
            ]
            await self._store.insert("condition_market_id_rows", b"\n".join(lines), rows=len(lines))
        slices = max(1, math.ceil(await self._fillable() / _SLICE))
        await self._store.command(_FILLS, parameters={"apply_id": apply_id, "slices": slices})
        for slice_ in range(slices):
            await self._change_trades(_UPDATE, {"apply_id": apply_id, "slice": slice_})
        return await self._described(apply_id, source)

    async def last_apply(self) -> Apply | None:
        """The newest apply that has not been taken back."""
        rows = await self._store.rows(
            "SELECT apply_id, any(source) AS source FROM market_id_apply_log GROUP BY apply_id "
            "HAVING countIf(action = 'revert') = 0 ORDER BY apply_id DESC LIMIT 1"
        )
        return await self._described(rows[0]["apply_id"], rows[0]["source"]) if rows else None

    async def revert(self, last: Apply, *, now: float) -> None:
        """Withdraw the mappings of an apply and empty the ids it filled, to the trade."""
        named = {"apply_id": last.apply_id}
        version = await self._next_id(now)
        await self._store.command(_WITHDRAW, parameters={**named, "version": version})
        await self._change_trades(_TAKE_BACK, named)
        await self._note(last.apply_id, "revert", last.source, now)

    async def _change_trades(self, sql: str, parameters: client.Parameters) -> None:
        """Each server changes its own trades, by its own rows of `market_id_fills`."""
        for server in self._store.servers:
            await server.command(sql, parameters=parameters)

    async def _described(self, apply_id: int, source: str) -> Apply:
        named = {"apply_id": apply_id}
        filled = await self._store.rows(
            "SELECT count() AS conditions, sum(trades) AS trades FROM market_id_fills "
            "WHERE apply_id = {apply_id:UInt64}",
            parameters=named,
        )
        counts = await self._store.rows(
            "SELECT count() AS mappings FROM condition_market_id_rows FINAL "
            "WHERE version = {apply_id:UInt64}",
            parameters=named,
        )
        return Apply(apply_id, source, **filled[0], **counts[0])

    async def _next_id(self, now: float) -> int:
        """The millisecond, later than that of any apply and mapping before it."""
        rows = await self._store.rows(
            "SELECT greatest((SELECT max(apply_id) FROM market_id_apply_log), "
            "(SELECT max(version) FROM condition_market_id_rows)) AS newest"
        )
        return max(int(now * 1000), int(rows[0]["newest"]) + 1)

    async def _note(self, apply_id: int, action: str, source: str, now: float) -> None:
        line = orjson.dumps({"apply_id": apply_id, "action": action, "source": source, "at": now})
        await self._store.insert("market_id_apply_log", line, rows=1)

    async def _fillable(self) -> int:
        """Conditions that lack ids the mappings in force know."""
        rows = await self._store.rows(
            f"SELECT uniqExact(condition_id) AS n FROM {TRADES} WHERE {_LACKING} "
            "AND condition_id IN (SELECT condition_id FROM condition_market_ids)"
        )
        return int(rows[0]["n"])

    async def _both(self) -> str:
        """The query for what lacks ids, in our table and in the user's where it has the columns."""
        if not await self._user_has_ids():
            return _MISSING_HERE
        return f"{_MISSING_HERE} UNION ALL {_MISSING_THERE}"

    async def _user_has_ids(self) -> bool:
        rows = await self._store.rows(
            "SELECT count() AS n FROM system.columns WHERE database = currentDatabase() "
            f"AND table = '{USER_TRADES}' AND name IN ('condition_id', 'market_id')"
        )
        return int(rows[0]["n"]) == 2

    async def _fields(
        self, sql: str, parameters: client.Parameters | None = None
    ) -> AsyncIterator[list[str]]:
        """Rows of a long result as texts; none of the columns holds a tab."""
        rest = b""
        async for piece in self._store.stream(sql, parameters=parameters):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode().split("\t")


def _texts(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()
