"""Fills of several daemons at once: each stored once, whoever brings it."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests import real_server
from tests.store.conftest import count, duplicates, lines, trade
from tests.store.test_job_tables import enter, opened

from polybackfill import clocks
from polybackfill.store import client, job_tables, migrate, sliced_insert

_CLOCK = clocks.SystemClock()
_FILLS = 6_000


@pytest.fixture
def address(server_with_keeper: real_server.Server) -> client.Address:
    server = server_with_keeper
    return client.Address(server.host, server.port, database=server.database("sliced"))


def page(numbers: list[int]) -> bytes:
    return lines([trade(number) for number in numbers]) + b"\n"


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
            sink = sliced_insert.SlicedInsert(
                store,
                job_tables.JobTables(plain, _CLOCK),
                job="night",
                member=name,
                slices=4,
                most=lambda: 2,
                clock=_CLOCK,
            )
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


def test_store_and_program_cut_alike(server_with_keeper):
    """Who asks SQL for a key's slice or shard gets the number that the program works with."""
    conditions = [f"{number * 7919:064x}" for number in range(50)]
    listed = ", ".join(f"'{one}'" for one in conditions)
    told = server_with_keeper.sql(f"SELECT CRC32(arrayJoin([{listed}])) % 16")
    ours = [sliced_insert.slice_number(one.encode(), 16) for one in conditions]
    assert [int(line) for line in told.split()] == ours
