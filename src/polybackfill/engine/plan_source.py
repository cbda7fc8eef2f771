"""From the plan to units: which keys a part fetches, in rank order, read as they are needed.

The checkpoint knows what is proven, the plan table what people see and may change. A row that says
pending although the checkpoint has its end, and although the table was told so, was set back by a
person: the checkpoint forgets it and it is fetched again, also when it is typed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from polybackfill import clocks, errors, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints
from polybackfill.store import client, plan_table

log = structlog.get_logger()

_CHUNK_ROWS = 5_000
_AGAIN_S = 5.0  # the store is away: ask again for the next rows of the plan
_OPEN = ("pending", "in_progress")
_BY_STATUS = """
SELECT toString(status) AS status, count() AS keys FROM {table} WHERE {which} GROUP BY status
"""
# `more_pages`: of keys that are asked for one by one, the full pages before the last one.
_BEHIND = f"""
SELECT count() AS keys, sum(trade_count) AS rows, countIf(is_unsized) AS unsized,
    sum(intDiv(trade_count, {endpoints.PAGE_ROWS})) AS more_pages
FROM
(
    SELECT trade_count, {plan_table.IS_UNSIZED} AS is_unsized FROM {{table}}
    WHERE toString(status) IN {{{{statuses:Array(String)}}}} AND {{which}}
        AND (priority_rank, {{key}}) > ({{{{rank:UInt32}}}}, {{{{last:String}}}})
    {{choice}}
)
"""
_CHOICE = "ORDER BY priority_rank, {key} LIMIT {{limit:UInt64}} OFFSET {{skip:UInt64}}"


@dataclass(frozen=True)
class WorkEstimate:
    """What a part has before it: keys in all, requests of those not yet handed out, `unsized` keys
    among these of which nobody knows the size.

    `done_before`, `failed_before`: of the keys, those that earlier runs ended and this one is not
    even shown. `again`: of those done before, the ones that this run reads again.
    """

    keys: int = 0
    requests: int = 0
    done_before: int = 0
    failed_before: int = 0
    again: int = 0
    unsized: int = 0

    def without(self, unit: units.Unit) -> WorkEstimate:
        """When this unit was handed out."""
        requests = registry.KINDS[unit.kind].requests(len(unit.keys), unit.expected_rows)
        unsized = len(unit.keys) if unit.expected_rows is None else 0
        return dataclasses.replace(
            self,
            requests=max(0, self.requests - requests),
            unsized=max(0, self.unsized - unsized),
        )

    def handed_out(self) -> WorkEstimate:
        """When every unit was."""
        return dataclasses.replace(self, requests=0, unsized=0)


@dataclass(frozen=True)
class Selection:
    """Which of the pending keys a run takes. `listed_only`: none that an earlier run has found."""

    window: units.Window = units.FULL_HISTORY
    limit: int | None = None
    skip: int = 0
    listed_only: bool = False

    @property
    def takes_all(self) -> bool:
        """Everything."""
        return self.limit is None and self.skip == 0

    @property
    def full_history(self) -> bool:
        """No window: what is done this way is done for the plan."""
        return self.window == units.FULL_HISTORY

    def count_taken(self, count: int) -> int:
        """How many of `count` keys are taken."""
        return plan_table.count_portion(count, limit=self.limit, skip=self.skip)


class ShardFilter(Protocol):
    """Which keys of a job are this daemon's; `generation` grows when some are added."""

    generation: int

    def is_mine(self, key: str) -> bool: ...


class UnitSource(Protocol):
    """Where the units of a part come from. `known`: what is known of them by now; `counted`:
    whether that says anything yet, also where it is nothing; `took_s`: seconds that one more
    listing takes, which a source that follows others ends with; `is_behind`: it begins when
    others have ended; `rests`: it has named all there is by now, and goes on later.
    """

    @property
    def known(self) -> WorkEstimate: ...

    @property
    def counted(self) -> bool: ...

    @property
    def took_s(self) -> float: ...

    @property
    def is_behind(self) -> bool: ...

    @property
    def rests(self) -> bool: ...

    async def expected(self) -> WorkEstimate:
        """Ask what is known before the run."""

    def units(self) -> AsyncIterator[units.Unit]:
        """The units, in the order in which they shall be taken."""


