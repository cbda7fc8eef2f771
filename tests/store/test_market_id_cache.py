"""Market ids of trades on their way in: from memory, and filled later where memory had none."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import pytest
from tests.store import conftest as stores

from polybackfill import clocks, errors, records
from polybackfill.engine import market_id_cache, post_run_step
from polybackfill.store import client, market_ids

NOW = 1_795_219_200.0


class Clock(clocks.SystemClock):
    """Wall time that moves when it is told to."""

    def __init__(self) -> None:
        self.wall = NOW

    def now(self) -> float:
        return self.wall


def condition(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def trade(number: int, **changes: Any) -> records.Trade:
    return records.Trade(**stores.trade(number, condition_id=condition(number)) | changes)


async def list_markets(store: client.Store, *numbers: int, fetched_at: float = NOW) -> None:
    rows = [
        {
            "source": "gamma",
            "condition_id": condition(number),
            "market_id": str(5000 + number),
            "fetched_at": int(fetched_at),
        }
        for number in numbers
    ]
    await store.insert("api_market_rows", stores.lines(rows), rows=len(rows))


async def insert(store: client.Store, trades: list[records.Trade]) -> None:
    lines = records.encode_lines(trades)
    await store.insert("external_trades_raw", lines, rows=len(trades))


async def stored(store: client.Store) -> list[str]:
    rows = await store.rows("SELECT market_id FROM external_trades_raw ORDER BY external_trade_id")
    return [row["market_id"] for row in rows]


@pytest.fixture
def ids(migrated: client.Store) -> market_ids.MarketIds:
    return market_ids.MarketIds(migrated)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_the_order_is_the_trade_then_memory_then_the_queue(
    ids: market_ids.MarketIds, migrated: client.Store, clock: Clock
) -> None:
    """Seed 004, ingestion resolver: lookup order of 4.9. What nobody knows goes in empty, and the
    row itself is what a later lookup finds.
    """
    await list_markets(migrated, *range(1, 200))
    memory = market_id_cache.MarketIdCache(ids, clock=clock)
    await memory.refresh()
    assert len(memory) == 199
    page = [trade(1, market_id="77"), trade(2), trade(2), trade(300)]
    for number, one in enumerate(page):
        one.external_trade_id = f"{number:032x}"
    memory.fill([page, []])
    assert [one.market_id for one in page] == ["77", "5002", "5002", ""]
    assert memory.unknown == 1
    await insert(migrated, page)
    assert await stored(migrated) == ["77", "5002", "5002", ""]
    assert [one.condition_id async for one in ids.missing()] == [condition(300)]
    assert all(memory.look_up(condition(number)) == str(5000 + number) for number in range(1, 200))


async def test_nothing_is_asked_while_rows_come_in(
    ids: market_ids.MarketIds, migrated: client.Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 004, ingestion resolver: concurrent misses cause one request; here they cause none."""
    await list_markets(migrated, 1)
    memory = market_id_cache.MarketIdCache(ids, clock=clock)
    await memory.refresh()

    async def asked(*_words: object, **_named: object) -> None:
        raise AssertionError("the insert path asked the store")

    monkeypatch.setattr(ids, "dimension", asked)
    monkeypatch.setattr(ids, "learned", asked)

    async def worker(number: int) -> list[str]:
        page = [trade(1 + number % 3) for _ in range(50)]
        memory.fill([page])
        return [one.market_id for one in page]

    answers = await asyncio.gather(*(worker(number) for number in range(60)))
    assert answers[0] == ["5001"] * 50
    assert answers[1] == [""] * 50


