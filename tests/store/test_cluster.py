"""A cluster of several servers: each row on its own, and no store taken for another."""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests import real_server
from tests.store.conftest import count, duplicates, insert, lines, trade

from polybackfill import clocks, errors, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.store import (
    backups,
    candles,
    client,
    cluster,
    definitions,
    fill_costs,
    market_ids,
    migrate,
    stored_receipts,
)


@pytest.fixture
def address(two_servers: real_server.Cluster) -> client.Address:
    """An empty database of the cluster."""
    entry = two_servers.servers[0]
    database = two_servers.database("spread")
    return client.Address(entry.host, entry.port, database=database, cluster=real_server.CLUSTER)


@pytest_asyncio.fixture
async def spread(address: client.Address) -> AsyncIterator[client.Store]:
    """The store over both servers, with the schema."""
    store = await cluster.open_store(address, clock=clocks.SystemClock())
    await migrate.up(store)
    yield store
    await store.close()


async def test_each_row_is_on_its_own_server_and_there_once(spread: client.Store) -> None:
    rows = [trade(number) for number in range(200)]
    for _ in range(2):
        await spread.insert("external_trades_raw", lines(rows), rows=len(rows))
    assert await count(spread) == 200
    assert await duplicates(spread) == 0
    for place, server in enumerate(spread.servers):
        held = {row["id"] for row in await server.rows(_IDS)}
        own = {
            one["condition_id"]
            for one in rows
            if zlib.crc32(one["condition_id"].encode()) % 2 == place
        }
        assert held == own
        assert held


_IDS = "SELECT DISTINCT condition_id AS id FROM external_trades_raw"


async def test_the_schema_may_be_brought_up_to_date_again_and_mended(
    spread: client.Store,
) -> None:
    assert await migrate.up(spread) == []
    assert await migrate.missing(spread) == []
    await spread.servers[1].command("DROP TABLE trade_candle_rows SYNC")
    await spread.command("DROP TABLE fill_costs SYNC")
    location = spread.servers[1].address.location
    assert await migrate.missing(spread) == ["fill_costs", f"trade_candle_rows at {location}"]
    assert await migrate.restore(spread) == ["fill_costs"]
    assert await migrate.missing(spread) == []


async def test_changes_reach_the_rows_of_every_server(spread: client.Store) -> None:
    """Costs that a wallet tells, market ids and taking them back, candles, and a backup."""
    fills = range(100)
    by_market = {"source_route": "/v2/trades", "fees": None, "usdc_size": None}
    await insert(spread, [trade(number, **by_market) for number in fills])
    await insert(spread, [trade(number, fees=0.1, usdc_size=1.1) for number in fills])
    assert await fill_costs.fold(spread) == 100
    assert await fill_costs.fold(spread) == 0
    assert await counted(spread, "usdc_size = 1.1 AND fees = 0.1") == 100
    ids = market_ids.MarketIds(spread)
    mappings = [market_ids.Listed(f"{number:064x}", str(5000 + number)) for number in range(11)]
    done = await ids.apply(mappings, source="test", by="gamma", now=1_790_000_000)
    assert done is not None
    assert (done.conditions, done.trades) == (11, 100)
    assert await counted(spread, "toUInt64(market_id) = 5000 + number_of_market") == 100
    await ids.revert(done, now=1_790_000_001)
    assert await counted(spread, "market_id = ''") == 100
    assert await candles.make_marked(spread) == 11
    assert await candles.make_marked(spread) == 0
    assert await counted(spread, "interval_s = 86400", "trade_candles", "sum(fills)") == 100
    kept = backups.Backups(spread)
    await kept.make("20260101_000000")
    await kept.empty_tables()
    assert await count(spread) == 0
    assert await kept.names() == ["20260101_000000"]
    (of_fills, _) = await kept.compare("20260101_000000")
    assert (of_fills.rows, of_fills.backup_rows, of_fills.not_in_table) == (0, 100, 100)
    await kept.put_back("20260101_000000")
    assert await counted(spread, "usdc_size = 1.1") == 100


async def test_receipts_are_withdrawn_where_they_are(spread: client.Store, tmp_path: Path) -> None:
    """Some of a unit's keys, and all of a kind."""
    checkpoint = run_checkpoint.Checkpoint.open(tmp_path / "main", store_id="s")
    told = stored_receipts.StoredReceipts(spread, "main")
    for number in range(20):
        unit = units.Unit("conditions", (f"{number}a", f"{number}b"))
        checkpoint.finish(unit.id, checkpoint.begin(unit), units.Counts(rows=1, pages=1), None)
    await told.align(checkpoint)
    assert await told.is_aligned(checkpoint)
    on_each = [await count(server, "backfill_receipt_rows") for server in spread.servers]
    assert min(on_each) > 0
    checkpoint.forget("conditions", [f"{number}a" for number in range(20)])
    await told.align(checkpoint)
    assert await told.is_aligned(checkpoint)
    checkpoint.forget("conditions")
    await told.align(checkpoint)
    assert await count(spread, "backfill_receipts") == 0
    checkpoint.close()


