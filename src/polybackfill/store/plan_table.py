"""`wallet_backfill_plan` and `condition_backfill_plan`: one row per key with its current status.

A plain SELECT shows each key once, at every moment: statuses change in place (ALTER TABLE … UPDATE,
many keys at a time), and a plan that is ranked anew replaces the old one in a single exchange. The
operator may change statuses with plain SQL whenever he likes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import orjson

from polybackfill.store import client, query_files

# kind of unit → table, key column
TABLES = {
    "wallets": ("wallet_backfill_plan", "wallet_address"),
    "conditions": ("condition_backfill_plan", "condition_id"),
}
# Of a key that nobody planned: a run of everything found it, in the table named behind this.
FOUND_IN_RUN = "found in "
_NAMED = f"{FOUND_IN_RUN}the words of a run"
# Keys of a list that somebody planned.
IS_LISTED = f"NOT startsWith(source, '{FOUND_IN_RUN}')"
# Nobody knows how much a listed key has that came without a figure.
IS_UNSIZED = f"(trade_count = 0 AND {IS_LISTED})"
# What a run sets. People may also set `skip`: such a key takes part in no run.
STATUSES = ("pending", "in_progress", "done", "error")
_UPDATE = query_files.read("plan_statuses")
_EXTEND = query_files.read("plan_read_until")
# New keys stand behind those that are there, in their own order: no rank occurs twice.
_ADD = """
INSERT INTO {table} ({columns})
SELECT {key}, trade_count, notional,
    (SELECT max(priority_rank) FROM {table}) + row_number() OVER (ORDER BY priority_rank, {key}),
    status, attempts, source
FROM (SELECT * FROM {staging} LIMIT 1 BY {key})
WHERE {key} NOT IN (SELECT {key} FROM {table})
"""
# Figures that a new list has and that are not those of the plan.
_NEW_FIGURES = """
SELECT new.{key} AS key,
    if(new.trade_count = 0, old.trade_count, new.trade_count) AS trades,
    if(new.notional = 0, old.notional, new.notional) AS usd
FROM (SELECT * FROM {staging} LIMIT 1 BY {key}) AS new
INNER JOIN {table} AS old ON new.{key} = old.{key}
WHERE trades != old.trade_count OR usd != old.notional
"""
_CORRECT = """
ALTER TABLE {table} UPDATE
    trade_count = transform({key}, {{keys:Array(String)}}, {{trades:Array(UInt64)}}, trade_count),
    notional = transform({key}, {{keys:Array(String)}}, {{usd:Array(Float64)}}, notional)
