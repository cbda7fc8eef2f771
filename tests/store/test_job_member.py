"""A daemon's place in its job, on a real server with a Keeper."""

from __future__ import annotations

import dataclasses

import pytest
from tests import cut_proxy, real_server
from tests.store.test_job_tables import opened

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.run import job_member
from polybackfill.store import client


@pytest.fixture
def address(server_with_keeper: real_server.Server) -> client.Address:
    server = server_with_keeper
    return client.Address(server.host, server.port, database=server.database("member"))


async def test_silence_while_a_place_is_renewed_is_waited_for(address, monkeypatch):
    """A network that is gone says nothing: nothing is written meanwhile, and the daemon goes on."""
    clock = clocks.SystemClock()
    with cut_proxy.before(address.port) as wire:
        async with opened(dataclasses.replace(address, port=wire.port)) as (_, tables):
            job = await tables.define("silent", "{}")
            member = job_member.JobMember(
                tables, job, {"wallets": 4}, lease_s=60.0, run_name="a", clock=clock
            )
            await member.enter(lock.this_process(clock.now(), "a"))
            await member.confirm()
            monkeypatch.setattr(job_member, "_WRITE_S", 0.5)
            member._renewed_at -= 31.0  # half of its lease ago
            wire.cut(silent=True)
            with pytest.raises(errors.Retry, match="was silent"):
                await member.confirm()
            wire.mend()
            await member.confirm()
