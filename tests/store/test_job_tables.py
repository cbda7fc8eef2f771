"""Daemons that share a job: who has what, and what one adds that was taken over."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from tests import real_server
from tests.store.conftest import count, duplicates, lines, trade

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.store import client, job_tables, migrate

_CLOCK = clocks.SystemClock()
_PROCESS = lock.Owner(host="far.example", pid=7, started_at=0.0, boot="elsewhere", namespace="x")


@pytest.fixture
def address(server_with_keeper: real_server.Server) -> client.Address:
    server = server_with_keeper
    return client.Address(server.host, server.port, database=server.database("shared"))


@contextlib.asynccontextmanager
async def opened(
    address: client.Address,
) -> AsyncIterator[tuple[client.Store, job_tables.JobTables]]:
    store = client.Store(address, clock=_CLOCK)
    tables = job_tables.JobTables(store, _CLOCK)
    await tables.create()
    yield store, tables
    await store.close()


@pytest_asyncio.fixture
async def tables(address: client.Address) -> AsyncIterator[job_tables.JobTables]:
    async with opened(address) as (_, made):
        yield made


async def enter(tables: job_tables.JobTables, *names: str, lease_s: float = 60.0) -> None:
    for name in names:
        await tables.enter("night", name, _PROCESS, lease_s)


async def test_a_server_without_keeper_is_refused_in_words(
    clickhouse_server, tmp_path, monkeypatch
):
    """Also one whose configuration has only half of the lines."""
    half = "<keeper_map_path_prefix>/keeper_map</keeper_map_path_prefix>"
    monkeypatch.setattr(real_server, "_KEEPER", half)
    with real_server.running(tmp_path, keeper_port=0) as half_configured:
        for server in (clickhouse_server, half_configured):
            address = client.Address(server.host, server.port, database=server.database("alone"))
            store = client.Store(address, clock=_CLOCK)
            told = pytest.raises(errors.Stop, match=r"no Keeper for BACKFILL_JOB.*several-hosts")
            with told:
                await job_tables.JobTables(store, _CLOCK).create()
            await store.close()


async def test_servers_with_one_keeper_have_jobs_of_their_own(address, running_keeper, tmp_path):
    """Also where their databases have the same name: what is done here is not done there."""
    with real_server.running(tmp_path, keeper_port=running_keeper.port) as server:
        named = server.database(address.database)
        beside = client.Address(server.host, server.port, database=named)
        async with opened(address) as (_, tables), opened(beside) as (_, others):
            await tables.define("night", "{}")
            assert await others.find("night") is None


async def test_of_many_that_define_a_job_at_once_one_does(address):
    async with contextlib.AsyncExitStack() as stack:
        all_tables = [(await stack.enter_async_context(opened(address)))[1] for _ in range(4)]
        jobs = await asyncio.gather(
            *(one.define("night", f"by {number}") for number, one in enumerate(all_tables))
        )
        assert len({job.definition for job in jobs}) == 1
        rounds = await asyncio.gather(
            *(one.begin_round(jobs[0]) for one in all_tables), return_exceptions=True
        )
        assert {job.round for job in rounds} == {2}
        assert abs(rounds[0].began_at - time.time()) < 60


async def test_contenders_share_shards_and_none_has_two_owners(address):
    names = [f"m{number}" for number in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        all_tables = [(await stack.enter_async_context(opened(address)))[1] for _ in names]
        job = await all_tables[0].define("night", "{}")
        await asyncio.gather(*(one.add_shards(job, {"wallets": 40}) for one in all_tables))
        won: dict[str, list[int]] = {name: [] for name in names}

        async def contend(name: str, mine: job_tables.JobTables) -> None:
            while True:
                before = (await mine.shards(job))["wallets"]
                free = [number for number, owner in enumerate(before.owners) if not owner]
                if not free:
                    return
                owners = list(before.owners)
                owners[free[0]] = name
                await mine.change_shards(before, owners, before.is_done)
                after = (await mine.shards(job))["wallets"]
                if after.owners[free[0]] == name:
                    won[name].append(free[0])

        await asyncio.gather(*map(contend, names, all_tables))
        after = (await all_tables[0].shards(job))["wallets"]
        assert sorted(number for numbers in won.values() for number in numbers) == list(range(40))
        assert {after.owners[number] for number in won["m0"]} <= {"m0"}
        assert not after.all_done


async def test_slices_are_never_with_two_at_once(address):
    names = [f"m{number}" for number in range(3)]
    wanted = [f"night {number}" for number in range(4)]
    inside: dict[str, str] = {}
    async with contextlib.AsyncExitStack() as stack:
        all_tables = [(await stack.enter_async_context(opened(address)))[1] for _ in names]
        await enter(all_tables[0], *names)

        async def work(name: str, mine: job_tables.JobTables) -> int:
            turns = 0
            while turns < 6:
                claimed = await mine.claim_slices(name, wanted, 2)
                for one in claimed:
                    assert one not in inside, f"{one}: {name} beside {inside[one]}"
                    inside[one] = name
                await asyncio.sleep(0.01)
                for one in claimed:
                    del inside[one]
                if claimed:
                    turns += 1
                    await mine.release_slices(name, claimed)
            return turns

        assert await asyncio.gather(*map(work, names, all_tables)) == [6, 6, 6]


async def test_a_slice_that_one_claims_who_is_gone_is_free(tables):
    """What it had under way reached Keeper after the take-over; one of the living is not free."""
    await enter(tables, "m0", "m1", "m2")
    assert await tables.retire("m0")
    assert await tables.claim_slices("m0", ["free 1", "free 2"], 2) == ["free 1", "free 2"]
    assert await tables.claim_slices("m1", ["free 3"], 1) == ["free 3"]
    wanted = ["free 1", "free 2", "free 3"]
    assert await tables.claim_slices("m2", wanted, 3) == ["free 1", "free 2"]
    assert await tables.claim_slices("m1", wanted, 3) == ["free 3"], "its own"


async def test_a_member_lives_as_long_as_it_renews(tables):
    await enter(tables, "m0", lease_s=1.0)
    (entered,) = await tables.members("night")
    assert await tables.renew("m0", 60.0, {"rows": 3})
    (member,) = await tables.members("night")
    assert (member.state, member.facts) == ("alive", {"rows": 3})
    assert 50 < member.left_s <= 60
    assert not await tables.retire("m0", expires_at=entered.expires_at), "it was renewed"


async def test_one_that_was_marked_dead_stays_dead(tables):
    await enter(tables, "m0", "m1", lease_s=0.001)
    await tables.claim_slices("m0", ["night 1"], 1)
    assert await tables.retire("m0")
    assert not await tables.renew("m0", 60.0, {})
    assert await tables.claim_slices("m1", ["night 1"], 1) == ["night 1"]
    assert {one.name: one.state for one in await tables.members("night")} == {
        "m0": "gone",
        "m1": "alive",
    }


async def test_renewal_and_takeover_at_the_same_time_have_one_winner(address):
    async with opened(address) as (_, first), opened(address) as (_, second):
        for number in range(10):
            name = f"m{number}"
            await enter(first, name, lease_s=0.001)
            expires_at = {one.name: one.expires_at for one in await first.members("night")}
            lives, is_retired = await asyncio.gather(
                first.renew(name, 60.0, {}),
                second.retire(name, expires_at=expires_at[name]),
                return_exceptions=True,
            )
            assert lives is not is_retired, (name, lives, is_retired)


class _SlowInsert(threading.Thread):
    """An insert of 30,000 fills on its way: the body comes in pieces over some seconds."""

    def __init__(self, address: client.Address, sql: str, query_id: str, **named: str) -> None:
        super().__init__()
        self.began, self.go_on = threading.Event(), threading.Event()
        self.answer = ""
        query = {
            "query": sql,
            "query_id": query_id,
            "database": address.database,
            "input_format_parallel_parsing": "0",
            "max_insert_block_size": "1000",
            "max_block_size": "1000",
            "min_insert_block_size_rows": "1000",
            **{f"param_{name}": text for name, text in named.items()},
        }
        self._url = f"http://{address.host}:{address.server_port}/?{urllib.parse.urlencode(query)}"

    def run(self) -> None:
        def body() -> Sequence[bytes]:
            yield rows(0, 15_000)
            self.began.set()
            self.go_on.wait(60)
            yield rows(15_000, 30_000)

        request = urllib.request.Request(self._url, data=body())  # noqa: S310
        request.add_header("Transfer-Encoding", "chunked")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                self.answer = answer.read().decode() or "ok"
        except urllib.error.HTTPError as error:
            self.answer = error.read().decode()
        except OSError as error:
            self.answer = str(error)


def rows(first: int, last: int) -> bytes:
    return lines([trade(number) for number in range(first, last)]) + b"\n"


async def begin_slow_insert(
    store: client.Store, address: client.Address, fence: client.Fence | None
) -> _SlowInsert:
    """The insert of a daemon that stands still in the middle of it, as the server sees it."""
    table = "external_trades_landing"
    sql, query_id = f"INSERT INTO {table}", "no-member"
    if fence is not None:
        sql, query_id = await store._fenced_insert(table, [rows(0, 1)], fence), fence.query_id()
    slow = _SlowInsert(address, f"{sql} FORMAT JSONEachRow", query_id, member="stale")
    slow.start()
    await asyncio.to_thread(slow.began.wait, 30)
    deadline = time.monotonic() + 30
    while await count(store) < 10_000:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return slow


@pytest_asyncio.fixture
async def shared(address: client.Address) -> AsyncIterator[client.Store]:
    """The store of a member `fresh`, beside which another named `stale` stands still."""
    async with opened(address) as (plain, tables):
        await migrate.up(plain)
        await plain.command("SYSTEM STOP MERGES external_trades_raw")  # the net under the check
        await enter(tables, "stale", lease_s=0.001)
        await enter(tables, "fresh")
        store = client.Store(address, clock=_CLOCK)
        store.fence = job_tables.fence("fresh")
        yield store
        await store.close()


@pytest.mark.parametrize("is_fenced", [True, False])
async def test_a_stale_insert_in_the_middle_adds_no_fill_twice(address, shared, is_fenced):
    """Begun before the takeover: it is ended. Without the fence it would go on beside the new one,
    which cannot see what it is about to store.
    """
    fence = job_tables.fence("stale") if is_fenced else None
    stale = await begin_slow_insert(shared, address, fence)
    async with opened(address) as (plain, tables):
        retiring = asyncio.create_task(tables.retire("stale"))
        if is_fenced:  # the server looks at the kill when it has waited for rows, or got some
            is_cancelled = (
                "SELECT 1 FROM system.processes WHERE is_cancelled AND query_id LIKE '%stale%'"
            )
            while not (retiring.done() or await plain.text(is_cancelled)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            stale.go_on.set()
        assert await retiring
    await shared.insert("external_trades_raw", rows(0, 30_000), rows=30_000)
    stale.go_on.set()
    stale.join(60)
    added_twice = await count(shared) - 30_000
    assert (added_twice == 0) is is_fenced, (added_twice, stale.answer)
    assert bool(await duplicates(shared)) is not is_fenced


async def test_a_stale_insert_that_begins_late_adds_nothing(address, shared):
    """Stopped between the look at its place in the job and its insert, taken over, woken."""
    stale = client.Store(address, clock=_CLOCK)
    stale.fence = job_tables.fence("stale")
    async with opened(address) as (_, tables):
        assert await tables.retire("stale")
    with pytest.raises(errors.Stop, match="has taken over") as told:
        await stale.insert("external_trades_raw", rows(0, 100), rows=100)
    assert told.value.exit_code == errors.EXIT_UNAVAILABLE
    assert await count(shared) == 0
    await shared.insert("external_trades_raw", rows(0, 100), rows=100)
    assert await count(shared) == 100
    await stale.close()


async def test_a_fenced_insert_is_one_block_and_keeps_out_what_is_there(shared):
    """As without a job: rows twice in a batch, rows twice in two batches."""
    batch = rows(0, 120_000)
    await shared.insert("external_trades_raw", [batch, rows(0, 10)], rows=120_010)
    await shared.insert("external_trades_raw", rows(119_990, 120_010), rows=20)
    assert await count(shared) == 120_010
    assert await duplicates(shared) == 0
    parts = await shared.rows(
        "SELECT count() AS n FROM system.parts WHERE table = 'external_trades_raw' "
        "AND database = currentDatabase() AND active AND level = 0"
    )
    assert parts[0]["n"] <= 2
