"""What is found while a run goes on is taken in, until nothing more can come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tests import virtual_clock

from polybackfill import errors, units
from polybackfill.engine import change_event, plan_source, sources
from polybackfill.store import client, discovery


class Upstream:
    """A part that finds keys, and ends."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.ready = self.ended = False
        self.pushes = 0
        self.prepared = 0
        self.listed = 0
        self._begun = asyncio.Semaphore(0)
        self.clock = virtual_clock.LoopClock()
        self.changed = change_event.ChangeEvent("upstream", self.clock)

    def push(self, *keys: str) -> None:
        """Rows with keys were stored."""
        self.found += keys
        self.pushes += 1
        self.changed.notify()

    async def wait_for_listing(self) -> None:
        """Return when one more listing has begun."""
        await asyncio.wait_for(self._begun.acquire(), 5)

    def end(self) -> None:
        """Nothing more will come."""
        self.ready = self.ended = True
        self.changed.notify()

    async def prepare(self) -> None:
        self.prepared += 1
        if self.prepared == 1:
            raise errors.Retry("the store is away")

    async def listing(self) -> AsyncIterator[units.Unit]:
        self.listed += 1
        self._begun.release()
        for key in self.found:
            yield units.Unit("wallets", (key,))

    async def count(self) -> plan_source.WorkEstimate:
        return plan_source.WorkEstimate(len(self.found), len(self.found))


def following(kind: str, upstream: Upstream, **how: bool) -> sources.DependentSource:
    """A source behind it."""
    return sources.DependentSource(
        kind,
        prepare=upstream.prepare,
        listing=upstream.listing,
        upstream=sources.Upstream(
            ready=lambda: upstream.ready,
            ended=lambda: upstream.ended,
            counted=lambda: True,
            pushes=lambda: upstream.pushes,
            changed=upstream.changed,
        ),
        count=upstream.count,
        has_ended=lambda _unit: False,
        clock=upstream.clock,
        **how,
    )


async def test_a_source_follows_its_upstream_to_the_end() -> None:
    upstream = Upstream()
    source = following("wallets", upstream)
    assert await source.expected() == plan_source.WorkEstimate()
    seen: list[str] = []

    async def take() -> None:
        seen.extend([unit.keys[0] async for unit in source.units()])

    taking = asyncio.create_task(take())
    await asyncio.sleep(2)
    assert upstream.prepared == 0, "nothing is listed before upstream is ready"
    upstream.ready = True
    upstream.push("a")
    await upstream.wait_for_listing()
    await asyncio.sleep(40)
    assert upstream.listed == 1, "nothing came in these 40 s"
    upstream.push("b")
    await upstream.wait_for_listing()
    upstream.end()
    await asyncio.wait_for(taking, 300)
    assert set(seen) == {"a", "b"}
    assert upstream.listed >= 2
    assert source.known == plan_source.WorkEstimate(2, 0), "everything is handed out"


async def test_what_comes_last_is_counted_while_it_waits() -> None:
    """Or nobody could tell how long the run takes."""
    upstream = Upstream()
    source = following("user-stats", upstream, comes_last=True)
    await source.expected()
    taking = asyncio.create_task(anext(source.units()))
    upstream.found = ["a", "b"]
    await asyncio.sleep(30)
    assert source.known == plan_source.WorkEstimate(2, 2)
    assert (source.counted, source.is_behind, taking.done()) == (True, True, False)
    upstream.end()
    assert (await asyncio.wait_for(taking, 300)).keys == ("a",)
    assert source.is_behind is False


async def test_what_an_earlier_run_left_does_not_wait_for_upstream() -> None:
    upstream = Upstream()
    upstream.found, upstream.prepared = ["left"], 1
    source = following("conditions", upstream, at_once=True)
    await source.expected()
    listing = source.units()
    assert (await asyncio.wait_for(anext(listing), 5)).keys == ("left",)
    upstream.found = ["found"]
    upstream.end()
    assert [unit.keys[0] async for unit in listing] == ["found"]


async def test_batches_hold_the_keys_that_limit_and_skip_leave() -> None:
    async def keys() -> AsyncIterator[list[str]]:
        for first in (0, 5):
            yield [str(number) for number in range(first, first + 5)]

    async def later() -> AsyncIterator[list[str]]:
        yield ["x"]

    batches = sources.SweepUnits("resolutions", "s", 2, keys, limit=6, skip=1)
    found = [unit.keys async for unit in batches()]
    assert found == [("1@s", "2@s"), ("3@s", "4@s"), ("5@s", "6@s")]
    assert [unit async for unit in batches()] == []
    next_ones = sources.SweepUnits(
        "resolutions", "s", 2, keys, limit=2, has_ended=lambda key: key in found[0]
    )
    assert [unit.keys async for unit in next_ones()] == [("0@s", "3@s")]
    twice = sources.SweepUnits("resolutions", "s", 20, keys, later=later)
    assert [len(unit.keys) async for unit in twice()] == [5, 5]
    assert [unit.keys async for unit in twice()] == [("x@s",)]


class Unsteady:
    """Three conditions, one a question; each question is answered at the second attempt."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def rows(
        self, sql: str, *, parameters: client.Parameters | None = None
    ) -> list[dict[str, Any]]:
        after = str((parameters or {})["after"])
        self.asked.append(after)
        if self.asked.count(after) == 1:
            raise errors.Retry("the store is away")
        return [{"condition_id": key} for key in "abc" if key > after][:1]


async def test_a_listing_goes_on_where_it_was_when_the_store_comes_back() -> None:
    store = Unsteady()
    reads = sources.RetriedReads("resolutions", store, virtual_clock.LoopClock())
    listed = [keys async for keys in discovery.list_conditions(reads, "any")]
    assert listed == [["a"], ["b"], ["c"]]
    assert store.asked == ["", "", "a", "a", "b", "b", "c", "c"]
