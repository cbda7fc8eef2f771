"""A cluster of several servers as the store: every figure is that of one server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness, keeper, real_server
from tests.crash import pushkill
from tests.system import test_job, test_push

from polybackfill import clocks, errors
from polybackfill.store import client, cluster, definitions, migrate

# Rows as they happened to come, of which views show the newest; and which of equal fills is which,
# which is left to chance, where vw_trades_unified shows them all.
_AS_THEY_CAME = frozenset(
    {
        *("api_event_rows", "api_market_rows", "api_position_rows", "ingested_keys"),
        *("backfill_meta", "backfill_receipt_rows", "schema_migrations", "fills_paired"),
    }
)
_COLUMNS = """
SELECT table, groupArray(name) AS columns FROM system.columns
WHERE database = currentDatabase() GROUP BY table
"""
_CONTENT = """
SELECT '{table}' AS name, count() AS rows,
    toString(sum(cityHash64(toString(tuple({columns}))))) AS digest
FROM {table} AS shown
"""
# Sums of floats, which depend on their order; and what differs between two runs.
_SUMS = frozenset({"net_shares", "difference"})
_OF_A_RUN = frozenset({"generated_at", "files", "counts", "newest", "units_compared", "bytes"})
_STORED = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name NOT IN (
    'ingested_keys', 'schema_migrations')
"""
# What the user's own tables hold of the fills, for the views over both.
_OWN = (
    """
    INSERT INTO pm_trades
    SELECT concat('own ', toString(external_trade_id)), trade_timestamp, 1, tx_hash, token_id,
        condition_id,
        greatest(outcome_index, 0), outcome, market_question, wallet_address, '', 0, side, price,
        shares, cash_value, ifNull(fees, 0), 'clob'
    FROM external_trades_raw WHERE cityHash64(toString(external_trade_id)) % 3 = 0
    """,
    """
    INSERT INTO vw_trades_canonical
    SELECT wallet_address, condition_id, '', trade_timestamp, side, outcome_index, shares,
        cash_value, tx_hash, 1, '', market_question, ['Yes', 'No'], 0, 0, 0
    FROM external_trades_raw WHERE cityHash64(toString(external_trade_id)) % 5 = 0
    """,
)
# As a run leaves the costs of fills that was killed before it wrote them in.
_COSTS_LEFT = (
    """
    INSERT INTO fill_costs SELECT external_trade_id, usdc_size, fees FROM external_trades_raw
    WHERE isNotNull(usdc_size) LIMIT 100
    """,
    """
    ALTER TABLE external_trades_raw UPDATE usdc_size = NULL, fees = NULL
    WHERE external_trade_id IN (SELECT external_trade_id FROM fill_costs)
    """,
)
_COSTS_KNOWN = "SELECT count(usdc_size) AS n FROM {}.external_trades_raw"
# What a run says of a server that is away, when it inserts or reads.
_AWAY = r"No connection to the store|All connection tries failed|broke off|broke:"
_REPORTS = (  # checks look at what the first has made
    ("report", "categories", "--json"),
    ("report", "coverage", "--json"),
    ("validate", "--offline", "--json"),
)


def entry(servers: real_server.Cluster) -> harness.Server:
    """Where a program reaches them."""
    first = servers.servers[0]
    return harness.Server(first.port, host=first.host, cluster=real_server.CLUSTER)


