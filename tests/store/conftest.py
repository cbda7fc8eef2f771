"""One store for all tests of this folder, a database of its own for each test.

It is the embedded one. What does not look into its folder is also run against a real server behind
TLS, and what is computed in views against a cluster of two, marked `long`: `make crash
ARGS=tests/store`.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from tests import holds, real_server, tls_proxy

from polybackfill import clocks
from polybackfill.store import client, cluster, migrate

_numbers = itertools.count(1)
# What is computed of the rows, by views above all, is the same on several servers.
_ALSO_ON_A_CLUSTER = frozenset(
    {"test_views", "test_balances", "test_payouts", "test_market_pnl", "test_pnl"}
)
_definitions: dict[str, dict[str, tuple[str, int]]] = {}  # of databases that were migrated


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a running store."""
    path = tmp_path_factory.mktemp("store")
    with holds.held(path):
        yield path


@pytest.fixture(scope="session")
def emptied() -> dict[client.Address, list[str]]:
    """By store the databases of earlier tests with the schema and nothing in it."""
    return collections.defaultdict(list)


@pytest.fixture(scope="session")
def server_behind_tls(
    clickhouse_server: real_server.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[client.Address]:
    """A real server, and its certificate trusted."""
    with tls_proxy.before(clickhouse_server.port, tmp_path_factory.mktemp("tls")) as proxy:
        # aiohttp read SSL_CERT_FILE when it was imported.
        aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(proxy.certificate)
        yield client.Address("127.0.0.1", proxy.port, secure=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that asks the store alone, and not the folder of the embedded one, has two."""
    names = metafunc.fixturenames
    if metafunc.definition.get_closest_marker("embedded"):
        return
    if "store_address" in names and "folder" not in names:
        others = ["server"]
        if metafunc.module.__name__.rpartition(".")[2] in _ALSO_ON_A_CLUSTER:
            others.append("cluster")
        params = ["embedded", *(pytest.param(name, marks=pytest.mark.long) for name in others)]
        metafunc.parametrize("store_address", params, indirect=True, scope="session")


@pytest.fixture(scope="session")
def store_address(request: pytest.FixtureRequest) -> client.Address:
    """Where the store of a test is: "embedded", a "server" behind TLS, or a "cluster" of two."""
    if getattr(request, "param", "embedded") == "embedded":
        return client.Address(data_dir=request.getfixturevalue("folder"))
    if request.param == "cluster":
        servers: real_server.Cluster = request.getfixturevalue("two_servers")
        entry = servers.servers[0]
        return client.Address(entry.host, entry.port, cluster=real_server.CLUSTER)
    address: client.Address = request.getfixturevalue("server_behind_tls")
    return address


@pytest.fixture
def database(
    request: pytest.FixtureRequest,
    store_address: client.Address,
    emptied: dict[client.Address, list[str]],
) -> str:
    if "migrated" in request.fixturenames and emptied[store_address]:
        return emptied[store_address].pop()
    return f"test_{next(_numbers)}"


@pytest_asyncio.fixture
async def store(
    request: pytest.FixtureRequest,
    store_address: client.Address,
    database: str,
    emptied: dict[client.Address, list[str]],
) -> AsyncIterator[client.Store]:
    """An open store over an empty database."""
    address = dataclasses.replace(store_address, database=database)
    if address.cluster is not None:
        request.getfixturevalue("two_servers").database(database)
    elif not address.embedded:  # there the client makes none
        server: real_server.Server = request.getfixturevalue("clickhouse_server")
        server.sql(f"CREATE DATABASE IF NOT EXISTS {database}")
    opened = await cluster.open_store(address, clock=clocks.SystemClock())
    yield opened
    if address.cluster is not None:
        _definitions.pop(database, None)
    elif database in _definitions and await _emptied(opened, _definitions[database]):
        emptied[store_address].append(database)
    else:
        _definitions.pop(database, None)
        await opened.command(f"DROP DATABASE {database} SYNC")
    await opened.close()
    if address.tls:  # aiohttp closes without waiting for TLS to say goodbye, and advises this
        await asyncio.sleep(0.25)


@pytest_asyncio.fixture
async def migrated(store: client.Store, database: str) -> client.Store:
    """The same, with the schema: one made for this test, or one that an earlier test has left."""
    if database not in _definitions:
        await migrate.up(store)
        _definitions[database] = await _schema(store)
    return store


async def _schema(store: client.Store) -> dict[str, tuple[str, int]]:
    """By table its definition and how many rows it has."""
    rows = await store.rows(
        "SELECT name, create_table_query AS definition, toInt64(ifNull(total_rows, 0)) AS rows "
        "FROM system.tables WHERE database = currentDatabase()"
    )
    return {row["name"]: (row["definition"], row["rows"]) for row in rows}


async def _emptied(store: client.Store, before: dict[str, tuple[str, int]]) -> bool:
    """Whether nothing is left of a test: no definition is another, and tables that held rows before
    hold as many. The others are emptied.
    """
    after = await _schema(store)
    if {name: found[0] for name, found in after.items()} != {
        name: found[0] for name, found in before.items()
    }:
        return False
    changed = [name for name, (_, rows) in after.items() if rows != before[name][1]]
    if any(before[name][1] for name in changed):
        return False
    for name in changed:
        await store.command(f"TRUNCATE TABLE `{name}` SYNC")
    return True


@pytest.fixture
def url(folder: Path, store: client.Store) -> str:
    """Where the running store answers HTTP."""
    return store.url


def trade(number: int, **changes: Any) -> dict[str, Any]:
    """A row of external_trades_raw, another one for every number."""
    return {
        "source": "polymarket_data_api",
        "external_trade_id": f"{number:032x}",
        "wallet_address": f"{number % 7:040x}",
        "condition_id": f"{number % 11:064x}",
        "market_question": 'Will "it" rain {tomorrow}?',
        "side": "BUY",
        "outcome_index": 0,
        "outcome": "Yes",
        "token_id": str(number),
        "market_id": "",
        "shares": 2.5,
        "price": 0.4,
        "cash_value": 1.0,
        "usdc_size": None,
        "fees": 0.0,
        "trade_timestamp": 1_700_000_000 + number,
        "tx_hash": f"{number:064x}",
        "source_route": "/v2/activity",
        "fetched_at": 1_790_000_000,
    } | changes


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(orjson.dumps, rows))


async def insert(store: client.Store, rows: list[dict[str, Any]]) -> None:
    await store.insert("external_trades_raw", lines(rows), rows=len(rows))


async def empty(store: client.Store, table: str) -> None:
    """Take the rows out of a table, on each server that has some."""
    for server in store.servers:
        await server.command(f"TRUNCATE TABLE {table} SYNC")


async def count(store: client.Store, table: str = "external_trades_raw") -> int:
    return int((await store.rows(f"SELECT count() AS n FROM {table}"))[0]["n"])


async def duplicates(store: client.Store) -> int:
    """Ids a plain SELECT shows more than once."""
    return len(
        await store.rows(
            "SELECT external_trade_id FROM external_trades_raw "
            "GROUP BY external_trade_id HAVING count() > 1"
        )
    )
