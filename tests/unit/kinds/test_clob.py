"""The order book's list: any part at any time, each page the one that was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from polybackfill import clocks, errors, records
from polybackfill.kinds import clob, key_source
from polybackfill.polymarket import pagination
from polybackfill.store import backlog_counts, client

CLOCK = clocks.SystemClock()


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/markets"


def row(number: int) -> dict[str, Any]:
    return {"condition_id": f"0x{number:064x}", "market_slug": f"m-{number}", "closed": False}


@dataclass
class List:
    """The list as the service serves it; `odd` answers instead, by offset."""

    rows: int
    page: int = 1_000
    odd: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        ((name, sent),) = feed.request_params(cursor)
        assert name == "next_cursor"
        offset = next(n for n in range(0, 1 << 22, 500) if clob.encode(n) == sent)
        self.asked.append(offset)
        last = min(offset + self.page, self.rows)
        data = [row(number) for number in range(offset, last)]
        body = {"limit": 1000, "count": len(data), "data": data}
        body["next_cursor"] = clob.encode(last) if data and last < self.rows else "LTE="
        return Reply(json.dumps({**body, **self.odd.get(offset, {})}).encode())


async def walked(
    fetch: pagination.Fetch, key: str, resume: pagination.Resume | None = None
) -> list[pagination.Page]:
    context = pagination.RequestContext(fetch, CLOCK, "u")
    return [page async for page in clob.walk_unit((key,), resume, context)]


def conditions_of(pages: list[pagination.Page]) -> list[str]:
    return [market.condition_id for page in pages for market in page.rows_of(records.Market)]


def numbers_of(pages: list[pagination.Page]) -> list[int]:
    return [int(condition, 16) for condition in conditions_of(pages)]


async def test_parts_side_by_side_are_the_whole() -> None:
    listed = List(4_500)
    keys = [clob.key(0, 2_000), clob.key(2_000, 4_000), clob.key(4_000, None)]
    parts = [numbers_of(await walked(listed, key)) for key in keys]
    assert [number for part in parts for number in part] == list(range(4_500))
    assert sorted(listed.asked) == [0, 1_000, 2_000, 3_000, 4_000, 4_500]


async def test_the_end_is_believed_from_a_page_without_rows() -> None:
    """A list that grew in the meantime is followed."""
    listed = List(1_500, odd={0: {"next_cursor": "LTE="}})
    pages = await walked(listed, "clob:0-")
    assert numbers_of(pages) == list(range(1_500))
    assert [page.last for page in pages] == [False, False, True]
    assert numbers_of(await walked(List(1_500), "clob:0-1000")) == list(range(1_000))
    assert [page.last for page in await walked(List(0), "clob:0-")] == [True]
    assert [page.last for page in await walked(List(500), "clob:5000-9000")] == [True]


async def test_smaller_pages_are_followed_as_they_come() -> None:
    assert numbers_of(await walked(List(2_000, page=500), "clob:0-2000")) == list(range(2_000))


@pytest.mark.parametrize("rows", [0, 500, 19_500, 20_000, 20_500, 61_500])
async def test_the_estimate_counts_the_parts_that_a_run_reads(rows: int) -> None:
    listed = List(rows)
    context = pagination.RequestContext(listed, CLOCK)
    assert isinstance(clob.KIND.keys, key_source.WholeList)
    keys = await clob.KIND.keys.slices(context, 0.0)
    listed.asked.clear()
    for key in keys:
        await walked(listed, key)
    ahead = backlog_counts.Outlook(
        markets=rows,
        events=0,
        conditions=0,
        open_again=0,
        condition_rows=0,
        wallets=0,
        wallet_rows=0,
        planned_wallets=0,
        published=(),
        bounds=backlog_counts.EVERYTHING,
    )
    estimate = await clob.KIND.estimate(cast("client.Store", None), ahead)
    assert estimate.units == len(keys)
    assert estimate.requests == len(listed.asked) - 1, "without the page that proves the end"


@pytest.mark.parametrize(
    "odd",
    [
        {"next_cursor": clob.encode(3_000)},
        {"next_cursor": clob.encode(0)},
        {"next_cursor": ""},
        {"next_cursor": None},
        {"next_cursor": "%%%"},
        {"next_cursor": "LTI="},
        {"count": 999},
        {"data": {}},
        {"data": []},
        {"data": None, "count": 0},
    ],
)
async def test_another_page_than_the_one_asked_for_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(errors.Retry):
        await walked(List(5_000, odd={1_000: odd}), "clob:0-")


async def test_a_list_without_an_end_ends_the_walk() -> None:
    class Endless(List):
        async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
            body = {"data": [row(1)] * 1_000, "next_cursor": "LTE="}
            return Reply(json.dumps(body).encode())

    with pytest.raises(errors.Retry, match="after its end"):
        await walked(Endless(0), "clob:0-")
    with pytest.raises(errors.GiveUp, match="no end"):
        await clob.count_rows(pagination.RequestContext(Endless(0), CLOCK))


async def test_a_part_resumes_behind_what_is_stored() -> None:
    pages = await walked(List(4_500), "clob:1000-")
    listed = List(4_500)
    rest = await walked(listed, "clob:1000-", pages[1].resume)
    assert listed.asked[0] == 3_000
    assert numbers_of(pages[:2]) + numbers_of(rest) == list(range(1_000, 4_500))
    assert [page.last for page in await walked(List(0), "clob:1000-", rest[-1].resume)] == [True]
    other = await walked(List(4_500), "clob:0-1000", pages[1].resume)
    assert numbers_of(other) == list(range(1_000)), "a place in another part is worth nothing"


@pytest.mark.parametrize("rows", [0, 1, 999, 1_000, 1_001, 2_000, 7_777, 150_000])
async def test_the_size_is_found_in_few_requests(rows: int) -> None:
    listed = List(rows)
    assert await clob.count_rows(pagination.RequestContext(listed, CLOCK)) == rows
    assert len(listed.asked) <= 20


@pytest.mark.parametrize("key", ["clob:", "clob:5", "clob:-5", "clob:5-5", "clob:a-b", "open:1..2"])
async def test_another_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(errors.GiveUp, match="is no unit of the order book"):
        await walked(List(0), key)
