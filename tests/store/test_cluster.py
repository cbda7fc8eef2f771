"""A cluster of several servers: each row on its own, and no store taken for another."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests import real_server
from tests.store.conftest import count, duplicates, lines, trade

from polybackfill import clocks, errors
from polybackfill.store import client, cluster, definitions, migrate


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
    assert await migrate.restore(spread) == ["fill_costs"]
    assert await migrate.missing(spread.servers[1]) == []


async def test_a_server_that_is_away_keeps_no_row_of_the_others(
    address: client.Address, spread: client.Store
) -> None:
    """Its own rows are sent again when it is back."""
    rows = [trade(number) for number in range(200)]
    gone = dataclasses.replace(spread.servers[1].address, port=real_server.free_port())
    away = client.Store(gone, clock=clocks.SystemClock())
    assert isinstance(spread, cluster.ClusteredStore)
    there, spread._servers[1] = spread._servers[1], away
    with pytest.raises(errors.Retry, match=gone.location):
        await spread.insert("external_trades_raw", lines(rows), rows=len(rows))
    await away.close()
    spread._servers[1] = there
    assert 0 < await count(spread) < 200
    await spread.insert("external_trades_raw", lines(rows), rows=len(rows))
    assert await count(spread) == 200


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
