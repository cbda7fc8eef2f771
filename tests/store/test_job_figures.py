"""A job as a whole and host by host, by what its daemons told and what they have proven."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import msgspec
import pytest
from tests import real_server
from tests.store.test_job_tables import opened

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint, sweeps
from polybackfill.filesystem import lock
from polybackfill.reports import job_figures
from polybackfill.store import client, job_tables, migrate, stored_receipts

_DEFINITION = json.dumps({"planned_list": False})


@pytest.fixture
def address(server_with_keeper: real_server.Server) -> client.Address:
    server = server_with_keeper
    return client.Address(server.host, server.port, database=server.database("figures"))


async def enter(
    tables: job_tables.JobTables,
    member: str,
    run_name: str,
    facts: job_figures.MemberFacts | None = None,
    *,
    started_at: float = 0.0,
    lease_s: float = 60.0,
) -> None:
    """A daemon that has told its facts."""
    process = lock.Owner(host=f"{run_name}.example", pid=7, started_at=started_at)
    process = msgspec.structs.replace(process, run_name=run_name)
    await tables.enter("night", member, process, 60.0)
    if facts is not None:
        await tables.renew(member, lease_s, msgspec.to_builtins(facts))


def facts(done: int, open_keys: int, error: int, eta_s: float | None) -> job_figures.MemberFacts:
    part = job_figures.PartFacts(10, open_keys, error, 4.0, eta_s)
    return job_figures.MemberFacts(
        1.0, 1, done, error, 100 * done, 50.0, 5.0, eta_s, {"positions": part}
    )


async def prove(store: client.Store, folder: Path, *proven: units.Unit) -> None:
    """The receipts of one daemon."""
    book = run_checkpoint.Checkpoint.open(folder, store_id="s")
    try:
        for unit in proven:
            book.finish(unit.id, book.begin(unit), units.Counts(rows=7, pages=2))
        await book.sync()
        receipts = stored_receipts.StoredReceipts(store, folder.name, job="night")
        await receipts.follow(book, book.transitions_since(0))
        assert await receipts.is_aligned(book)
    finally:
        book.close()


async def test_the_whole_and_each_host(address, tmp_path):
    """One daemon was started twice, another is gone: what they have proven counts, what is in hand
    is that of the living, and errors are those that each told last.
    """
    async with opened(address) as (store, tables):
        await migrate.up(store)
        job = await tables.define("night", _DEFINITION)
        sweep = sweeps.name(job.began_at)
        await tables.add_shards(job, {"positions": 2, job_tables.POST_RUN: 1})
        await enter(tables, "a-1", "a", facts(3, 9, 1, 50.0), started_at=1.0)
        await tables.retire("a-1")
        await enter(tables, "a-2", "a", facts(1, 2, 1, 30.0), started_at=2.0)
        await enter(tables, "b-1", "b", facts(2, 1, 1, 40.0))
        await enter(tables, "c-1", "c", facts(1, 5, 0, None))
        await tables.retire("c-1")
        wallet = [units.Unit("positions", (f"w{number}@{sweep}",)) for number in range(7)]
        old = units.Unit("positions", ("w0@20200101T000000Z",))
        await prove(store, tmp_path / "a", *wallet[:4], old)
        await prove(store, tmp_path / "b", *wallet[4:6])
        await prove(store, tmp_path / "c", wallet[6])

        figures = await job_figures.read(store, tables, "night")

        assert figures is not None
        assert (figures.name, figures.round, figures.at_work) == ("night", 1, 2)
        assert figures.parts == {
            "positions": job_figures.JobPart(
                shards=2, shards_done=0, keys=10, done=7, open=3, error=2, rows=49, rejected=0,
                requests_per_s=8.0, eta_s=40.0,
            )
        }  # fmt: skip
        shown = [(one.run_name, one.host, one.state, one.keys, one.rows) for one in figures.hosts]
        assert shown == [
            ("a", "a.example", "alive", 4, 28),
            ("b", "b.example", "alive", 2, 14),
            ("c", socket.gethostname(), "gone", 1, 7),
        ]
        members = await tables.members("night")
        totals = job_figures.describe_totals(members, 1)
        assert totals == {
            "keys_done": 7, "keys_in_error": 2, "rows": 700, "rows_per_s": 100.0,
            "requests_per_s": 10.0, "eta_s": 40.0,
        }  # fmt: skip
        assert [one["member"] for one in job_figures.describe_members(members)] == ["a-2", "b-1"]


async def test_there_is_no_job(server_with_keeper):
    """Rows of Keeper outlive a database for a while, hence one of another name."""
    server = server_with_keeper
    address = client.Address(server.host, server.port, database=server.database("no_job"))
    store = client.Store(address, clock=clocks.SystemClock())
    try:
        tables = job_tables.JobTables(store, clocks.SystemClock())
        assert await job_figures.read(store, tables, "") is None
        assert await job_figures.read(store, tables, "night") is None, "no table of jobs"
        await tables.create()
        assert await job_figures.read(store, tables, "night") is None
    finally:
        await store.close()


def test_what_another_version_told_is_unknown():
    process = lock.Owner(host="x", pid=1, started_at=0.0)
    told = {"keys_done": "many"}
    member = job_tables.Member("m", process, job_tables.ALIVE, 0, 5.0, told)
    assert job_figures.read_facts(member) == job_figures.MemberFacts()
    late = job_tables.Member("m", process, job_tables.ALIVE, 0, -1.0, told)
    assert job_figures.describe_state(late) == "expired"