class ExplicitKeys:
    """Keys given on the command line. `plan`: where a person may have set one back; None is not
    asked. `skip` and `limit` count the keys that have not ended, so that a list can be taken in
    portions.
    """

    counted = True
    took_s = 0.0
    is_behind = False
    rests = False

    def __init__(
        self,
        kind: str,
        keys: Sequence[str],
        selection: Selection,
        checkpoint: run_checkpoint.Checkpoint,
        plan: plan_table.PlanTable | None = None,
    ) -> None:
        self._kind = kind
        self._all_keys = keys
        self._keys: Sequence[str] | None = None
        self._selection = selection
        self._checkpoint = checkpoint
        self._plan = plan
        self.known = WorkEstimate()

    async def expected(self) -> WorkEstimate:
        """A request for each, or each batch; of those with trades that is the least it can be."""
        keys, window = await self._chosen(), self._selection.window
        done = sum(self._checkpoint.is_done(self._kind, key, window) for key in keys)
        left = len(keys) - done
        requests = registry.KINDS[self._kind].requests(left)
        self.known = WorkEstimate(len(keys), requests, unsized=left if self._is_weighed else 0)
        return self.known

    async def units(self) -> AsyncIterator[units.Unit]:
        """Units in the order given."""
        keys, window = await self._chosen(), self._selection.window
        rows = None if self._is_weighed else 0
        for unit in _build_units(self._kind, [(key, rows) for key in keys], window):
            if not has_ended(self._checkpoint, unit):
                self.known = self.known.without(unit)
            yield unit
        self.known = self.known.handed_out()

    @property
    def _is_weighed(self) -> bool:
        """A plan would tell rows of such keys; where there is none, nobody does."""
        return self._kind in plan_table.TABLES

    async def _chosen(self) -> Sequence[str]:
        if self._keys is not None:
            return self._keys
        if self._plan is not None and self._kind in plan_table.TABLES:
            if self._selection.full_history:
                await self._plan.note(self._kind, self._all_keys)
            pending = await self._plan.pending_among(self._kind, self._all_keys)
            _forget_reset_keys(self._kind, pending, self._checkpoint)
        self._keys = self._all_keys
        if not self._selection.takes_all:
            window, ended = self._selection.window, self._checkpoint.has_ended
            left = [key for key in self._all_keys if not ended(self._kind, key, window)]
            self._keys = left[self._selection.skip :][: self._selection.limit]
        return self._keys