async def counted(
    store: client.Store, which: str, table: str = "external_trades_raw", what: str = "count()"
) -> int:
    numbered = "reinterpretAsUInt64(reverse(unhex(right(condition_id, 16)))) AS number_of_market"
    (row,) = await store.rows(
        f"SELECT toUInt64({what}) AS n FROM (SELECT *, {numbered} FROM {table}) WHERE {which}"
    )
    return int(row["n"])


@contextlib.asynccontextmanager
async def without_the_second(store: client.Store) -> AsyncIterator[None]:
    """Meanwhile the second server is away, of which a statement in the body complains."""
    gone = dataclasses.replace(store.servers[1].address, port=real_server.free_port())
    away = client.Store(gone, clock=clocks.SystemClock())
    assert isinstance(store, cluster.ClusteredStore)
    there, store._servers[1] = store._servers[1], away
    with pytest.raises(errors.Retry, match=gone.location):
        yield
    await away.close()
    store._servers[1] = there


async def test_a_server_that_is_away_keeps_no_row_of_the_others(spread: client.Store) -> None:
    """Its own rows are sent again when it is back."""
    rows = [trade(number) for number in range(200)]
    async with without_the_second(spread):
        await spread.insert("external_trades_raw", lines(rows), rows=len(rows))
    assert 0 < await count(spread) < 200
    await spread.insert("external_trades_raw", lines(rows), rows=len(rows))
    assert await count(spread) == 200


async def test_rows_that_move_in_are_seen_all_at_once(spread: client.Store) -> None:
    """Whoever opens the store after a move that broke off ends it."""
    table, beside = "candle_marks", client.beside("candle_marks")
    for number, server in enumerate(spread.servers):
        await server.command(f"CREATE TABLE {beside} AS {table}")
        await server.command(f"INSERT INTO {beside} VALUES ('{number}')")
    async with without_the_second(spread):
        await spread.move_in(table)
    second = spread.servers[1]
    assert (await count(spread, table), await count(second, table)) == (2, 0)
    await migrate.up(spread)
    assert (await count(spread, table), await count(second, table)) == (2, 1)
    for server in spread.servers:
        await server.command(f"DROP TABLE {beside} SYNC")
    assert await count(spread, table) == 2


async def test_no_store_is_taken_for_another(
    two_servers: real_server.Cluster, address: client.Address, spread: client.Store
) -> None:
    plain = client.Store(dataclasses.replace(address, cluster=None), clock=clocks.SystemClock())
    with pytest.raises(errors.Stop, match="name it with CLICKHOUSE_CLUSTER"):
        await migrate.up(plain)
    await plain.close()
    other = two_servers.servers[1]
    other.database("spread")
    elsewhere = dataclasses.replace(address, host=other.host)
    store = await cluster.open_store(elsewhere, clock=clocks.SystemClock())
    with pytest.raises(errors.Stop, match="A store stays with its servers"):
        await migrate.up(store)
    await store.close()
    # A database of one server, which holds rows, and is not spread afterwards.
    single = dataclasses.replace(address, database=two_servers.database("single"))
    store = client.Store(dataclasses.replace(single, cluster=None), clock=clocks.SystemClock())
    await migrate.up(store)
    await store.close()
    store = await cluster.open_store(single, clock=clocks.SystemClock())
    with pytest.raises(errors.Stop, match="the store of one server"):
        await migrate.up(store)
    await store.close()


async def test_an_entry_that_is_no_server_of_the_cluster_is_refused(
    two_servers: real_server.Cluster, address: client.Address
) -> None:
    other = two_servers.servers[1].host
    nodes = [cluster._Server(number=1, weight=1, host=other, replicas=1)]
    store = cluster.ClusteredStore(address, nodes, [], clock=clocks.SystemClock())
    with pytest.raises(errors.Stop, match="name one of its servers"):
        await migrate.up(store)
    await store.close()


async def test_shards_with_replicas_are_refused(address: client.Address) -> None:
    """One replica may answer for another, and each works out a mutation by itself."""
    copied = dataclasses.replace(address, cluster=real_server.COPIED)
    with pytest.raises(errors.Stop, match=r"several shards with replicas.*one host of each"):
        await cluster.open_store(copied, clock=clocks.SystemClock())


def test_what_lands_on_a_server_stays_there() -> None:
    """A table that is fed by big tables, or by what lands in them, is a big table."""
    views = definitions.views()
    left = cluster.unneeded()
    for source, fed in views.items():
        if source in cluster.BIG or source in left:
            assert {view.target for view in fed} <= set(cluster.BIG) | left
    assert left.isdisjoint(cluster.BIG)
    kept = [view for fed in views.values() for view in fed if view.name not in left]
    assert {view.source for view in kept}.isdisjoint(left)
