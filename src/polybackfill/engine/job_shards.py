"""Which keys of a job are this daemon's: shards of each kind, claimed, worked off, given back.

A shard is a share of a kind's keys, by a hash. Each member of a job holds its part of those that
are not done, and gives back what is too much when another has too few; a shard is done when every
unit of it has ended after nothing more could be found. What the table says is the truth: it is read
every few seconds, and changed only as it was read.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field

from polybackfill import clocks, units
from polybackfill.engine import change_event, plan_source, sources
from polybackfill.store import client, job_tables

_LONGEST_WAIT_S = 5.0
_FINISHED_ELSEWHERE = """
SELECT DISTINCT arrayJoin(keys) AS key FROM backfill_receipts
WHERE kind = {kind:String} AND sweep = {sweep:String} AND run_name != {run_name:String}
"""


def find_shard(key: str, count: int) -> int:
    """The shard of a key, with or without its sweep; of a list in one piece the only one."""
    return zlib.crc32(units.bare_key(key).encode()) % count


@dataclass
class KindShards:
    """The shards of one kind, as this daemon works on them.

    `generation` grows when some are added; `returning`: those of them that shall go to others;
    `listed`: those of which nothing more will be listed; `unfinished`: of all daemons. `keys`: of
    the whole job, as far as they are known here.
    """

    kind: str
    count: int
    changed: change_event.ChangeEvent
    mine: frozenset[int] = frozenset()
    returning: set[int] = field(default_factory=set)
    listed: set[int] = field(default_factory=set)
    generation: int = 0
    unfinished: frozenset[int] = frozenset()
    all_done: bool = False
    keys: int = 0

    def is_mine(self, key: str) -> bool:
        """Whether this daemon is to fetch a key."""
        return self.number(key) in self.active

    def is_elsewhere(self, key: str) -> bool:
        """Whether another daemon fetches a key, or will."""
        return self.number(key) in self.unfinished - self.active

    def number(self, key: str) -> int:
        """The shard of a key."""
        return find_shard(key, self.count)

    @property
    def active(self) -> frozenset[int]:
        """Those whose units are handed out."""
        return self.mine - self.returning

    @property
    def open_count(self) -> int:
        """How many are not done yet, of all daemons."""
        return len(self.unfinished)

    @property
    def share(self) -> float:
        """The part of the open shards that is this daemon's."""
        return len(self.mine) / self.open_count if self.open_count else 0.0

    def keep(self, target: int) -> None:
        """Give nothing back below so many. Keys of what is kept after all were passed over, so they
        are listed anew.
        """
        while self.returning and len(self.active) < target:
            self.returning.pop()
            self.generation += 1
            self.changed.notify()

    def see(self, shards: job_tables.Shards, member: str) -> None:
        """Take over what the table says now."""
        before, was_done = self.mine, self.all_done
        pairs = enumerate(zip(shards.owners, shards.is_done, strict=True))
        self.mine = frozenset(
            number for number, (owner, done) in pairs if owner == member and not done
        )
        self.unfinished = frozenset(
            number for number, done in enumerate(shards.is_done) if not done
        )
        self.all_done = shards.all_done
        self.listed &= self.mine
        self.returning &= self.mine
        if self.mine - before:
            self.generation += 1
        if self.mine != before or self.all_done != was_done:
            self.changed.notify()

    def end(self) -> None:
        """The table says nothing of them any more: the next round has begun, so all were done."""
        self.mine = self.unfinished = frozenset()
        self.all_done = True
        self.listed.clear()
        self.returning.clear()
        self.changed.notify()