async def test_memory_follows_the_store(
    ids: market_ids.MarketIds, migrated: client.Store, clock: Clock
) -> None:
    memory = market_id_cache.MarketIdCache(ids, clock=clock)
    await memory.refresh()
    page = [trade(1)]
    memory.fill([page])
    assert page[0].market_id == ""
    await list_markets(migrated, 1, fetched_at=NOW + 30)
    clock.wall = NOW + 60
    await memory.refresh()
    memory.fill([page])
    assert page[0].market_id == "5001", "a condition once unknown is not unknown for ever"

    mapping = market_ids.Listed(condition(2), "42")
    last = await ids.apply([mapping], source="test", by="test", now=NOW + 70)
    assert last is not None
    clock.wall = NOW + 120
    await memory.refresh()
    assert memory.look_up(condition(2)) == "42"
    await ids.revert(last, now=NOW + 130)
    clock.wall = NOW + 3700
    await memory.refresh()
    assert memory.look_up(condition(2)) == "", "what was taken back is forgotten within the hour"
    assert len(memory) == 1


async def test_a_burst_of_new_markets_is_read_as_a_whole(
    ids: market_ids.MarketIds,
    migrated: client.Store,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Single markets take ten times the memory of the table they are read into together."""
    monkeypatch.setattr(market_id_cache, "_LEARNED_MAX", 10)
    memory = market_id_cache.MarketIdCache(ids, clock=clock)
    await memory.refresh()
    await list_markets(migrated, *range(1, 31))
    await memory.refresh()
    assert len(memory) == 30
    assert all(memory.look_up(condition(number)) == str(5000 + number) for number in range(1, 31))


async def test_a_store_that_is_out_holds_nothing_up(
    ids: market_ids.MarketIds, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def out() -> bytes:
        raise errors.Retry("the store is away")

    monkeypatch.setattr(ids, "dimension", out)
    memory = market_id_cache.MarketIdCache(ids, clock=clock)
    await memory.refresh()
    memory.fill([[trade(1)]])
    assert memory.unknown == 1


async def test_catching_up_fills_what_the_lists_have_learned_since(
    ids: market_ids.MarketIds, migrated: client.Store, clock: Clock
) -> None:
    await insert(migrated, [trade(number) for number in (1, 2, 3)])
    await list_markets(migrated, 1, 2)
    shared = {"source": "gamma", "condition_id": condition(3), "market_id": "5001"}
    await migrated.insert("api_market_rows", stores.lines([shared]), rows=1)
    done = await market_id_cache.catch_up(ids, clock=clock)
    assert done is not None
    assert done.trades == 1
    assert await stored(migrated) == ["", "5002", ""], "a market of two conditions is left alone"
    assert await market_id_cache.catch_up(ids, clock=clock) is None


async def test_a_row_costs_little(
    ids: market_ids.MarketIds, migrated: client.Store, clock: Clock
) -> None:
    """Rows of few conditions, known and unknown: well below what parsing a row costs."""
    await list_markets(migrated, *range(1, 100))
    memory = market_id_cache.MarketIdCache(ids, clock=clock)
    await memory.refresh()
    pages = [[trade(1 + number % 20) for number in range(1000)] for _ in range(20)]
    began_s = time.process_time()
    for page in pages:
        memory.fill([page])
    assert (time.process_time() - began_s) / 20_000 < 2e-6


async def test_a_stop_signal_ends_the_catching_up(
    ids: market_ids.MarketIds, migrated: client.Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert(migrated, [trade(1)])
    await list_markets(migrated, 1)
    stop, pings = asyncio.Event(), []
    whole = ids.apply

    async def slow(*_words: object, **_named: object) -> None:
        stop.set()
        await asyncio.Event().wait()

    async def alive() -> None:
        pings.append(1)

    monkeypatch.setattr(ids, "apply", slow)
    async with asyncio.timeout(10):
        filling = market_id_cache.catch_up(ids, clock=clock)
        await post_run_step.run_step("ids", filling, stop=stop, alive=alive)
    assert pings
    assert await stored(migrated) == [""]
    monkeypatch.setattr(ids, "apply", whole)
    await market_id_cache.catch_up(ids, clock=clock)
    assert await stored(migrated) == ["5001"]
