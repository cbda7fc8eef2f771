"""The store's receipts and plan tables in line with the checkpoint: what was fetched, what is under
way, what failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import structlog

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint, unit_states
from polybackfill.store import client, plan_table, stored_receipts

log = structlog.get_logger()

_EMPTY_S = 3_600

LeasedUnits = Callable[[], list[units.Unit]]


class PlanSync:
    """Brings the plan tables in line with the checkpoint and the leases, the receipts first: what
    the plan calls done is proven there too.

    Only a walk through the whole history makes a plan row `done`; a walk over a window moves the
    second up to which a done row was read, if it joins on.

    `shared`: several daemons write to the tables. Then these show ends alone, and not what is under
    way, which another could take for its own.
    """

    def __init__(
        self,
        *,
        plan: plan_table.PlanTable,
        receipts: stored_receipts.StoredReceipts,
        checkpoint: run_checkpoint.Checkpoint,
        leased: dict[str, LeasedUnits],
        clock: clocks.Clock,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._plan = plan
        self._receipts = receipts
        self._checkpoint = checkpoint
        self._leased = leased
        self._clock = clock
        # kind → key → attempts, as the tables show them in progress
        self._shown: dict[str, dict[str, int]] = {kind: {} for kind in plan_table.TABLES}
        self._writing = asyncio.Lock()

    async def begin(self) -> None:
        """What an earlier run could not tell any more, and what it left in progress."""
        await self.run()
        for kind in () if self._shared else self._leased:
            released = await self._plan.release(kind)
            if released:
                log.info("plan.released", kind=kind, keys=released)

    async def reopen(self, failed_units: Iterable[unit_states.FailedUnit]) -> None:
        """These units in error are to be fetched again: pending in the plan first, since a row that
        a kill leaves so looks set back by a person.
        """
        by_kind: dict[str, list[unit_states.FailedUnit]] = {}
        for failed in failed_units:
            by_kind.setdefault(failed.unit.kind, []).append(failed)
        for kind, failures in by_kind.items():
            if kind in plan_table.TABLES and self._shared:
                keys = [key for failure in failures for key in failure.unit.keys]
                await self._plan.reopen(kind, keys, statuses=("error",))
            elif kind in plan_table.TABLES:
                pending = [
                    plan_table.PlanUpdate(key, "pending", attempts=failure.attempts)
                    for failure in failures
                    if failure.unit.window == units.FULL_HISTORY
                    for key in failure.unit.keys
                ]
                async with self._writing:
                    await self._plan.apply(kind, pending, now=int(self._clock.now()))
            for failure in failures:
                # One that the feed has met meanwhile, pending, is forgotten already.
                if self._checkpoint.failed_unit(kind, failure.unit.keys[0], failure.unit.window):
                    self._checkpoint.reopen(failure.unit.id)
            log.info("units.reopened", kind=kind, units=len(failures), first=failures[0].unit.id)

    async def run(self) -> None:
        """Write what changed since the last time; raises errors.Retry when the store is away."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        ends = self._checkpoint.transitions_since(self._checkpoint.synced_seq)
        await self._receipts.follow(self._checkpoint, ends)
        for kind in plan_table.TABLES:
            leased = self._leased_now(kind)
            ended = [end for end in ends if end.unit.kind == kind]
            updates, now = self._updates(kind, leased, ended), int(self._clock.now())
            if updates:
                await self._plan.apply(kind, updates.values(), now=now)
            await self._plan.extend(kind, list(_extensions(ended)), now=now)
            self._shown[kind] = leased
        if ends:
            self._checkpoint.note_plan_synced(max(end.seq for end in ends))

    def _updates(
        self, kind: str, leased: dict[str, int], ends: list[unit_states.End]
    ) -> dict[str, plan_table.PlanUpdate]:
        updates = {}
        for key, attempts in self._shown[kind].items():
            if key not in leased:
                updates[key] = plan_table.PlanUpdate(key, "pending", attempts=attempts)
        for key, attempts in leased.items():
            if self._shown[kind].get(key) != attempts:
                updates[key] = plan_table.PlanUpdate(key, "in_progress", attempts=attempts)
        for end in ends:
            if end.unit.window == units.FULL_HISTORY:
                for key in end.unit.keys:
                    updates[key] = _ended(key, end)
        return updates

    def _leased_now(self, kind: str) -> dict[str, int]:
        is_shown = kind in self._leased and not self._shared
        leased_units = self._leased[kind]() if is_shown else []
        return {
            key: self._checkpoint.attempts(unit)
            for unit in leased_units
            if unit.window == units.FULL_HISTORY
            for key in unit.keys
        }


def _ended(key: str, end: unit_states.End) -> plan_table.PlanUpdate:
    failed = isinstance(end, unit_states.FailedUnit)
    return plan_table.PlanUpdate(
        key,
        "error" if failed else "done",
        error_message=end.error if isinstance(end, unit_states.FailedUnit) else "",
        last_run_at=_second(end),
        attempts=end.attempts,
        read_until=_read_until(end) if isinstance(end, unit_states.Receipt) else None,
    )


def _read_until(receipt: unit_states.Receipt) -> int:
    """The newest row of the first page: what came later was not seen, in none of the keys.

    A feed without rows is one page, read when its unit ended or little before. Where only this
    machine says when that was, it proves nothing about later rows: its clock may be ahead.
    """
    last_second = receipt.counts.last_second
    if last_second is not None:
        return last_second
    seen_at = _seen_at(receipt)
    return 0 if seen_at is None else seen_at - _EMPTY_S


def _extensions(ends: list[unit_states.End]) -> Iterator[plan_table.Extension]:
    for end in ends:
        since, until = end.unit.window
        if isinstance(end, unit_states.Receipt) and since is not None:
            read_until, seen_at = _read_until(end), _seen_at(end)
            if until is not None and seen_at is not None:
                read_until = min(until, seen_at)  # `until` may lie in the future
            for key in end.unit.bare_keys:
                yield plan_table.Extension(key, since, read_until, _second(end))


def _seen_at(receipt: unit_states.Receipt) -> int | None:
    """When the end of the feed was seen, by the source's clock; None where it did not say."""
    end = receipt.end
    return end.second if end is not None and end.confirmed else None


def _second(end: unit_states.End) -> int:
    return int(datetime.fromisoformat(end.at).timestamp())


async def set_back_all(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint, kind: str
) -> int:
    """Every key of a plan is pending, and the checkpoint has never seen it. Returns how many."""
    count = await plan_table.PlanTable(store).set_back(kind, ("in_progress", "done", "error"))
    await forget(store, checkpoint, kind, None)
    return count


async def forget(
    store: client.Store,
    checkpoint: run_checkpoint.Checkpoint,
    kind: str,
    keys: Sequence[str] | None,
) -> None:
    """Checkpoint and receipts have never seen these keys (None: all of the kind), while no run is
    going on. Killed in between, the next start puts the receipts in line.
    """
    checkpoint.forget(kind, keys)
    await checkpoint.sync()
    await stored_receipts.StoredReceipts(store, checkpoint.run_name).follow(checkpoint, [])
