"""One embedded store for all tests of this folder, a database of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests import holds

from polybackfill import clock as clocks
from polybackfill.store import client, migrate

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a running store."""
    path = tmp_path_factory.mktemp("store")
    with holds.held(path):
        yield path


@pytest.fixture
def database() -> str:
    return f"test_{next(_numbers)}"


@pytest_asyncio.fixture
async def store(folder: Path, database: str) -> AsyncIterator[client.Store]:
    """An open store over an empty database."""
    address = client.Address(data_dir=folder, database=database)
    opened = await client.open(address, clock=clocks.SystemClock())
    yield opened
    await opened.command(f"DROP DATABASE {database} SYNC")
    await opened.close()


@pytest_asyncio.fixture
async def migrated(store: client.Store) -> client.Store:
    """The same, with the schema."""
    await migrate.up(store)
    return store


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
