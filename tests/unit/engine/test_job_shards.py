"""Which shards a daemon wants, gives back, and calls done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from tests import virtual_clock

from polybackfill import units
from polybackfill.engine import job_shards, plan_source
from polybackfill.store import job_tables


def make(member: str, count: int = 12) -> job_shards.JobShards:
    return job_shards.JobShards(member, {"wallets": count}, virtual_clock.VirtualClock())


def table(owners: list[str], done: set[int] | None = None) -> job_tables.Shards:
    is_done = tuple(number in (done or set()) for number in range(len(owners)))
    return job_tables.Shards("night 1 wallets", "wallets", "", tuple(owners), is_done)


def settle(
    shards: dict[str, job_shards.JobShards], seen: job_tables.Shards, rounds: int = 20
) -> job_tables.Shards:
    """What the table says when nobody wants any change: each in turn, with nothing in hand."""
    members = dict.fromkeys(shards, job_tables.ALIVE)
    for _ in range(rounds):
        for one in shards.values():
            one.see({"wallets": seen})
            owners, is_done = one.plan_change(seen, members, busy=set())
            seen = job_tables.Shards(seen.name, seen.kind, "", tuple(owners), tuple(is_done))
    return seen


def test_each_has_its_part_also_one_that_comes_later():
    first = {"a": make("a")}
    seen = settle(first, table([""] * 12))
    assert Counter(seen.owners) == {"a": 12}
    both = {**first, "b": make("b")}
    assert Counter(settle(both, seen).owners) == {"a": 6, "b": 6}
    three = {**both, "c": make("c")}
    assert Counter(settle(three, seen).owners) == {"a": 4, "b": 4, "c": 4}


def test_a_shard_in_hand_is_given_back_when_it_is_empty():
    mine, members = make("a"), {"a": job_tables.ALIVE, "b": job_tables.ALIVE}
    seen = table(["a"] * 12)
    mine.see({"wallets": seen})
    owners, _ = mine.plan_change(seen, members, busy=set(range(12)))
    assert owners == ["a"] * 12
    wallets = mine.kinds["wallets"]
    assert len(wallets.returning) == 6
    assert wallets.active == wallets.mine - wallets.returning
    owners, is_done = mine.plan_change(seen, members, busy=set(range(10)))
    assert owners.count("") == len(wallets.returning - set(range(10)))
    assert not any(is_done)


def test_one_is_done_when_all_is_listed_and_nothing_in_hand():
    mine, members = make("a", 4), {"a": job_tables.ALIVE}
    seen = table(["a"] * 4)
    mine.see({"wallets": seen})
    mine.kinds["wallets"].listed = {0, 1}
    owners, is_done = mine.plan_change(seen, members, busy={1, 2})
    assert is_done == [True, False, False, False]
    assert owners == ["", "a", "a", "a"]
    mine.see({"wallets": table(["", "a", "a", "a"], {0})})
    assert mine.kinds["wallets"].mine == {1, 2, 3}
    assert mine.kinds["wallets"].share == 1.0


def test_what_the_gone_had_is_free_and_what_the_dead_have_is_not_yet():
    mine = make("a", 4)
    seen = table(["b", "b", "c", "c"])
    mine.see({"wallets": seen})
    members = {"a": job_tables.ALIVE, "b": job_tables.DEAD, "c": job_tables.GONE}
    owners, _ = mine.plan_change(seen, members, busy=set())
    assert owners == ["b", "b", "a", "a"]


def test_a_key_is_elsewhere_until_its_shard_is_done():
    """What failed here is not tried again beside the daemon that has its shard now."""
    mine = make("a", 4)
    mine.see({"wallets": table(["a", "b", "", ""], done={3})})
    wallets = mine.kinds["wallets"]
    shard_of = {wallets.number(key): key for key in map(str, range(50))}
    is_elsewhere = [wallets.is_elsewhere(shard_of[number]) for number in range(4)]
    assert is_elsewhere == [False, True, True, False]


def test_what_need_not_be_given_back_any_more_is_listed_anew():
    """Another member came, so some were to go to it; it went before they were free."""
    mine = make("a", 4)
    seen = table(["a"] * 4)
    mine.see({"wallets": seen})
    wallets = mine.kinds["wallets"]
    mine.plan_change(seen, {"a": job_tables.ALIVE, "b": job_tables.ALIVE}, busy={0, 1, 2, 3})
    assert len(wallets.returning) == 2
    before = wallets.generation
    owners, is_done = mine.plan_change(seen, {"a": job_tables.ALIVE}, busy=set())
    assert (owners, is_done) == (["a"] * 4, [False] * 4)
    assert wallets.active == {0, 1, 2, 3}
    assert wallets.generation > before


class _Listing:
    """A source of one pass over keys, in whose middle something may happen."""

    counted, took_s, is_behind, rests = True, 0.0, False, False
    known = plan_source.WorkEstimate()

    def __init__(self, shards: job_shards.KindShards) -> None:
        self._shards = shards
        self.passes = 0
        self.in_the_middle = lambda: None

    async def expected(self) -> plan_source.WorkEstimate:
        return self.known

    async def units(self) -> AsyncIterator[units.Unit]:
        self.passes += 1
        for number in range(40):
            if number == 20:
                self.in_the_middle()
            if self._shards.is_mine(f"{number}"):
                yield units.Unit("wallets", (f"{number}",))


async def test_a_shard_whose_keys_were_passed_over_is_not_done():
    """Two shards are to be given back in the middle of a pass: of these nothing is called listed,
    or the rest of their keys would be nobody's.
    """
    wallets = make("a", 4).kinds["wallets"]
    wallets.see(table(["a"] * 4), "a")
    listing = _Listing(wallets)
    listing.in_the_middle = lambda: wallets.returning.update({2, 3})
    units_of_pass = job_shards.SharedSource(listing, wallets).units()
    listed_then: set[int] = set()

    async def note_end() -> None:
        while not wallets.listed:  # noqa: ASYNC110
            await asyncio.sleep(0)
        listed_then.update(wallets.listed)
        wallets.see(table(["a"] * 4, {0, 1, 2, 3}), "a")

    ending = asyncio.create_task(note_end())
    named = [unit.keys[0] async for unit in units_of_pass]
    await ending
    assert listed_then == {0, 1}
    late = [key for key in named if int(key) >= 20]
    assert {wallets.number(key) for key in late} == {0, 1}
    assert listing.passes == 1


def test_every_key_is_in_one_shard_whatever_its_sweep():
    assert job_shards.find_shard("ab", 256) == job_shards.find_shard("ab@20261129T000000Z", 256)
    assert {job_shards.find_shard(f"{number:040x}", 16) for number in range(400)} == set(range(16))
    assert job_shards.find_shard("open:1..2", 1) == 0
