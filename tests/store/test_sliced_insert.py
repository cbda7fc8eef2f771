"""Fills of several daemons at once: each stored once, whoever brings it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Collection

import pytest
from tests import cut_proxy, real_server
from tests.store.conftest import count, duplicates, lines, trade
from tests.store.test_job_tables import enter, opened

from polybackfill import clocks, errors
from polybackfill.store import client, job_tables, migrate, sliced_insert

_CLOCK = clocks.SystemClock()
_FILLS = 6_000


@pytest.fixture
def address(server_with_keeper: real_server.Server) -> client.Address:
    server = server_with_keeper
    return client.Address(server.host, server.port, database=server.database("sliced"))


def page(numbers: list[int]) -> bytes:
    return lines([trade(number) for number in numbers]) + b"\n"


def make(
    store: client.Store, tables: job_tables.JobTables, member: str, *, slices: int
) -> sliced_insert.SlicedInsert:
    return sliced_insert.SlicedInsert(
        store,
        tables,
        job="night",
        member=member,
        slices=slices,
        most=lambda: max(1, slices // 2),
        clock=_CLOCK,
    )


async def test_the_same_fills_from_three_hosts_at_once(address):
    names = ("m0", "m1", "m2")
    async with opened(address) as (plain, tables):
        await migrate.up(plain)
        await plain.command("SYSTEM STOP MERGES external_trades_raw")  # the net under the check
        await enter(tables, *names)

        async def work(name: str) -> None:
            """All fills, in an order of its own, 1,500 a batch."""
            store = client.Store(address, clock=_CLOCK)
            store.fence = job_tables.fence(name)
            sink = make(store, job_tables.JobTables(plain, _CLOCK), name, slices=4)
            numbers = list(range(_FILLS))
            random.Random(name).shuffle(numbers)
            for first in range(0, _FILLS, 1_500):
                batch = numbers[first : first + 1_500]
                pages = [page(batch[:900]), page(batch[900:])]
                await sink.insert(sliced_insert.FILLS, pages, rows=len(batch))
            await store.close()

        await asyncio.gather(*map(work, names))
        assert await count(plain) == _FILLS
        assert await duplicates(plain) == 0
        assert await count(plain, "backfill_slices") == 0


class Unanswered(job_tables.JobTables):
    """The connection breaks when its first release is made: the answer is lost."""

    is_broken = True

    async def release_slices(self, member: str, names: Collection[str]) -> None:
        await super().release_slices(member, names)
        if self.is_broken:
            self.is_broken = False
            raise errors.Retry("the connection broke")


async def test_a_slice_given_on_without_an_answer_is_not_ours_any_more(address):
    """Another has it by now: nothing is inserted beside it."""
    async with opened(address) as (plain, tables):
        await migrate.up(plain)
        await enter(tables, "m0", "m1")
        sink = make(plain, Unanswered(plain, _CLOCK), "m0", slices=1)
        with pytest.raises(errors.Retry, match="broke"):
            await sink.insert(sliced_insert.FILLS, [page([0])], rows=1)
        assert await tables.claim_slices("m1", ["night 0"], 1) == ["night 0"]
        again = asyncio.create_task(sink.insert(sliced_insert.FILLS, [page([0, 1])], rows=2))
        await asyncio.sleep(0.5)
        assert await count(plain) == 1
        await tables.release_slices("m1", ["night 0"])
        await again
        assert await count(plain) == 2


class Late(job_tables.JobTables):
    """The connection breaks when its first release is made, which the server goes on with."""

    def __init__(self, store: client.Store) -> None:
        super().__init__(store, _CLOCK)
        self.late: asyncio.Task[None] | None = None

    async def release_slices(self, member: str, names: Collection[str]) -> None:
        if self.late is not None:
            await super().release_slices(member, names)
            return
        slow = "ALTER TABLE backfill_slices DELETE WHERE member = {member:String} AND sleep(1) = 0"
        self.late = asyncio.create_task(self._store.command(slow, parameters={"member": member}))
        while not await self._store.rows(  # noqa: ASYNC110 - the server has it
            "SELECT query_id FROM system.processes WHERE query LIKE 'ALTER%sleep(1) = 0%'"
        ):
            await asyncio.sleep(0.01)
        raise errors.Retry("the connection broke")


async def test_a_release_that_comes_late_takes_nothing_that_was_claimed_anew(address):
    async with opened(address) as (plain, tables):
        await migrate.up(plain)
        await enter(tables, "m0", "m1")
        late = Late(plain)
        sink = make(plain, late, "m0", slices=1)
        with pytest.raises(errors.Retry, match="broke"):
            await sink.insert(sliced_insert.FILLS, [page([0])], rows=1)
        await sink.insert(sliced_insert.FILLS, [page([0, 1])], rows=2)
        assert late.late is not None
        assert late.late.done()
        await late.late
        assert await tables.claim_slices("m1", ["night 0"], 1) == ["night 0"]


async def test_a_slice_is_kept_until_its_insert_was_seen_to_end(address):
    """One that broke off may run on the server still: nobody else gets the slice meanwhile."""
    async with opened(address) as (plain, tables):
        await migrate.up(plain)
        await enter(tables, "m0", "m1")
        with cut_proxy.before(address.port) as wire:
            store = client.Store(dataclasses.replace(address, port=wire.port), clock=_CLOCK)
            sink = make(store, tables, "m0", slices=1)
            wire.cut(silent=False)
            with pytest.raises(errors.Retry):
                await sink.insert(sliced_insert.FILLS, [page([0])], rows=1)
            assert await tables.claim_slices("m1", ["night 0"], 1) == []
            wire.mend()
            await sink.insert(sliced_insert.FILLS, [page([0])], rows=1)
            assert await tables.claim_slices("m1", ["night 0"], 1) == ["night 0"]
            await store.close()
        assert await count(plain) == 1


def test_store_and_program_cut_alike(server_with_keeper):
    """Who asks SQL for a key's slice or shard gets the number that the program works with."""
    conditions = [f"{number * 7919:064x}" for number in range(50)]
    listed = ", ".join(f"'{one}'" for one in conditions)
    told = server_with_keeper.sql(f"SELECT CRC32(arrayJoin([{listed}])) % 16")
    ours = [sliced_insert.slice_number(one.encode(), 16) for one in conditions]
    assert [int(line) for line in told.split()] == ours