class JobShards:
    """The shards of all kinds of one run. `counts`: how many each kind has."""

    def __init__(self, member: str, counts: Mapping[str, int], clock: clocks.Clock) -> None:
        self._member = member
        self.kinds = {
            kind: KindShards(kind, count, change_event.ChangeEvent(f"{kind}-shards", clock))
            for kind, count in counts.items()
        }

    def see(self, tables: Mapping[str, job_tables.Shards]) -> None:
        """What the table says now."""
        for kind, mine in self.kinds.items():
            if kind in tables:
                mine.see(tables[kind], self._member)
            else:
                mine.end()

    def plan_change(
        self, shards: job_tables.Shards, members: Mapping[str, str], busy: Collection[int]
    ) -> tuple[list[str], list[bool]]:
        """Owners and ends of one kind as they shall be. `members`: their states by name; `busy`:
        shards with units in this daemon's queue.
        """
        mine = self.kinds[shards.kind]
        owners, is_done = list(shards.owners), list(shards.is_done)
        alive = [name for name, state in members.items() if state == job_tables.ALIVE]
        for number, owner in enumerate(owners):
            if owner and members.get(owner, job_tables.GONE) == job_tables.GONE:
                owners[number] = ""
        still_open = is_done.count(False)
        target = -(-still_open // max(1, len(alive)))
        mine.keep(target)
        for number in mine.mine - set(busy):
            if number in mine.listed:
                owners[number], is_done[number] = "", True
            elif number in mine.returning:
                owners[number] = ""
        counts = Counter(owner for owner, done in zip(owners, is_done, strict=True) if not done)
        free = [number for number, done in enumerate(is_done) if not (done or owners[number])]
        for number in free[: max(0, target - counts[self._member])]:
            owners[number] = self._member
        by_member = {name: counts[name] for name in alive}
        self._choose_returning(mine, target, by_member, len(free), still_open)
        return owners, is_done

    def _choose_returning(
        self, mine: KindShards, target: int, counts: Mapping[str, int], free: int, in_all: int
    ) -> None:
        """Give back what is above this daemon's part, as long as others lack theirs."""
        least = in_all // max(1, len(counts))
        lacking = sum(max(0, least - count) for count in counts.values()) - free
        surplus = min(len(mine.active) - target, lacking)
        if surplus > 0:
            unlisted = sorted(mine.active - mine.listed, reverse=True)
            mine.returning.update(unlisted[:surplus])


class RenewedListing:
    """A listing that goes on where it ended, and begins anew when shards are added."""

    def __init__(self, shards: KindShards, begin: Callable[[], sources.Listing]) -> None:
        self._shards = shards
        self._begin = begin
        self._generation = shards.generation
        self._listing = begin()

    async def __call__(self) -> AsyncIterator[list[str]]:
        """Some thousand keys at a time."""
        if self._generation != self._shards.generation:
            self._generation, self._listing = self._shards.generation, self._begin()
        async for keys in self._listing():
            yield keys


class FinishedElsewhere:
    """Keys of one sweep that other daemons have proven: of those that a shard brings along when it
    changes hands, none is fetched again.
    """

    def __init__(self, store: client.Store, kind: str, sweep: str, run_name: str) -> None:
        self._store = store
        self._named = {"kind": kind, "sweep": sweep, "run_name": run_name}
        self._generation = 0
        self._keys: frozenset[str] = frozenset()

    async def refresh(self, shards: KindShards) -> None:
        """Read them again if shards were added. Raises what the store raises."""
        if self._generation == shards.generation:
            return
        generation = shards.generation
        rows = await self._store.rows(_FINISHED_ELSEWHERE, parameters=self._named)
        self._keys = frozenset(row["key"] for row in rows if shards.is_mine(row["key"]))
        self._generation = generation

    async def leave_out(self, shards: KindShards, keys: list[str]) -> list[str]:
        """What is left to read of a list: of a span that was cut, the pieces that lack proof."""
        await self.refresh(shards)
        return [
            part.keys[0]
            for key in keys
            for part in units.parts(units.Unit(shards.kind, (key,)), self.__contains__)
            if part.keys[0] not in self
        ]

    def __contains__(self, key: str) -> bool:
        return units.bare_key(key) in self._keys


class SharedSource:
    """The units of one kind that are this daemon's, until the whole kind is done in the job.

    `inner` lists what the shards name at that moment, and ends when its upstream has ended and was
    listed once more; it is asked again for shards that came later.
    """

    def __init__(self, inner: plan_source.UnitSource, shards: KindShards) -> None:
        self._inner = inner
        self._shards = shards

    @property
    def known(self) -> plan_source.WorkEstimate:
        """This daemon's part of what the job has before it."""
        return self._part(self._inner.known)

    @property
    def counted(self) -> bool:
        """As of the whole job."""
        return self._inner.counted

    @property
    def took_s(self) -> float:
        """As of the whole job."""
        return self._inner.took_s

    @property
    def is_behind(self) -> bool:
        """As of the whole job."""
        return self._inner.is_behind

    @property
    def rests(self) -> bool:
        """As of the whole job."""
        return self._inner.rests

    async def expected(self) -> plan_source.WorkEstimate:
        """This daemon's part, of nothing while it has none."""
        return self._part(await self._inner.expected())

    async def units(self) -> AsyncIterator[units.Unit]:
        """Units of this daemon's shards."""
        shards = self._shards
        while not shards.all_done:
            waiting = shards.active - shards.listed
            if not waiting:
                await shards.changed.wait(_LONGEST_WAIT_S)
                continue
            generation = shards.generation
            async for unit in self._inner.units():
                yield unit
            # What came while the last pages were listed may have missed the first of them.
            # Of what is to be given back some was passed over.
            if generation == shards.generation:
                shards.listed |= waiting & shards.active

    def _part(self, known: plan_source.WorkEstimate) -> plan_source.WorkEstimate:
        self._shards.keys = known.keys
        share = self._shards.share
        return plan_source.WorkEstimate(
            keys=round(known.keys * share),
            requests=round(known.requests * share),
            done_before=round(known.done_before * share),
            failed_before=round(known.failed_before * share),
            again=round(known.again * share),
            unsized=round(known.unsized * share),
        )
