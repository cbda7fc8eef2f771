"""The maker's own client reads from and writes to the embedded store."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
import pytest_asyncio
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from tests import holds

from polybackfill.store import client


@pytest_asyncio.fixture(params=[True, False], ids=["compressed", "plain"])
async def connected(
    request: pytest.FixtureRequest, store: client.Store, folder: Path
) -> AsyncIterator[Client]:
    port = int(store.url.rsplit(":", 1)[1].rstrip("/"))
    made = await asyncio.to_thread(
        clickhouse_connect.get_client,
        host="127.0.0.1",
        port=port,
        username="default",
        password=holds.password_of(folder),
        database=store.address.database,
        compress=request.param,
    )
    yield made
    await asyncio.to_thread(made.close)


async def test_a_table_is_made_filled_and_read(connected: Client) -> None:
    def work() -> tuple[Any, Any]:
        connected.command(
            "CREATE TABLE rows (id UUID, name String, at DateTime, amount Decimal(18, 6), "
            "many Array(UInt8), perhaps Nullable(Float64)) ENGINE = MergeTree ORDER BY id"
        )
        at = dt.datetime(2024, 1, 2, 3, 4, 5)
        one = [uuid.UUID(int=1), "it's \n{one}", at, decimal.Decimal("1.25"), [1, 2], None]
        two = [uuid.UUID(int=2), "", at, decimal.Decimal("-3"), [], 0.5]
        summary = connected.insert("rows", [one, two])
        return summary, connected.query("SELECT * FROM rows ORDER BY id").result_rows

    summary, rows = await asyncio.to_thread(work)
    assert summary.written_rows == 2
    assert [row[0].int for row in rows] == [1, 2]
    assert rows[0][1:] == (
        "it's \n{one}", dt.datetime(2024, 1, 2, 3, 4, 5), decimal.Decimal("1.25"), [1, 2], None,
    )  # fmt: skip


async def test_many_rows_go_both_ways(connected: Client) -> None:
    def work() -> tuple[int, int]:
        connected.command("CREATE TABLE rows (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
        connected.insert("rows", [[n, f"text {n}"] for n in range(50_000)], column_names=["n", "s"])
        found = connected.query("SELECT n, s FROM rows ORDER BY n").result_rows
        return len(found), sum(row[0] for row in found)

    assert await asyncio.to_thread(work) == (50_000, sum(range(50_000)))


async def test_a_large_result_streams(connected: Client) -> None:
    def work() -> int:
        with connected.query_row_block_stream("SELECT number FROM numbers(300000)") as blocks:
            return sum(len(block) for block in blocks)

    assert await asyncio.to_thread(work) == 300_000


async def test_parameters_and_settings(connected: Client) -> None:
    def work() -> Any:
        return connected.query(
            "SELECT {name:String}, {n:UInt8}, {many:Array(String)}, getSetting('max_threads')",
            parameters={"name": "it's\ta {x}", "n": 7, "many": ["a", "b'c"]},
            settings={"max_threads": 1},
        ).result_rows

    assert await asyncio.to_thread(work) == [("it's\ta {x}", 7, ["a", "b'c"], 1)]


async def test_long_parameters_go_as_a_form(connected: Client) -> None:
    name = "x" * 50_000

    def work() -> Any:
        return connected.query("SELECT length({name:String})", parameters={"name": name})

    assert (await asyncio.to_thread(work)).result_rows == [(50_000,)]


async def test_raw_rows_in_and_out(connected: Client) -> None:
    def work() -> bytes:
        connected.command("CREATE TABLE rows (n UInt64) ENGINE = MergeTree ORDER BY n")
        connected.raw_insert("rows", insert_block=b'{"n": 1}\n{"n": 2}\n', fmt="JSONEachRow")
        return bytes(connected.raw_query("SELECT sum(n) FROM rows", fmt="CSV"))

    assert await asyncio.to_thread(work) == b"3\n"


async def test_an_error_has_its_code(connected: Client) -> None:
    with pytest.raises(DatabaseError, match="Code: 60") as raised:
        await asyncio.to_thread(connected.query, "SELECT * FROM nowhere")
    assert raised.value.code == 60


async def test_commands_have_results(connected: Client) -> None:
    assert await asyncio.to_thread(connected.command, "SELECT 40 + 2") == 42
    assert await asyncio.to_thread(connected.command, "SELECT timezone()") == "UTC"
    assert await asyncio.to_thread(connected.ping)
