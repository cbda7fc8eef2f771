"""One daemon for one database of a server."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from tests import cut_proxy, real_server

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.store import client, definitions, ownership


class Awake:
    """Seconds since the boot, in the hands of a test."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return clocks.awake_s() + self.ahead_s


@pytest.fixture
def address(clickhouse_server: real_server.Server) -> client.Address:
    server = clickhouse_server
    return client.Address(server.host, server.port, database=server.database("owned"))


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "RENEW_S", 0.5)
    monkeypatch.setattr(ownership, "_SETTLE_S", 0.4)


async def made(
    address: client.Address, run_name: str, awake: Awake | None = None, host: str = ""
) -> tuple[client.Store, ownership.Ownership]:
    store = client.Store(address, clock=clocks.SystemClock())
    await store.command(definitions.filled(ownership._TABLE, None))
    claim = ownership.Ownership(
        store, run_name=run_name, clock=clocks.SystemClock(), awake_s=awake or clocks.awake_s
    )
    if host:
        claim._me = lock.Owner(
            host=host, pid=77, started_at=0, boot="elsewhere", namespace="x", run_name=run_name
        )
    return store, claim


async def holder(store: client.Store) -> str:
    """The run whose sign of life is the newest."""
    newest = "SELECT run_name FROM backfill_owners ORDER BY beat_at DESC LIMIT 1"
    return (await store.text(newest)).decode().strip()


async def test_the_second_is_refused_and_told_who_the_first_is(address):
    async with ownership.owned(address, run_name="night", clock=clocks.SystemClock()) as ours:
        store, second = await made(address, "other")
        with pytest.raises(errors.Stop, match=r"in use by process \d+ on .*, run night") as told:
            await second.claim()
        assert told.value.exit_code == errors.EXIT_UNAVAILABLE
        await ours.confirm()
        await store.close()
    async with ownership.owned(address, run_name="other", clock=clocks.SystemClock()):
        pass


async def test_silence_while_the_claim_is_renewed_is_waited_for(address, monkeypatch):
    """The run waits for its store as for any that is away; back again, it goes on."""
    awake = Awake()
    with cut_proxy.before(address.port) as wire:
        store, claim = await made(dataclasses.replace(address, port=wire.port), "night", awake)
        try:
            await claim.claim()
            monkeypatch.setattr(ownership, "_WRITE_S", 0.5)
            wire.cut(silent=True)
            awake.ahead_s = ownership.EXPIRES_S / 2 + 1
            with pytest.raises(errors.Retry, match="was silent"):
                await claim.confirm()
            wire.mend()
            await claim.confirm()
        finally:
            await store.close()


async def test_a_silent_server_holds_up_no_end(address, clickhouse_server):
    server = clickhouse_server.process.pid
    taking = ownership.owned(address, run_name="night", clock=clocks.SystemClock(), release_s=0.5)
    try:
        async with asyncio.timeout(ownership._WRITE_S), taking:
            os.kill(server, signal.SIGSTOP)
            left_at = time.monotonic()
        assert 0.5 <= time.monotonic() - left_at < ownership._WRITE_S / 2
    finally:
        os.kill(server, signal.SIGCONT)


async def test_of_many_that_start_at_once_one_wins(address):
    claims = [await made(address, f"run-{number}", host=f"h{number}") for number in range(6)]
    keeping = [asyncio.create_task(claim.keep()) for _, claim in claims]
    outcomes = await asyncio.gather(*(claim.claim() for _, claim in claims), return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is None] == [None]
    assert sum(isinstance(outcome, errors.Stop) for outcome in outcomes) == 5
    for task in keeping:
        task.cancel()
    for store, _ in claims:
        await store.close()


async def test_a_living_owner_on_another_host_is_known_by_its_renewals(address):
    first_store, first = await made(address, "far", host="far.example")
    await first.claim()
    keeping = asyncio.create_task(first.keep())
    store, second = await made(address, "near")
    with pytest.raises(errors.Stop, match=r"process 77 on far\.example"):
        await second.claim()
    keeping.cancel()
    await store.close()
    await first_store.close()


async def test_a_dead_owner_on_another_host_is_outlived(address, monkeypatch):
    monkeypatch.setattr(ownership, "EXPIRES_S", 3.0)
    first_store, first = await made(address, "far", host="far.example")
    await first.claim()
    await first_store.close()
    store, second = await made(address, "near")
    await second.claim()
    assert await holder(store) == "near"
    await second.confirm()
    await store.close()


async def test_a_dead_owner_is_outlived_also_where_the_clock_was_set_back(address, monkeypatch):
    """Its last sign is dated an hour ahead, as a server says whose clock went back by that. One
    that lives is known by its renewals still.
    """
    first_store, first = await made(address, "far", host="far.example")
    await first.claim()
    ahead = "now64(6, 'UTC') + toIntervalHour(1) AS beat_at"
    await first_store.command(
        f"INSERT INTO backfill_owners SELECT * REPLACE ({ahead}) FROM backfill_owners"
    )
    keeping = asyncio.create_task(first.keep())
    store, second = await made(address, "near")
    with pytest.raises(errors.Stop, match=r"process 77 on far\.example"):
        await second.claim()
    keeping.cancel()
    await first_store.close()
    monkeypatch.setattr(ownership, "EXPIRES_S", 3.0)
    await second.claim()
    await second.confirm()
    await store.close()


def another_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


async def test_an_owner_whose_process_has_ended_here_is_no_owner(address):
    store, first = await made(address, "night")
    with another_process() as child:
        state = lock._state_of(child.pid)
        assert state is not None
        first._me = msgspec.structs.replace(first._me, pid=child.pid, born=state.born)
        await first.claim()
        second_store, second = await made(address, "other")
        with pytest.raises(errors.Stop, match=f"process {child.pid} on"):
            await second.claim()
    await second.claim()
    assert await holder(store) == "other"
    await store.close()
    await second_store.close()


async def test_who_was_suspended_while_another_took_over_writes_nothing_more(address, monkeypatch):
    monkeypatch.setattr(ownership, "EXPIRES_S", 2.0)
    awake = Awake()
    first_store, first = await made(address, "asleep", awake, host="laptop")
    await first.claim()
    store, second = await made(address, "second")
    await second.claim()  # the first slept longer than its claim lives
    keeping = asyncio.create_task(second.keep())
    monkeypatch.setattr(ownership, "EXPIRES_S", 60.0)
    awake.ahead_s = 3_600.0
    writing = client.Store(address, clock=clocks.SystemClock())
    writing.before_write = first.confirm
    with pytest.raises(errors.Stop, match="run second") as told:
        await writing.command("CREATE TABLE never (a UInt8) ENGINE = Memory")
    assert told.value.exit_code == errors.EXIT_UNAVAILABLE
    assert await writing.text("EXISTS TABLE never") == b"0\n"
    keeping.cancel()
    for one in (writing, first_store, store):
        await one.close()


async def test_who_was_suspended_alone_goes_on(address):
    awake = Awake()
    store, only = await made(address, "asleep", awake)
    await only.claim()
    awake.ahead_s = 3_600.0
    writing = client.Store(address, clock=clocks.SystemClock())
    writing.before_write = only.confirm
    await writing.command("CREATE TABLE kept (a UInt8) ENGINE = Memory")
    assert await writing.text("EXISTS TABLE kept") == b"1\n"
    await writing.close()
    await store.close()