class PlannedKeys:
    """Keys of a plan table in rank order: the open ones, or with a window all of them.

    The status in the table speaks of the whole history, so it says nothing about a window: there
    `skip` and `limit` count the keys that the checkpoint has not seen end with the same window.
    `shards`: of a job, which are this daemon's; when some are added the list begins anew.
    """

    counted = True
    took_s = 0.0
    is_behind = False
    rests = False

    def __init__(
        self,
        kind: str,
        store: client.Store,
        selection: Selection,
        checkpoint: run_checkpoint.Checkpoint,
        *,
        dry_run: bool,
        clock: clocks.Clock,
        shards: ShardFilter | None = None,
    ) -> None:
        self._kind = kind
        self._shards = shards
        self._generation = 0
        self._store = store
        self._selection = selection
        self._checkpoint = checkpoint
        self._dry_run = dry_run
        self._clock = clock
        self._statuses = _OPEN if selection.full_history else plan_table.STATUSES
        self._last: plan_table.PlanRow | None = None
        self._seen = 0
        self.known = WorkEstimate()

    async def expected(self) -> WorkEstimate:
        """Counted by the store: keys of all rows, requests of those behind the last one listed."""
        keys = await self._by_status()
        rows_read = sum(keys.get(status, 0) for status in self._statuses)
        requests, unsized = await self._behind()
        ended = 0
        if not self._selection.full_history:
            ended = min(rows_read, self._checkpoint.count_ended(self._kind, self._selection.window))
            requests = round(requests * (rows_read - ended) / rows_read) if rows_read else 0
        taken = self._selection.count_taken(rows_read - ended)
        if not (self._selection.takes_all and self._selection.full_history):
            in_all = taken + (ended if self._selection.takes_all else 0)
            self.known = WorkEstimate(in_all, requests, unsized=unsized)
            return self.known
        done, failed = keys.get("done", 0), keys.get("error", 0)
        self.known = WorkEstimate(taken + done + failed, requests, done, failed, unsized=unsized)
        return self.known

    async def _by_status(self) -> dict[str, int]:
        table, _ = plan_table.TABLES[self._kind]
        which = plan_table.IS_LISTED if self._selection.listed_only else "true"
        rows = await self._store.rows(_BY_STATUS.format(table=table, which=which))
        return {row["status"]: row["keys"] for row in rows}

    async def _behind(self) -> tuple[int, int]:
        """Requests of the keys not yet listed, and how many of these have no known size.

        Every wallet costs a request at least; twenty small conditions share one.
        """
        table, key = plan_table.TABLES[self._kind]
        kind, last = registry.KINDS[self._kind], self._last
        selection = "" if self._selection.takes_all else _CHOICE.format(key=key)
        limit = 2**62 if self._selection.limit is None else self._selection.limit
        (row,) = await self._store.rows(
            _BEHIND.format(
                table=table,
                key=key,
                which=plan_table.IS_LISTED if self._selection.listed_only else "true",
                choice=selection,
            ),
            parameters={
                "statuses": list(self._statuses),
                "rank": last.priority_rank if last else 0,
                "last": last.key if last else "",
                "limit": max(0, limit - max(0, self._seen - self._selection.skip)),
                "skip": max(0, self._selection.skip - self._seen),
            },
        )
        unsized = int(row["unsized"])
        if kind.keys_per_request > 1:
            return kind.requests(row["keys"], row["rows"]), unsized
        return kind.requests(row["keys"]) + int(row["more_pages"]), unsized

    async def units(self) -> AsyncIterator[units.Unit]:
        """Units in rank order; the table is read a few thousand rows at a time.

        Listed again, it goes on behind the last row: what is found later is ranked later.
        """
        end = (
            None if self._selection.limit is None else self._selection.skip + self._selection.limit
        )
        if self._shards is not None and self._shards.generation != self._generation:
            self._generation, self._last = self._shards.generation, None
        async for rows_read in self._own_rows():
            if not self._dry_run:
                pending = [row.key for row in rows_read if row.status == "pending"]
                _forget_reset_keys(self._kind, pending, self._checkpoint)
            rows = (
                rows_read
                if self._selection.takes_all
                else [row for row in rows_read if self._is_left(row)]
            )
            first = max(0, self._selection.skip - self._seen)
            chosen = rows[first : None if end is None else max(0, end - self._seen)]
            self._seen += len(rows)
            wanted = [(row.key, row.expected_rows) for row in chosen]
            for unit in _build_units(self._kind, wanted, self._selection.window):
                if not has_ended(self._checkpoint, unit):
                    self.known = self.known.without(unit)
                yield unit
            if end is not None and self._seen >= end:
                return

    async def _own_rows(self) -> AsyncIterator[list[plan_table.PlanRow]]:
        """Of a job those of this daemon."""
        async for rows in self._rows():
            shards = self._shards
            yield rows if shards is None else [row for row in rows if shards.is_mine(row.key)]

    async def _rows(self) -> AsyncIterator[list[plan_table.PlanRow]]:
        """The rows in question, whatever becomes of the store meanwhile."""
        plan = plan_table.PlanTable(self._store)
        while True:
            try:
                async for rows in plan.load(
                    self._kind,
                    statuses=self._statuses,
                    chunk=_CHUNK_ROWS,
                    behind=self._last,
                    listed_only=self._selection.listed_only,
                ):
                    self._last = rows[-1]
                    yield rows
            except errors.Retry as error:
                log.warning("plan.retry", kind=self._kind, error=str(error))
                await self._clock.sleep(_AGAIN_S)
            else:
                return

    def _is_left(self, row: plan_table.PlanRow) -> bool:
        return not self._checkpoint.has_ended(self._kind, row.key, self._selection.window)


def has_ended(checkpoint: run_checkpoint.Checkpoint, unit: units.Unit) -> bool:
    """Whether earlier runs have ended it, so that the queue leaves it out; of a batch all keys."""
    return all(checkpoint.has_ended(unit.kind, key, unit.window) for key in unit.keys)


def _forget_reset_keys(
    kind: str, pending: Sequence[str], checkpoint: run_checkpoint.Checkpoint
) -> None:
    """Of keys that the plan shows as pending, those with an end the table was told of: a person
    wants them done again.
    """
    reset = [
        key
        for key in pending
        if checkpoint.has_ended(kind, key) and checkpoint.is_synced(kind, key)
    ]
    if reset:
        log.info("plan.rows_were_reset", kind=kind, keys=len(reset), first=reset[0])
        checkpoint.forget(kind, reset)


def build_units(kind: str, keys: Sequence[str], window: units.Window) -> Iterator[units.Unit]:
    """The units of keys that were typed, of which nobody knows the rows."""
    return _build_units(kind, [(key, None) for key in keys], window)


def _build_units(
    kind: str, keys: Sequence[tuple[str, int | None]], window: units.Window
) -> Iterator[units.Unit]:
    keys_per_request = registry.KINDS[kind].keys_per_request
    if keys_per_request > 1:
        yield from units.pack(keys, kind=kind, window=window, max_keys=keys_per_request)
        return
    for key, rows in keys:
        yield units.Unit(kind, (key,), window[0], window[1], rows)
