"""Inserts whose fate is unknown, inserts that fail late, inserts that are killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pydantic
import pytest
import pytest_asyncio
from tests import holds
from tests.store.conftest import count, lines

from polybackfill import clocks, errors
from polybackfill.store import client

ROWS = [{"id": number} for number in range(300)]
BODY = lines(ROWS)


@pytest_asyncio.fixture
async def slow(store: client.Store) -> client.Store:
    """A landing table that needs 0.9 s for 300 rows, with the check for duplicates behind it."""
    await store.command("CREATE TABLE held (id UInt64) ENGINE = MergeTree ORDER BY id")
    await store.command("CREATE TABLE slow (id UInt64) ENGINE = Null")
    await store.command(
        "CREATE MATERIALIZED VIEW passage TO held AS SELECT id FROM slow "
        "WHERE id NOT IN (SELECT id FROM held) AND sleepEachRow(0.003) = 0"
    )
    return store


class Line:
    """A connection to the store that loses the answer to the first `losses` inserts."""

    def __init__(self, port: int, losses: int) -> None:
        self._port = port
        self.losses = losses
        self.lost = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._carry(reader, there_writer, writer))
            both.create_task(self._carry_back(there_reader, writer))

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        while piece := await reader.read(65536):
            to.write(piece)
            await to.drain()
            if BODY[-20:] in piece and self.lost < self.losses:
                self.lost += 1
                back.transport.abort()
                # The store has every byte and goes on working; only the client is cut off.
                await asyncio.sleep(0.2)
                break
        to.close()

    async def _carry_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def line(slow: client.Store) -> AsyncIterator[tuple[Line, int]]:
    found = Line(int(slow.url.rsplit(":", 1)[1].rstrip("/")), losses=1)
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    yield found, listening.sockets[0].getsockname()[1]
    listening.close()


async def test_a_lost_answer_costs_no_row_and_doubles_none(
    slow: client.Store, line: tuple[Line, int], folder: Path
) -> None:
    lossy, port = line
    address = client.Address(
        host="127.0.0.1",
        port=port,
        password=pydantic.SecretStr(holds.password_of(folder)),
        database=slow.address.database,
    )
    opened = await client.open(address, clock=clocks.SystemClock())
    await opened.insert("slow", BODY, rows=len(ROWS))
    assert lossy.lost == 1
    assert await count(slow, "held") == len(ROWS)
    await opened.close()


@pytest.mark.embedded  # it takes one insert after the other, whoever sends them
async def test_an_insert_that_outlives_its_client_is_ended_before_it_is_repeated(
    slow: client.Store,
) -> None:
    hasty = client.Store(slow.address, clock=clocks.SystemClock(), insert_timeout_s=0.3)
    # Each attempt is cut off after a third of its work; whether the store then finishes it or drops
    # it is the store's choice, but it must be over before the next begins.
    with pytest.raises(errors.Retry, match="in time"):
        await hasty.insert("slow", BODY, rows=len(ROWS))
    with contextlib.suppress(errors.Retry):
        await hasty.insert("slow", BODY, rows=len(ROWS))
    patient = client.Store(slow.address, clock=clocks.SystemClock())
    await patient.insert("slow", BODY, rows=len(ROWS))
    assert await count(slow, "held") == len(ROWS)
    await hasty.close()
    await patient.close()


async def test_a_cancelled_insert_leaves_nothing_the_next_one_would_double(
    slow: client.Store,
) -> None:
    first = asyncio.create_task(slow.insert("slow", BODY, rows=len(ROWS)))
    await asyncio.sleep(0.3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await slow.insert("slow", BODY, rows=len(ROWS))
    assert await count(slow, "held") == len(ROWS)


@pytest.mark.embedded  # it takes one insert after the other, whoever sends them
async def test_two_clients_with_the_same_rows_store_them_once(slow: client.Store) -> None:
    other = client.Store(slow.address, clock=clocks.SystemClock())
    await asyncio.gather(
        slow.insert("slow", BODY, rows=len(ROWS)), other.insert("slow", BODY, rows=len(ROWS))
    )
    assert await count(slow, "held") == len(ROWS)
    await other.close()


async def test_reads_go_on_while_an_insert_is_slow(slow: client.Store) -> None:
    insert = asyncio.create_task(slow.insert("slow", BODY, rows=len(ROWS)))
    reads = 0
    while not insert.done():
        await slow.rows("SELECT count() AS n FROM held")
        reads += 1
    await insert
    assert reads >= 10


async def test_a_user_may_kill_an_insert_and_it_is_done_again(slow: client.Store) -> None:
    insert = asyncio.create_task(slow.insert("slow", BODY, rows=len(ROWS)))
    victims = "KILL QUERY WHERE query LIKE 'INSERT INTO slow%' SYNC"
    async with asyncio.timeout(10):
        while not await slow.text(victims):  # noqa: ASYNC110 - the store announces nothing
            await asyncio.sleep(0.02)
    with contextlib.suppress(errors.Retry):  # unless it was past the point of being killed
        await insert
    await slow.insert("slow", BODY, rows=len(ROWS))
    assert await count(slow, "held") == len(ROWS)


async def test_a_failure_behind_the_landing_table_is_no_acknowledgement(
    store: client.Store,
) -> None:
    # chDB's own streaming insert reports success here: see engine.py.
    await store.command("CREATE TABLE held (id UInt64) ENGINE = MergeTree ORDER BY id")
    await store.command("CREATE TABLE gate (id UInt64) ENGINE = Null")
    await store.command(
        "CREATE MATERIALIZED VIEW passage TO held AS SELECT id FROM gate WHERE throwIf(id = 77) = 0"
    )
    with pytest.raises(errors.GiveUp, match="while pushing to view"):
        await store.insert("gate", BODY, rows=len(ROWS))
    assert await count(store, "held") == 0


async def test_trouble_of_the_store_is_no_fault_of_a_row(store: client.Store) -> None:
    """Rows are only set aside for what may be wrong with a row."""
    await store.command("CREATE TABLE held (id UInt64) ENGINE = MergeTree ORDER BY id")
    await store.command("CREATE TABLE gate (id UInt64) ENGINE = Null")
    await store.command(
        "CREATE MATERIALIZED VIEW passage TO held AS SELECT id FROM gate WHERE sleep(4) = 0"
    )
    with pytest.raises(errors.Retry, match="maximum sleep time"):
        await store.insert("gate", BODY, rows=len(ROWS))
    assert await count(store, "held") == 0


async def test_a_violated_constraint_is_no_acknowledgement(store: client.Store) -> None:
    await store.command(
        "CREATE TABLE held (id UInt64, CONSTRAINT odd CHECK id != 77) "
        "ENGINE = MergeTree ORDER BY id"
    )
    with pytest.raises(errors.GiveUp, match="violated"):
        await store.insert("held", BODY, rows=len(ROWS))
    assert await count(store, "held") == 0


async def test_the_event_loop_is_free_while_a_large_batch_is_sent(store: client.Store) -> None:
    await store.command("CREATE TABLE wide (a String) ENGINE = MergeTree ORDER BY tuple()")
    body = b'{"a":"' + b"x" * 990 + b'"}\n'
    insert = asyncio.create_task(store.insert("wide", body * 20_000, rows=20_000))
    loop, longest_s = asyncio.get_running_loop(), 0.0
    while not insert.done():
        began_at = loop.time()
        await asyncio.sleep(0.001)
        longest_s = max(longest_s, loop.time() - began_at)
    await insert
    assert longest_s < 0.25
