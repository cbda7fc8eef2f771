"""From the plan to units: which keys a part fetches, in rank order, read as they are needed.

The ledger knows what is proven, the plan table what people see and may change. A row that says
pending although the ledger has its end, and although the table was told so, was set back by a
person: the ledger forgets it and it is fetched again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from polybackfill import clock as clocks
from polybackfill.daemon import worker
from polybackfill.store import client, plan_table
from polybackfill.work import ledger as ledgers
from polybackfill.work import transitions, units

log = structlog.get_logger()

_PAGE_ROWS = 1000
_CHUNK_ROWS = 5_000
_OPEN = ("pending", "in_progress")
_OUTLOOK = """
SELECT countIf(status IN ('pending', 'in_progress')) AS pending, countIf(status = 'done') AS done,
    sumIf(trade_count, status IN ('pending', 'in_progress')) AS rows
FROM {table}
"""

LeasedUnits = Callable[[], list[units.Unit]]


@dataclass(frozen=True)
class Expected:
    """What a part has before it: keys in all, keys done by earlier runs, requests still to send."""

    keys: int = 0
    done_before: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Choice:
    """Which of the pending keys a run takes."""

    window: units.Window = units.FULL_HISTORY
    limit: int | None = None
    skip: int = 0

    def cut(self, count: int) -> int:
        """How many of `count` pending keys are taken."""
        left = max(0, count - self.skip)
        return left if self.limit is None else min(left, self.limit)


class Typed:
    """Keys given on the command line."""

    def __init__(
        self, kind: str, keys: Sequence[str], choice: Choice, ledger: ledgers.Ledger
    ) -> None:
        self._kind = kind
        last = None if choice.limit is None else choice.skip + choice.limit
        self._keys = keys[choice.skip : last]
        self._choice = choice
        self._ledger = ledger

    async def expected(self) -> Expected:
        """Nothing is known of their size: a request each, or each batch."""
        window = self._choice.window
        done = sum(self._ledger.is_done(self._kind, key, window) for key in self._keys)
        left = len(self._keys) - done
        per_request = 1 if self._kind == worker.WALLETS else units.MAX_KEYS_PER_BATCH
        return Expected(len(self._keys), done, -(-left // per_request))

    async def units(self) -> AsyncIterator[units.Unit]:
        """Units in the order given."""
        for unit in _units(self._kind, [(key, 0) for key in self._keys], self._choice.window):
            yield unit


class Planned:
    """Keys of a plan table that are not done, in rank order."""

    def __init__(
        self,
        kind: str,
        store: client.Store,
        choice: Choice,
        ledger: ledgers.Ledger,
        *,
        dry_run: bool,
    ) -> None:
        self._kind = kind
        self._store = store
        self._choice = choice
        self._ledger = ledger
        self._dry_run = dry_run

    async def expected(self) -> Expected:
        """Counted by the store, in one query."""
        table, _ = plan_table.TABLES[self._kind]
        outlook = (await self._store.rows(_OUTLOOK.format(table=table)))[0]
        pending, done, rows = outlook["pending"], outlook["done"], outlook["rows"]
        # Every wallet costs a request at least; twenty small conditions share one.
        per_request = 1 if self._kind == worker.WALLETS else units.MAX_KEYS_PER_BATCH
        requests = -(-pending // per_request) + rows // _PAGE_ROWS
        taken = self._choice.cut(pending)
        share = taken / pending if pending else 0.0
        whole = self._choice.limit is None and self._choice.skip == 0
        done_before = done if whole else 0
        return Expected(taken + done_before, done_before, round(requests * share))

    async def units(self) -> AsyncIterator[units.Unit]:
        """Units in rank order; the table is read a few thousand rows at a time."""
        seen = 0
        end = None if self._choice.limit is None else self._choice.skip + self._choice.limit
        plan = plan_table.PlanTable(self._store)
        async for rows in plan.load(self._kind, statuses=_OPEN, chunk=_CHUNK_ROWS):
            first = max(0, self._choice.skip - seen)
            chosen = rows[first : None if end is None else max(0, end - seen)]
            seen += len(rows)
            wanted = [(row.key, row.trade_count) for row in chosen if self._is_wanted(row.key)]
            for unit in _units(self._kind, wanted, self._choice.window):
                yield unit
            if end is not None and seen >= end:
                return

    def _is_wanted(self, key: str) -> bool:
        window = self._choice.window
        done = self._ledger.is_done(self._kind, key, window)
        failed = self._ledger.failed_unit(self._kind, key, window) is not None
        if not done and not failed:
            return True
        if window != units.FULL_HISTORY or not self._ledger.is_synced(self._kind, key):
            return False
        log.info("plan.row_was_reset", kind=self._kind, key=key)
        if not self._dry_run:
            self._ledger.forget(self._kind, [key])
        return True


class PlanSync:
    """Brings the plan tables in line with the ledger and the leases.

    Only a walk through the whole history makes a plan row `done`; a run with a window leaves the
    plan alone.
    """

    def __init__(
        self,
        *,
        plan: plan_table.PlanTable,
        ledger: ledgers.Ledger,
        leased: dict[str, LeasedUnits],
        clock: clocks.Clock,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._leased = leased
        self._clock = clock
        self._shown: dict[str, set[str]] = {kind: set() for kind in plan_table.TABLES}

    async def run(self) -> None:
        """Write what changed since the last time; raises errors.Retry when the store is away."""
        ends = self._ledger.transitions_since(self._ledger.synced_seq)
        for kind in plan_table.TABLES:
            leased = self._leased_now(kind)
            updates = self._updates(kind, leased, [end for end in ends if end.unit.kind == kind])
            if updates:
                now = int(self._clock.now())
                await self._plan.apply(kind, updates.values(), now=now)
            self._shown[kind] = leased
        if ends:
            self._ledger.note_plan_synced(max(end.seq for end in ends))

    def _updates(
        self, kind: str, leased: set[str], ends: list[transitions.End]
    ) -> dict[str, plan_table.PlanUpdate]:
        updates = {}
        for key in self._shown[kind] - leased:
            updates[key] = plan_table.PlanUpdate(key, "pending")
        for key in leased - self._shown[kind]:
            updates[key] = plan_table.PlanUpdate(key, "in_progress")
        for end in ends:
            if end.unit.window == units.FULL_HISTORY:
                for key in end.unit.keys:
                    updates[key] = _ended(key, end)
        return updates

    def _leased_now(self, kind: str) -> set[str]:
        found = self._leased[kind]() if kind in self._leased else []
        return {key for unit in found if unit.window == units.FULL_HISTORY for key in unit.keys}


def _ended(key: str, end: transitions.End) -> plan_table.PlanUpdate:
    failed = isinstance(end, transitions.FailedUnit)
    return plan_table.PlanUpdate(
        key,
        "error" if failed else "done",
        error_message=end.error if isinstance(end, transitions.FailedUnit) else "",
        last_run_at=int(datetime.fromisoformat(end.at).timestamp()),
        attempts=end.attempts,
    )


def _units(
    kind: str, keys: Sequence[tuple[str, int]], window: units.Window
) -> Iterator[units.Unit]:
    if kind == worker.CONDITIONS:
        yield from units.pack(keys, kind=kind, window=window)
        return
    for key, rows in keys:
        yield units.Unit(kind, (key,), window[0], window[1], rows)