@contextlib.asynccontextmanager
async def opened(address: client.Address) -> AsyncIterator[client.Store]:
    store = await cluster.open_store(address, clock=clocks.SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def content(store: client.Store) -> dict[str, object]:
    """Rows and digest of each table and view."""
    columns = {row["table"]: row["columns"] for row in await store.rows(_COLUMNS)}
    told: dict[str, object] = {}
    for table in sorted(set(definitions.created()) - cluster.unneeded() - _AS_THEY_CAME):
        if not table.endswith(("_mv", "_landing")):
            kept = (
                f"toInt64(round(shown.{name} * 1e6))" if name in _SUMS else f"shown.{name}"
                for name in columns[table]
            )
            (told[table],) = await store.rows(_CONTENT.format(table=table, columns=", ".join(kept)))
    return told


async def copy(source: client.Address, single: client.Address) -> None:
    """Every row into a store of one server, which is there already."""
    async with opened(single) as store:
        await migrate.up(store)
        for row in await store.rows(_STORED):
            table = row["name"]
            await store.command(f"INSERT INTO {table} SELECT * FROM {source.database}.{table}")
        await store.command("TRUNCATE TABLE candle_marks")


async def compare_contents(source: client.Address, single: client.Address) -> None:
    async with opened(source) as clustered, opened(single) as plain:
        assert len(clustered.servers) > len(plain.servers)
        assert await content(clustered) == await content(plain)


def flat(told: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """The values of a document by their paths, without what differs from run to run."""
    if isinstance(told, dict):
        for name, value in told.items():
            if name not in _OF_A_RUN:
                yield from flat(value, f"{path}/{name}")
    elif isinstance(told, list):
        for number, one in enumerate(told):
            yield from flat(one, f"{path}/{number}")
    else:
        yield path, round(told, 6) if isinstance(told, float) else told


def reports(ground: harness.Ground) -> dict[str, object]:
    """What `validate` and both reports say."""
    said: dict[str, object] = {}
    for words in _REPORTS:
        ended = ground.run(*words)
        ended.expect(0)
        said |= flat(json.loads(ended.out), " ".join(words))
    return said


def load_own(ground: harness.Ground) -> None:
    """A part of the fills is in the user's own tables, too."""
    for statement in _OWN:
        ground.run("sql", statement).expect(0)


def copied(servers: real_server.Cluster, database: str) -> str:
    """A database of one server with every row; each table and view is the same."""
    first = servers.servers[0]
    source = client.Address(first.host, first.port, database=database, cluster=real_server.CLUSTER)
    single = client.Address(first.host, first.port, database=first.database(f"{database}_single"))
    asyncio.run(copy(source, single))
    asyncio.run(compare_contents(source, single))
    return single.database


def test_two_servers_say_what_one_says(tmp_path: Path, two_servers: real_server.Cluster) -> None:
    """A universe in a cluster, and the same rows in a store of one server."""
    with (
        harness.sandbox(trades=2_000, wallets=40, markets=40) as sandbox,
        harness.ground(tmp_path, sandbox.url) as ground,
    ):
        ground.use_server(entry(two_servers), two_servers.database("universe"))
        ground.run("run").expect(0)
        ground.prove_everything(sandbox)
        for server in two_servers.servers:
            stored = server.sql("SELECT count() > 100 FROM universe_local.external_trades_raw")
            assert stored == "1\n"
        load_own(ground)
        copied(two_servers, "universe")


def push(ground: harness.Ground, servers: real_server.Cluster, *kill: str) -> harness.Finished:
    """Into the database `pushed`."""
    to = f"{servers.servers[0].url}pushed"
    ground.environment["CLICKHOUSE_CLUSTER"] = real_server.CLUSTER
    driver = {"driver": Path(pushkill.__file__)} if kill else {}
    return ground.run(*kill, "push", "--to", to, "--json", **driver)


async def contents(*addresses: client.Address) -> list[dict[str, object]]:
    """Of each the same, but for what no copy has: clean stops, and older rows of a candle."""
    told = []
    for address in addresses:
        async with opened(address) as store:
            told.append(await content(store))
        for table in ("clean_stops", "trade_candle_rows"):
            del told[-1][table]
    return told


def test_a_push_into_a_cluster_is_cut_by_server_and_the_run_goes_on_there(
    tmp_path: Path, two_servers: real_server.Cluster, prepared: harness.PreparedStore
) -> None:
    """Killed while one server has its part of the fills in place and the other has not: readers see
    all of them. In the end every table and view is that of the embedded store.
    """
    first, second = two_servers.servers
    database = two_servers.database("pushed")
    with (
        harness.sandbox(trades=2_000, wallets=40, markets=40) as sandbox,
        harness.ground(tmp_path, sandbox.url, prepared=prepared) as laptop,
    ):
        laptop.plan(sandbox)
        laptop.run("run", "conditions", "positions").expect(0)
        laptop.run("run", "wallets", "--limit", "20").expect(0)
        (known,) = laptop.sql(_COSTS_KNOWN.format("default"))
        for statement in _COSTS_LEFT:
            laptop.sql(statement)
        push(laptop, two_servers, "moved", "1").expect(-signal.SIGKILL)
        fills = "SELECT count() FROM {}.external_trades_raw"
        assert second.sql(fills.format("pushed_local")) == "0\n"
        seen = int(first.sql(fills.format(database)))
        pushed = push(laptop, two_servers)
        pushed.expect(0)
        said = json.loads(pushed.out)
        assert seen == said["tables"]["external_trades_raw"]["rows"] > 1_000
        assert int(first.sql(_COSTS_KNOWN.format(database))) == known["n"] > 100
        assert said["tables"]["wallet_activity_raw"]["rows"] > 10
        for number, server in enumerate(two_servers.servers):
            for table, key in cluster.BIG.items():
                astray = f"countIf(CRC32({key}) % 2 != {number})" if key else "count()"
                assert server.sql(f"SELECT {astray} FROM pushed_local.{table}") == "0\n"
            assert server.sql("SELECT count() > 100 FROM pushed_local.external_trades_raw") == "1\n"
            assert server.sql("SHOW TABLES FROM pushed_local LIKE 'pushed%'") == ""
        here, there = asyncio.run(
            contents(
                client.Address(data_dir=laptop.store),
                client.Address(
                    first.host, first.port, database=database, cluster=real_server.CLUSTER
                ),
            )
        )
        assert here == there
        (tmp_path / "beyond").mkdir()
        with harness.ground(tmp_path / "beyond", sandbox.url) as beyond:
            beyond.use_server(entry(two_servers), database)
            beyond.checkpoints = Path(said["checkpoint_dir"])
            beyond.set(checkpoint_dir=beyond.checkpoints)
            sandbox.reset()
            beyond.run("run", "conditions").expect(0)
            assert sandbox.asked() == {}
            beyond.run("run", "conditions", "wallets").expect(0)
            beyond.prove(sandbox)
        refused = push(laptop, two_servers)  # a store that has gone on is nobody's copy any more
        refused.expect(errors.EXIT_CONFIG)
        assert "name a database that is empty" in refused.err


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_fills_are_pushed_into_a_cluster_and_killed_twice(
    tmp_path: Path, two_servers: real_server.Cluster, prepared: harness.PreparedStore
) -> None:
    """While a slice is on its way, and between the two servers' parts of the whole."""
    database = two_servers.database("pushed")
    with harness.ground(tmp_path, "http://127.0.0.1:9", prepared=prepared) as laptop:
        laptop.sql(test_push.FILLS)
        (here,) = laptop.sql(test_push.DIGEST)
        assert here["rows"] == test_push.MANY
        for step, call in (("sending", "3"), ("moved", "1")):
            push(laptop, two_servers, step, call).expect(-signal.SIGKILL)
        push(laptop, two_servers).expect(0)
        laptop.use_server(entry(two_servers), database)
        assert laptop.sql(test_push.DIGEST) == [here]
        held = [
            server.sql(f"SELECT count() FROM {database}_local.external_trades_raw")
            for server in two_servers.servers
        ]
        assert sum(map(int, held)) == test_push.MANY


@pytest.mark.long
def test_a_server_that_dies_in_the_middle_of_a_run_changes_nothing(tmp_path: Path) -> None:
    """Three servers; each is killed once while a run goes on, and started again over what it has.
    Checks and reports say what they say of one server with these rows.
    """
    with (
        contextlib.closing(real_server.Cluster(tmp_path / "servers", 3)) as servers,
        harness.sandbox(trades=8_000, wallets=60, markets=60, latency_ms=100) as sandbox,
        harness.ground(tmp_path, sandbox.url, batch_rows=1_000) as ground,
    ):
        ground.use_server(entry(servers), servers.database("universe"))
        daemon = ground.start("run")
        harness.until(lambda: sandbox.pages() > 20, "fills", 150)
        for number in (1, 2, 0):
            servers.kill(number)
            said = len(re.findall(_AWAY, daemon.err()))
            harness.until(
                lambda before=said: len(re.findall(_AWAY, daemon.err())) > before,
                "a statement that fails",
            )
            servers.start(number)
            wait_for_pages(ground, daemon, 10)
        daemon.end(300).expect(0)
        ground.prove_everything(sandbox)
        assert "(cluster of 3 servers)" in ground.run("doctor").out
        load_own(ground)
        of_cluster = reports(ground)
        single = copied(servers, "universe")
        first = servers.servers[0]
        ground.use_server(harness.Server(first.port, host=first.host), single)
        assert reports(ground) == of_cluster


def wait_for_pages(ground: harness.Ground, daemon: harness.Daemon, more: int) -> None:
    """Until so many more are acknowledged."""
    least = ground.acknowledged_pages() + more

    def are_there() -> bool:
        assert daemon.running, daemon.err()[-3_000:]
        return ground.acknowledged_pages() >= least

    harness.until(are_there, f"{least} pages", 150, every_s=0.1)


@pytest.mark.long
def test_daemons_of_a_job_share_a_cluster(tmp_path: Path, running_keeper: keeper.Keeper) -> None:
    """Every table is the truth, and no fill is there twice, though one daemon is killed."""
    with (
        contextlib.closing(
            real_server.Cluster(tmp_path / "servers", 2, keeper_port=running_keeper.port)
        ) as servers,
        harness.sandbox(trades=2_000, wallets=40, markets=40, latency_ms=20) as sandbox,
    ):
        database = servers.database("job")
        hosts = [
            test_job.make_host(tmp_path, sandbox, servers.servers[0], database, number)
            for number in range(3)
        ]
        for host in hosts:
            host.use_server(entry(servers), database)
        daemons = [host.start("run") for host in hosts]
        test_job.until_all(hosts, daemons, "share")
        daemons[0].kill()
        for daemon in daemons[1:]:
            daemon.end(280).expect(0)
        assert hosts[1].duplicates() == 0
        for host in hosts[1:]:
            host.prove_everything(sandbox)
