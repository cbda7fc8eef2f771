"""Windows of the present: without a gap, one after the other, long ones now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests import virtual_clock

from polybackfill import errors, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import (
    change_event,
    followed_windows,
    sources,
    unit_queue,
    window_source,
)
from polybackfill.polymarket import time_window

KIND = "recent-trades"
Window = time_window.TimeWindow


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[run_checkpoint.Checkpoint]:
    opened = run_checkpoint.Checkpoint.open(tmp_path / "main")
    yield opened
    opened.close()


@dataclass
class Follower:
    """A source with its queue, and a worker that finishes what it is given."""

    checkpoint: run_checkpoint.Checkpoint
    reach: int = 0
    lag_s: float = 4.0
    has_upstream_ended: bool = True
    every_s: float = 5.0
    taken: list[Window] = field(default_factory=list)
    failing: int = 0

    def __post_init__(self) -> None:
        self.clock = virtual_clock.LoopClock()
        self.began = int(self.clock.now())
        self.changed = change_event.ChangeEvent("upstream", self.clock)
        self.source = window_source.WindowSource(
            KIND,
            schedule=window_source.Schedule(
                every_s=self.every_s, overlap_s=60, began=self.began, reach=lambda _now: self.reach
            ),
            followed=followed_windows.FollowedWindows(KIND, self.checkpoint),
            upstream=sources.Upstream(
                ready=lambda: True,
                ended=lambda: self.has_upstream_ended,
                counted=lambda: True,
                pushes=lambda: 0,
                changed=self.changed,
            ),
            read_lag_s=self.read_lag_s,
            queue=lambda: self.queue,
            clock=self.clock,
        )
        self.queue = unit_queue.Queue(
            KIND,
            feed=self.source.units(),
            checkpoint=self.checkpoint,
            clock=self.clock,
            feed_rests=lambda: self.source.rests,
        )

    async def read_lag_s(self) -> float:
        if self.lag_s < 0:
            raise errors.Retry("no status yet")
        return self.lag_s

    async def work(self) -> None:
        while (lease := await self.queue.lease_next("worker")) is not None:
            self.taken.append(time_window.parse(lease.unit.keys[0]))
            if self.failing:
                self.failing -= 1
                self.queue.fail(lease, "answered 400")
                continue
            self.checkpoint.finish(lease.unit.id, lease.attempt)
            self.queue.finish(lease)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        working = asyncio.create_task(self.work())
        try:
            yield
        finally:
            await self.queue.close()
            await working


async def test_windows_join_and_overlap(checkpoint: run_checkpoint.Checkpoint) -> None:
    follower = Follower(checkpoint)
    async with follower.working():
        await asyncio.sleep(100)
    assert 17 <= len(follower.taken) <= 21
    for before, after in zip(follower.taken, follower.taken[1:], strict=False):
        assert after.since == before.until + 1 - 60
        assert 4 <= after.until - before.until <= 6
    assert follower.clock.now() - follower.taken[-1].until < 4 + 1 + 5 + 1
    described = window_source.describe(follower.source.followed, follower.clock.now())
    assert described is not None
    assert described["gaps"] == []
    assert described["fresh_to"] == follower.taken[-1].until


async def test_it_begins_when_the_past_is_read(checkpoint: run_checkpoint.Checkpoint) -> None:
    follower = Follower(checkpoint, has_upstream_ended=False)
    async with follower.working():
        await asyncio.sleep(500)
        assert follower.taken == []
        assert window_source.describe(follower.source.followed, 0.0) is None
        follower.has_upstream_ended = True
        follower.changed.notify()
        await asyncio.sleep(1)
        assert [window.since for window in follower.taken] == [follower.began]


async def test_what_cannot_be_read_is_part_of_the_next_window(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    follower = Follower(checkpoint, failing=3)
    async with follower.working():
        await asyncio.sleep(60)
    assert {window.since for window in follower.taken[:4]} == {follower.began}
    assert checkpoint.failed_units() == [], "a longer window has brought what they lacked"
    assert follower.queue.stats()["error"] == 0


async def test_an_unknown_lag_makes_no_window(checkpoint: run_checkpoint.Checkpoint) -> None:
    follower = Follower(checkpoint, lag_s=-1.0)
    async with follower.working():
        await asyncio.sleep(60)
        assert follower.taken == []
        follower.lag_s = 2.0
        await asyncio.sleep(10)
        assert len(follower.taken) >= 2


async def test_long_windows_take_the_place_of_short_ones(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    """The receipts of some days are few, and say the same."""
    follower = Follower(checkpoint, every_s=900.0)
    most = 0
    async with follower.working():
        for _ in range(60):
            await asyncio.sleep(3_600)
            most = max(most, len(follower.source.followed.windows))
    assert most < 40, "those of an hour, and the hours of a day"
    longest = [one for one in follower.taken if one.until - one.since > 2 * 80_000]
    assert len(longest) == 2
    assert all(one.until - one.since >= 2 * 86_400 - 10 for one in longest)
    kept = follower.source.followed.windows
    assert followed_windows.find_gaps(kept) == []
    assert kept == followed_windows.read_windows(KIND, checkpoint)


async def test_the_next_process_goes_on_where_it_stopped(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    first = Follower(checkpoint)
    async with first.working():
        await asyncio.sleep(60)
    await asyncio.sleep(7_000)
    second = Follower(checkpoint)
    async with second.working():
        await asyncio.sleep(20)
    assert second.taken[0].since <= first.taken[-1].until + 1
    assert followed_windows.find_gaps(second.source.followed.windows) == []


async def test_what_the_feed_shows_no_more_is_a_gap(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    first = Follower(checkpoint)
    async with first.working():
        await asyncio.sleep(60)
    await asyncio.sleep(7_000)
    reach = int(first.clock.now()) - 1_000
    second = Follower(checkpoint, reach=reach)
    async with second.working():
        await asyncio.sleep(20)
    (gap,) = followed_windows.find_gaps(second.source.followed.windows)
    assert gap == Window(first.taken[-1].until + 1, reach - 1)


def test_a_gap_is_closed_by_what_was_read_in_another_way(
    checkpoint: run_checkpoint.Checkpoint,
) -> None:
    """What lies before it goes, also from the checkpoint; a later gap stays."""
    windows = [Window(10, 20), Window(15, 30), Window(50, 60), Window(90, 99)]
    for window in windows:
        unit = units.Unit(KIND, (window.key,))
        checkpoint.finish(unit.id, checkpoint.begin(unit))
    followed = followed_windows.FollowedWindows(KIND, checkpoint)
    assert followed.close_gaps(48) == []
    assert followed.close_gaps(49) == [Window(31, 49)]
    assert followed.windows == windows[2:]
    assert followed_windows.read_windows(KIND, checkpoint) == windows[2:]
    assert followed_windows.find_gaps(followed.windows) == [Window(61, 89)]
    assert followed.close_gaps(1_000) == [Window(61, 89)]
    assert followed.windows == windows[3:]


def test_a_unit_of_another_form_names_no_window() -> None:
    for key in ("", "5", "9..3", "a..b", "open:1..2"):
        with pytest.raises(errors.GiveUp):
            time_window.parse(key)
    assert time_window.parse("3..9") == Window(3, 9)
    assert not units.can_split(units.Unit(KIND, ("3..9",)))