WHERE {key} IN {{keys:Array(String)}}
"""
_MESSAGE_MAX_CHARS = 300
# The values of one UPDATE travel in a URL, which ClickHouse takes up to 1 MB.
_UPDATES_MAX = 500
_KEYS_MAX = 10_000
_NOTE = f"""
INSERT INTO {{table}} ({{key}}, priority_rank, source)
SELECT named, (SELECT max(priority_rank) FROM {{table}}) + rowNumberInAllBlocks() + 1, '{_NAMED}'
FROM (SELECT arrayJoin({{{{keys:Array(String)}}}}) AS named)
WHERE named NOT IN (SELECT {{key}} FROM {{table}})
"""
_INSERT_MAX = 100_000


@dataclass(frozen=True)
class PlanRow:
    """One key of a plan. `priority_rank` from 1; `notional` in USD."""

    key: str
    priority_rank: int
    trade_count: int = 0
    notional: float = 0.0
    status: str = "pending"
    attempts: int = 0
    source: str = ""

    @property
    def expected_rows(self) -> int | None:
        """None where nobody knows; of what a run has found, none is a figure."""
        return self.trade_count or (0 if self.source.startswith(FOUND_IN_RUN) else None)


@dataclass(frozen=True)
class PlanUpdate:
    """What a key's row shall say from now on. `last_run_at` and `read_until` in epoch seconds,
    None: as it was.
    """

    key: str
    status: str
    error_message: str = ""
    last_run_at: int | None = None
    attempts: int = 0
    read_until: int | None = None


@dataclass(frozen=True)
class Extension:
    """A key was read from `since` to `until` by a walk that ended at `ran_at`; epoch seconds."""

    key: str
    since: int
    until: int
    ran_at: int


def count_portion(keys: int, *, limit: int | None, skip: int) -> int:
    """How many of `keys` a run takes that skips the first ones and takes at most `limit`."""
    left = max(0, keys - skip)
    return left if limit is None else min(left, limit)


class PlanTable:
    """Both plans of one store. Raises what the store raises."""

    def __init__(self, store: client.Store) -> None:
        self._store = store

    async def apply(self, kind: str, updates: Iterable[PlanUpdate], *, now: int) -> None:
        """Set the rows of these keys; returns when every SELECT shows it. Unknown keys: nothing.

        `now`: epoch seconds for `updated_at`. Of several updates of a key the last one counts.
        """
        latest = list({update.key: update for update in updates}.values())
        for first in range(0, len(latest), _UPDATES_MAX):
            await self._apply(kind, latest[first : first + _UPDATES_MAX], now)

    async def _apply(self, kind: str, updates: Sequence[PlanUpdate], now: int) -> None:
        table, key = TABLES[kind]
        ran = [update for update in updates if update.last_run_at is not None]
        read = [update for update in updates if update.read_until is not None]
        await self._store.command(
            _UPDATE.format(table=table, key=key),
            parameters={
                "keys": [update.key for update in updates],
                "statuses": [update.status for update in updates],
                "messages": [update.error_message[:_MESSAGE_MAX_CHARS] for update in updates],
                "attempts": [update.attempts for update in updates],
                "ran": [update.key for update in ran],
                "runs": [update.last_run_at or 0 for update in ran],
                "read": [update.key for update in read],
                "until": [update.read_until or 0 for update in read],
                "now": now,
            },
        )

    async def extend(self, kind: str, extensions: Sequence[Extension], *, now: int) -> None:
        """Note readings of windows on the rows that are done; what begins behind the end of the
        reading before it proves nothing and changes nothing.
        """
        table, key = TABLES[kind]
        for first in range(0, len(extensions), _UPDATES_MAX):
            chunk = extensions[first : first + _UPDATES_MAX]
            await self._store.command(
                _EXTEND.format(table=table, key=key),
                parameters={
                    "keys": [one.key for one in chunk],
                    "since": [one.since for one in chunk],
                    "until": [one.until for one in chunk],
                    "runs": [one.ran_at for one in chunk],
                    "now": now,
                },
            )

    async def load(
        self,
        kind: str,
        *,
        statuses: Sequence[str] = ("pending",),
        chunk: int = 10_000,
        behind: PlanRow | None = None,
        listed_only: bool = False,
    ) -> AsyncIterator[list[PlanRow]]:
        """The rows with one of these statuses in order of rank, some at a time.

        `behind`: begin with the row after this one; `listed_only`: none that a run has found.
        """
        table, key = TABLES[kind]
        which = IS_LISTED if listed_only else "true"
        after: dict[str, str | int] = {"rank": 0, "key": ""}
        if behind is not None:
            after = {"rank": behind.priority_rank, "key": behind.key}
        while True:
            rows = await self._store.rows(
                f"SELECT {key} AS key, priority_rank, trade_count, notional, "
                f"toString(status) AS status, attempts, toString(source) AS source FROM {table} "
                f"WHERE toString(status) IN {{statuses:Array(String)}} AND {which} "
                f"AND (priority_rank, {key}) > ({{rank:UInt32}}, {{key:String}}) "
                f"ORDER BY priority_rank, {key} LIMIT {{chunk:UInt32}}",
                parameters={**after, "statuses": list(statuses), "chunk": chunk},
            )
            if not rows:
                return
            yield [PlanRow(**row) for row in rows]
            after = {"rank": rows[-1]["priority_rank"], "key": rows[-1]["key"]}

    async def counts(self, kind: str) -> dict[str, int]:
        """Keys by status; every status of a run is named."""
        table, _ = TABLES[kind]
        rows = await self._store.rows(
            f"SELECT toString(status) AS status, count() AS keys FROM {table} GROUP BY status"
        )
        return {**dict.fromkeys(STATUSES, 0), **{row["status"]: row["keys"] for row in rows}}

    async def count_listed(self, kind: str) -> dict[str, int]:
        """Keys of planned lists by status; {} when nobody planned one."""
        table, _ = TABLES[kind]
        rows = await self._store.rows(
            f"SELECT toString(status) AS status, count() AS keys FROM {table} "
            f"WHERE {IS_LISTED} GROUP BY status ORDER BY status"
        )
        return {row["status"]: row["keys"] for row in rows}

    async def listed_among(self, kind: str, keys: Sequence[str]) -> set[str]:
        """Those of these keys that stand in planned lists."""
        table, key = TABLES[kind]
        listed: set[str] = set()
        for first in range(0, len(keys), _UPDATES_MAX):
            rows = await self._store.rows(
                f"SELECT {key} AS key FROM {table} "
                f"WHERE {IS_LISTED} AND {key} IN {{keys:Array(String)}}",
                parameters={"keys": list(keys[first : first + _UPDATES_MAX])},
            )
            listed.update(row["key"] for row in rows)
        return listed

    async def release(self, kind: str) -> int:
        """Nobody works on this plan: in_progress becomes pending. Returns how many were."""
        return await self.set_back(kind, ("in_progress",))

    async def set_back(self, kind: str, statuses: Sequence[str]) -> int:
        """Rows with one of these statuses become pending. Returns how many there were."""
        counts = await self.counts(kind)
        planned = sum(counts[status] for status in statuses)
        if planned:
            table, _ = TABLES[kind]
            await self._store.command(
                f"ALTER TABLE {table} UPDATE status = 'pending', error_message = '' "
                "WHERE toString(status) IN {statuses:Array(String)}",
                parameters={"statuses": list(statuses)},
            )
        return planned

    async def reopen(
        self, kind: str, keys: Sequence[str], *, statuses: Sequence[str] = ("done", "error")
    ) -> None:
        """These keys have to be fetched again: what is done or in error becomes pending."""
        table, key = TABLES[kind]
        for first in range(0, len(keys), _KEYS_MAX):
            await self._store.command(
                f"ALTER TABLE {table} UPDATE status = 'pending', error_message = '' "
                f"WHERE {key} IN {{keys:Array(String)}} "
                "AND toString(status) IN {statuses:Array(String)}",
                parameters={
                    "keys": list(keys[first : first + _KEYS_MAX]),
                    "statuses": list(statuses),
                },
            )

    async def planned(self, kind: str, keys: Sequence[str]) -> int:
        """How many of these keys the plan holds."""
        table, key = TABLES[kind]
        planned = 0
        for first in range(0, len(keys), _UPDATES_MAX):
            rows = await self._store.rows(
                f"SELECT count() AS held FROM {table} WHERE {key} IN {{keys:Array(String)}}",
                parameters={"keys": list(keys[first : first + _UPDATES_MAX])},
            )
            planned += rows[0]["held"]
        return planned

    async def pending_among(self, kind: str, keys: Sequence[str]) -> list[str]:
        """Those of these keys that the plan shows as pending."""
        table, key = TABLES[kind]
        pending: list[str] = []
        for first in range(0, len(keys), _UPDATES_MAX):
            rows = await self._store.rows(
                f"SELECT {key} AS key FROM {table} "
                f"WHERE status = 'pending' AND {key} IN {{keys:Array(String)}}",
                parameters={"keys": list(keys[first : first + _UPDATES_MAX])},
            )
            pending += [row["key"] for row in rows]
        return pending

    async def add(self, kind: str, rows: Iterable[PlanRow]) -> None:
        """Add the keys the plan does not hold yet, behind the others. Of those only this changes:
        figures that the list has, and one that a run has found belongs to the list from now on.
        """
        table, key = TABLES[kind]
        staging = await self._stage(table, key, rows)
        await self._adopt(table, key, staging)
        await self._correct(table, key, staging)
        await self._store.command(
            _ADD.format(table=table, key=key, staging=staging, columns=_columns(key))
        )
        await self._store.command(f"DROP TABLE {staging}")

    async def note(self, kind: str, keys: Sequence[str]) -> None:
        """Add those that the plan does not hold yet, behind the others, as found: no list of them
        was planned, but what is read of them shall be known.
        """
        table, key = TABLES[kind]
        for first in range(0, len(keys), _UPDATES_MAX):
            await self._store.command(
                _NOTE.format(table=table, key=key),
                parameters={"keys": list(keys[first : first + _UPDATES_MAX])},
            )

    async def _correct(self, table: str, key: str, staging: str) -> None:
        named = {"table": table, "key": key, "staging": staging}
        rows = await self._store.rows(_NEW_FIGURES.format(**named))
        for first in range(0, len(rows), _UPDATES_MAX):
            chunk = rows[first : first + _UPDATES_MAX]
            await self._store.command(
                _CORRECT.format(**named),
                parameters={
                    "keys": [row["key"] for row in chunk],
                    "trades": [row["trades"] for row in chunk],
                    "usd": [row["usd"] for row in chunk],
                },
            )

    async def _adopt(self, table: str, key: str, staging: str) -> None:
        rows = await self._store.rows(
            f"SELECT {key} AS key, toString(source) AS source FROM {staging} WHERE {key} IN "
            f"(SELECT {key} FROM {table} WHERE NOT ({IS_LISTED}))"
        )
        for first in range(0, len(rows), _UPDATES_MAX):
            chunk = rows[first : first + _UPDATES_MAX]
            await self._store.command(
                f"ALTER TABLE {table} UPDATE source = {{source:String}} "
                f"WHERE {key} IN {{keys:Array(String)}}",
                parameters={"source": chunk[0]["source"], "keys": [row["key"] for row in chunk]},
            )

    async def regenerate(self, kind: str, rows: Iterable[PlanRow], *, backup: str) -> None:
        """Rank the plan anew: known keys keep status and history, new ones are pending, vanished
        ones stay and are ranked last. The old table stays as `backup`.
        """
        table, key = TABLES[kind]
        staging = await self._stage(table, key, rows)
        fresh = f"{table}_fresh"
        await self._store.command(f"DROP TABLE IF EXISTS {fresh}")
        await self._store.command(f"CREATE TABLE {fresh} AS {table}")
        await self._store.command(_merged(table, key, staging, fresh))
        await self._store.command(f"EXCHANGE TABLES {table} AND {fresh}")
        await self._store.command(f"RENAME TABLE {fresh} TO {_identifier(backup)}")
        await self._store.command(f"DROP TABLE {staging}")

    async def _stage(self, table: str, key: str, rows: Iterable[PlanRow]) -> str:
        staging = f"{table}_staging"
        await self._store.command(f"DROP TABLE IF EXISTS {staging}")
        await self._store.command(f"CREATE TABLE {staging} AS {table}")
        lines = [_line(row, key) for row in rows]
        for first in range(0, len(lines), _INSERT_MAX):
            chunk = lines[first : first + _INSERT_MAX]
            await self._store.insert(staging, b"\n".join(chunk), rows=len(chunk))
        return staging


def _line(row: PlanRow, key: str) -> bytes:
    return orjson.dumps(
        {
            key: row.key,
            "trade_count": row.trade_count,
            "notional": row.notional,
            "priority_rank": row.priority_rank,
            "status": row.status,
            "attempts": row.attempts,
            "source": row.source,
        }
    )


def _columns(key: str) -> str:
    return f"{key}, trade_count, notional, priority_rank, status, attempts, source"


def _merged(table: str, key: str, staging: str, fresh: str) -> str:
    history = "status, error_message, last_run_at, read_until, ingested_at, updated_at, attempts"
    return f"""
        INSERT INTO {fresh}
            ({key}, trade_count, notional, priority_rank, {history}, source)
        SELECT new.{key}, new.trade_count, new.notional, new.priority_rank,
            {_kept(history)}, new.source
        FROM (SELECT * FROM {staging} LIMIT 1 BY {key}) AS new
        LEFT JOIN (SELECT 1 AS known, {key}, {history} FROM {table}) AS old ON new.{key} = old.{key}
        UNION ALL
        SELECT {key}, trade_count, notional,
            (SELECT max(priority_rank) FROM {staging})
                + row_number() OVER (ORDER BY priority_rank, {key}),
            {history}, source
        FROM {table} WHERE {key} NOT IN (SELECT {key} FROM {staging})
        SETTINGS join_use_nulls = 0
    """


def _kept(history: str) -> str:
    return ", ".join(f"if(old.known = 1, old.{name}, new.{name})" for name in history.split(", "))


def _identifier(name: str) -> str:
    if not name.replace("_", "").isalnum():
        raise ValueError(f"not a table name: {name!r}")
    return name
