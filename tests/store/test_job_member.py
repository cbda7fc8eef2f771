"""A daemon's place in its job, on a real server with a Keeper."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from tests import cut_proxy, real_server
from tests.store.test_job_tables import enter, opened

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.run import job_member, job_takeover
from polybackfill.store import client, job_tables


@pytest.fixture
def address(server_with_keeper: real_server.Server) -> client.Address:
    server = server_with_keeper
    return client.Address(server.host, server.port, database=server.database("member"))


def make(tables: job_tables.JobTables, job: job_tables.Job) -> job_member.JobMember:
    return job_member.JobMember(
        tables, job, {"wallets": 4}, lease_s=60.0, run_name="a", clock=clocks.SystemClock()
    )


async def begin_next_round(tables: job_tables.JobTables, job: job_tables.Job) -> None:
    """As the first that starts again when every part is done."""
    for shards in (await tables.shards(job)).values():
        await tables.change_shards(shards, [""] * len(shards.owners), [True] * len(shards.owners))
    await tables.begin_round(job)


async def test_silence_while_a_place_is_renewed_is_waited_for(address, monkeypatch):
    """A network that is gone says nothing: nothing is written meanwhile, and the daemon goes on."""
    clock = clocks.SystemClock()
    with cut_proxy.before(address.port) as wire:
        async with opened(dataclasses.replace(address, port=wire.port)) as (_, tables):
            job = await tables.define("silent", "{}")
            member = make(tables, job)
            await member.enter(lock.this_process(clock.now(), "a"))
            await member.confirm()
            monkeypatch.setattr(job_member, "_WRITE_S", 0.5)
            member._renewed_at -= 31.0  # half of its lease ago
            wire.cut(silent=True)
            with pytest.raises(errors.Retry, match="was silent"):
                await member.confirm()
            wire.mend()
            await member.confirm()


async def test_who_stood_still_while_the_next_round_began_ends(address):
    """It waits for nobody: the shards of its round are gone, because all were done."""
    async with opened(address) as (_, tables):
        member = make(tables, await tables.define("night", "{}"))
        await member.enter(lock.this_process(0.0, "a"))
        assert member.waits_for() == "the other daemons of job night"
        await begin_next_round(tables, member.job)
        await member._look()
        assert member.waits_for() is None
        assert member.shards.kinds["wallets"].all_done

        async def alive() -> None:
            raise AssertionError("nothing is left to wait for")

        assert not await member.leads_post_run(alive)
        await member.leave()


async def test_nobody_joins_a_round_that_has_ended(address):
    """Of daemons that start in the same second one begins the next round; another had read the job
    before. In the old one it would fetch everything beside them.
    """
    async with opened(address) as (_, tables):
        job = await tables.define("night", "{}")
        await tables.add_shards(job, {"wallets": 4})
        late = make(tables, job)
        await begin_next_round(tables, job)
        with pytest.raises(errors.Retry, match="round 1 of job night has ended"):
            await late.enter(lock.this_process(0.0, "a"))
        assert await tables.members("night") == []


async def test_a_store_whose_clock_is_set_back_gives_the_dead_no_other_hour(address):
    async with opened(address) as (_, tables):
        await enter(tables, "dead", lease_s=0.2)
        take_over = job_takeover.TakeOver(tables, "mine", lease_s=1.0)
        seen = await tables.members("night")
        await take_over.run(seen)
        await asyncio.sleep(0.8)
        await take_over.run([dataclasses.replace(one, left_s=3_600.0) for one in seen])
        (dead,) = await tables.members("night")
        assert dead.state == job_tables.GONE
