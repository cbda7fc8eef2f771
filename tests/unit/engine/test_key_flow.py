"""Who waits for keys hears of rows and of ends, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import virtual_clock

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import key_flow, sources, unit_queue


class Flow:
    """Wallets, which feed on conditions and positions, of which the run has conditions alone."""

    def __init__(
        self, checkpoint: run_checkpoint.Checkpoint, clock: virtual_clock.StoppedClock
    ) -> None:
        feed = [units.Unit(units.CONDITIONS, (key,)) for key in ("a", "b")]
        self.conditions = unit_queue.Queue(
            units.CONDITIONS, feed=feed, checkpoint=checkpoint, clock=clock
        )
        self.flow = key_flow.KeyFlow(clock)
        self.flow.add(units.CONDITIONS, self.conditions)
        self.rung: list[str] = []
        for kind in (units.WALLETS, units.CONDITIONS):
            self.upstream(kind).changed.on_notify(lambda kind=kind: self.rung.append(kind))

    def upstream(self, kind: str) -> sources.Upstream:
        return self.flow.upstream(kind)

    async def lease(self) -> unit_queue.Lease:
        lease = await asyncio.wait_for(self.conditions.lease_next("w"), 5)
        assert lease is not None
        return lease


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Flow]:
    clock = virtual_clock.StoppedClock()
    checkpoint = run_checkpoint.Checkpoint.open(tmp_path / "run", clock=clock)
    flow = Flow(checkpoint, clock)
    yield flow
    await flow.conditions.close()
    checkpoint.close()


async def test_rows_wake_those_that_feed_on_them(running: Flow) -> None:
    before = running.upstream(units.WALLETS).pushes()
    await running.lease()
    assert running.rung == [], "a unit that begins brings nothing"
    running.conditions.note_rows()
    assert running.rung == [units.WALLETS]
    assert running.upstream(units.WALLETS).pushes() == before + 1
    assert running.upstream(units.CONDITIONS).pushes() == 0, "nobody feeds on itself"


async def test_the_end_of_the_last_unit_wakes_them_too(running: Flow) -> None:
    for _ in range(2):
        assert not running.upstream(units.WALLETS).ended()
        assert running.conditions.fail(await running.lease(), "refused")
    assert await running.conditions.lease_next("w") is None
    assert running.upstream(units.WALLETS).ended()
    assert set(running.rung) == {units.WALLETS}


async def test_a_kind_that_is_none_of_the_run_is_not_waited_for(running: Flow) -> None:
    upstream = running.upstream("positions")
    assert not upstream.ended(), "conditions are under way"
    lists = running.upstream(units.CONDITIONS)
    assert (lists.ready(), lists.ended(), lists.counted()) == (True, True, True)
