"""A round begins when the one before has ended and its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests import virtual_clock

from polybackfill import errors, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import plan_source, round_source, sources, unit_queue


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[run_checkpoint.Checkpoint]:
    opened = run_checkpoint.Checkpoint.open(tmp_path / "main")
    yield opened
    opened.close()


class Rounds:
    """Rounds of two keys each, with a queue and a worker."""

    def __init__(self, checkpoint: run_checkpoint.Checkpoint, *, is_recent: bool = False) -> None:
        self.clock = virtual_clock.LoopClock()
        self.began: list[float] = []
        self.ended: list[float] = []
        self.away = 0
        self.takes_s = 1.0
        self._number = 0
        self._checkpoint = checkpoint
        first = None if is_recent else self.listed()
        self.source = round_source.RoundSource(
            "positions",
            first,
            round_source.Rounds(every_s=100.0, begin=self.begin, note_end=self.note_end),
            queue=lambda: self.queue,
            clock=self.clock,
        )
        self.queue = unit_queue.Queue(
            "positions",
            feed=self.source.units(),
            checkpoint=checkpoint,
            clock=self.clock,
            feed_rests=lambda: self.source.rests,
        )

    def listed(self) -> round_source.ListedOnce:
        return round_source.ListedOnce(
            "positions", prepare=sources.skip_step, listing=self.listing, clock=self.clock
        )

    async def begin(self) -> plan_source.UnitSource:
        if self.away:
            self.away -= 1
            raise errors.Retry("the store is away")
        return self.listed()

    def note_end(self) -> None:
        self.ended.append(self.clock.monotonic())

    async def listing(self) -> AsyncIterator[units.Unit]:
        self._number += 1
        self.began.append(self.clock.monotonic())
        for wallet in ("a", "b"):
            yield units.Unit("positions", (f"{wallet}@{self._number}",))

    async def work(self) -> None:
        while (lease := await self.queue.lease_next("worker")) is not None:
            await asyncio.sleep(self.takes_s)
            self._checkpoint.finish(lease.unit.id, lease.attempt)
            self.queue.finish(lease)

    async def go_on(self, seconds: float) -> None:
        working = asyncio.create_task(self.work())
        await asyncio.sleep(seconds)
        await self.queue.close()
        await working


async def test_a_round_begins_every_period(checkpoint: run_checkpoint.Checkpoint) -> None:
    rounds = Rounds(checkpoint)
    await rounds.go_on(350)
    gaps = [after - before for before, after in zip(rounds.began, rounds.began[1:], strict=False)]
    assert gaps == pytest.approx([100, 100, 100], abs=1)
    assert len(rounds.ended) == 4
    assert rounds.queue.stats()["done"] == 8


async def test_one_that_takes_longer_is_followed_at_once(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    rounds = Rounds(checkpoint)
    rounds.takes_s = 100.0
    await rounds.go_on(650)
    for ended, began in zip(rounds.ended, rounds.began[1:], strict=False):
        assert 0 < began - ended < 2


async def test_between_two_rounds_the_part_is_complete_but_not_over(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    rounds = Rounds(checkpoint)
    working = asyncio.create_task(rounds.work())
    await asyncio.sleep(0.5)
    assert not rounds.queue.complete
    await asyncio.sleep(50)
    assert rounds.queue.complete
    assert not rounds.queue.drained
    await rounds.queue.close()
    await working


async def test_a_store_that_is_away_delays_a_round(checkpoint: run_checkpoint.Checkpoint) -> None:
    rounds = Rounds(checkpoint)
    rounds.away = 3
    await rounds.go_on(190)
    assert len(rounds.began) == 2
    assert rounds.began[1] - rounds.began[0] == pytest.approx(115, abs=2)


async def test_what_an_earlier_run_has_read_lately_rests_first(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    rounds = Rounds(checkpoint, is_recent=True)
    assert await rounds.source.expected() == plan_source.WorkEstimate()
    await rounds.go_on(150)
    assert len(rounds.began) == 1
    assert len(rounds.ended) == 2
