"""Commit, then record: what the checkpoint says is never more than the store has acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from tests import virtual_clock

from polybackfill import errors, units, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import store_writer, unit_queue
from polybackfill.kinds import conditions
from polybackfill.polymarket import pagination

WALLET = units.Unit(units.WALLETS, ("ab" * 20,))
OTHER = units.Unit(units.WALLETS, ("cd" * 20,))
FAR, NEAR = b"far\n", b"near\n"


class Store:
    """The outside: acknowledges, or does what the test says."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.rows: dict[str, int] = {}
        self.asked = 0

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        """As writer.Sink."""
        self.asked += 1
        if self.troubles:
            raise self.troubles.pop(0)
        assert b"".join(lines).count(b"\n") == rows
        self.rows[table] = self.rows.get(table, 0) + rows


class Servers(Store):
    """Two of them, of which the far one is away at first."""

    is_away = True

    async def insert(self, table: str, lines: Sequence[bytes], *, rows: int) -> None:
        if self.is_away and FAR in b"".join(lines):
            raise errors.PartlyStored("far is away", lambda piece: FAR in piece)
        await super().insert(table, lines, rows=rows)


class Desk:
    """A writer with all it needs, and one leased wallet."""

    def __init__(self, folder: Path, store: Store, *feed: units.Unit) -> None:
        self.clock = virtual_clock.LoopClock()
        self.store = store
        self.checkpoint = run_checkpoint.Checkpoint.open(folder)
        self.queue = unit_queue.Queue(
            "wallets", feed=feed or [WALLET], checkpoint=self.checkpoint, clock=self.clock
        )
        self.buffer = store_writer.WriteBuffer(
            cut_rows=1, cut_bytes=10**9, cut_age_s=60, buffer_bytes=10**9, clock=self.clock
        )
        self.writer = store_writer.StoreWriter(
            buffer=self.buffer,
            sink=store,
            checkpoint=self.checkpoint,
            queues_by_kind={"wallets": self.queue},
            clock=self.clock,
            rng=random.Random(1),
        )

    async def lease(self) -> unit_queue.Lease:
        """The wallet."""
        taken = await self.queue.lease_next("w")
        assert taken is not None
        return taken

    async def page(
        self,
        lease: unit_queue.Lease,
        second: int,
        *,
        last: bool = False,
        aside: int = 0,
        line: bytes = b"{}\n",
    ) -> None:
        """Two rows of a second, and `aside` that make no sense."""
        lines = {conditions.TRADES.inserted: line * 2}
        rows = {conditions.TRADES.inserted: 2}
        if aside:
            lines[store_writer.QUARANTINE], rows[store_writer.QUARANTINE] = b"{}\n" * aside, aside
        place = pagination.Resume(f"c{second}", second, "f" * 16)
        page_batch = store_writer.PageBatch(
            lease, lines, rows, place, last, second, second, set_aside=aside
        )
        await self.buffer.add(page_batch, worker_progress.Progress(self.clock))

    async def write(self) -> None:
        """Everything handed over, to its end."""
        await self.buffer.close()
        async with asyncio.timeout(5):
            await self.writer.run()

    def resume(self) -> object:
        """Where the checkpoint would go on."""
        held = self.checkpoint.find(WALLET)
        return held.resume if held is not None else None


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk whose store acknowledges at once."""
    made = Desk(tmp_path / "run", Store())
    yield made
    await made.queue.close()
    made.checkpoint.close()


async def test_pages_move_the_place_and_the_last_one_ends_the_unit(desk: Desk) -> None:
    lease = await desk.lease()
    await desk.page(lease, 5)
    await desk.page(lease, 6, aside=1)
    await desk.page(lease, 7, last=True)
    await desk.write()
    assert desk.store.rows == {conditions.TRADES.inserted: 6, store_writer.QUARANTINE: 1}
    assert desk.writer.rows[conditions.TRADES.inserted] == 6
    assert desk.queue.stats()["done"] == 1
    (receipt,) = desk.checkpoint.receipts()
    counts = receipt.counts
    assert (counts.rows, counts.rejected, counts.pages) == (6, 1, 3)
    assert (counts.first_second, counts.last_second) == (5, 7)


async def test_nothing_is_recorded_before_the_store_has_acknowledged(desk: Desk) -> None:
    desk.store.troubles = [errors.Retry("away", after_s=0.3)]
    lease = await desk.lease()
    await desk.page(lease, 5)
    writing = asyncio.create_task(desk.write())
    await asyncio.sleep(0.1)
    assert desk.store.asked == 1
    assert desk.resume() is None
    assert desk.writer.progress.wait_reason == "store"
    assert desk.writer.store_wait_s > 0
    await writing
    assert desk.store.asked == 2
    assert desk.resume() == {"cursor": "c5", "second": 5, "feed": "f" * 16}
    assert desk.writer.store_wait_s == 0


async def test_a_store_that_refuses_for_good_ends_the_writer_and_records_nothing(
    desk: Desk,
) -> None:
    desk.store.troubles = [errors.Stop("the disk of the store is full")]
    await desk.page(await desk.lease(), 5, last=True)
    with pytest.raises(errors.Stop, match="disk of the store"):
        await desk.write()
    assert desk.resume() is None
    assert desk.queue.stats()["done"] == 0
    assert not desk.checkpoint.is_done("wallets", WALLET.keys[0])


async def test_a_replaced_worker_s_page_is_stored_but_moves_nothing(
    desk: Desk, events: list[structlog.typing.EventDict]
) -> None:
    stalled = await desk.lease()
    await desk.page(stalled, 5)
    await desk.page(stalled, 6, last=True)
    desk.queue.expire(stalled)
    fresh = await desk.lease()
    assert fresh.attempt > stalled.attempt
    assert fresh.resume is None
    await desk.write()
    assert desk.store.rows == {conditions.TRADES.inserted: 4}  # harmless: the ids are the same
    assert desk.resume() is None
    assert desk.queue.touch(fresh)
    assert "unit.done" not in [event["event"] for event in events]


async def test_a_unit_given_back_keeps_what_was_under_way(desk: Desk) -> None:
    lease = await desk.lease()
    await desk.page(lease, 5)
    desk.queue.give_back(lease, error="503")
    await desk.write()
    assert desk.resume() == {"cursor": "c5", "second": 5, "feed": "f" * 16}
    again = await desk.lease()
    assert again.resume == desk.resume()


async def test_a_dry_run_counts_and_keeps_nothing() -> None:
    tally = store_writer.DryRunSink()
    await tally.insert(conditions.TRADES.inserted, [b"{}\n"], rows=1)
    await tally.insert(conditions.TRADES.inserted, [b"{}\n{}\n"], rows=2)
    assert tally.rows == {conditions.TRADES.inserted: 3}


async def test_a_server_that_is_away_holds_up_only_the_units_of_its_rows(tmp_path: Path) -> None:
    store = Servers()
    desk = Desk(tmp_path / "run", store, WALLET, OTHER)
    mine, others = await desk.lease(), await desk.lease()
    await desk.page(mine, 5, line=FAR)
    await desk.page(mine, 6, last=True, line=NEAR)
    await desk.page(others, 5, line=NEAR)
    await desk.page(others, 6, last=True, line=NEAR)
    writing = asyncio.create_task(desk.writer.run())
    await asyncio.sleep(12)
    assert [one.unit for one in desk.checkpoint.receipts()] == [OTHER]
    assert desk.resume() is None
    store.is_away = False
    await desk.buffer.close()
    async with asyncio.timeout(6):
        await writing
    (_, late) = desk.checkpoint.receipts()
    assert (late.unit, late.counts.rows, late.counts.pages) == (WALLET, 4, 2)
    assert desk.writer.rows[conditions.TRADES.inserted] == 8
    await desk.queue.close()
    desk.checkpoint.close()


async def test_what_is_held_fills_the_buffer(tmp_path: Path) -> None:
    """No page more is taken while those that wait for a server are as many as may be held."""
    desk = Desk(tmp_path / "run", Servers(), WALLET, OTHER)
    desk.buffer = store_writer.WriteBuffer(
        cut_rows=1, cut_bytes=10**9, cut_age_s=60, buffer_bytes=3 * 2 * len(FAR), clock=desk.clock
    )
    desk.writer = store_writer.StoreWriter(
        buffer=desk.buffer,
        sink=desk.store,
        checkpoint=desk.checkpoint,
        queues_by_kind={"wallets": desk.queue},
        clock=desk.clock,
        rng=random.Random(1),
    )
    lease = await desk.lease()
    writing = asyncio.create_task(desk.writer.run())
    for second in range(3):
        await desk.page(lease, second, line=FAR)
        await asyncio.sleep(1)
    adding = asyncio.create_task(desk.page(lease, 4, line=NEAR))
    await asyncio.sleep(60)
    assert not adding.done()
    desk.store.is_away = False  # type: ignore[attr-defined]
    async with asyncio.timeout(6):
        await adding
    await desk.buffer.close()
    await writing
    assert desk.writer.rows[conditions.TRADES.inserted] == 8
    await desk.queue.close()
    desk.checkpoint.close()
