"""Positions of a wallet: every one of them, whatever moves while they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import clocks, errors, records
from polybackfill.kinds import positions
from polybackfill.polymarket import pagination

CLOCK = clocks.SystemClock()


WALLET = "4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68"


CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"


NOW = 1_790_700_000


LONG_AGO = NOW - 40 * 86_400


async def read(
    fetch: pagination.Fetch,
    wallet: str = WALLET,
    resume: pagination.Resume | None = None,
    **options: Any,
) -> list[pagination.Page]:
    context = pagination.RequestContext(fetch, **{"clock": CLOCK, **options})
    return [page async for page in positions.walk_unit((wallet,), resume, context)]


def held(pages: list[pagination.Page]) -> list[records.Position]:
    """One row per position, as the store keeps it: the newest version wins."""
    best: dict[tuple[str, int, str], records.Position] = {}
    for page in pages:
        for row in page.rows_of(records.Position):
            key = (row.condition_id, row.outcome, row.asset_id)
            if key not in best or row.version > best[key].version:
                best[key] = row
    return list(best.values())


class Slowly(clocks.Clock):
    """Every look at the clock is 50 ms later."""

    def __init__(self) -> None:
        self.second = float(NOW)

    def now(self) -> float:
        self.second += 0.05
        return self.second

    def monotonic(self) -> float:
        return self.second

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"a walk never sleeps, asked for {seconds}")


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/v2/positions"


@dataclass
class Book:
    """A wallet's positions, which change between requests; listed as the API documents it.

    `clocks`: last event by number. `before`: what happens before the request of that number.
    """

    clocks: list[int]
    closed: set[int] = field(default_factory=set)
    before: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    page_rows: int = 3
    ahead_s: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Slowly()

    def flip(self, number: int) -> None:
        """The position changes lists, which is an event of this second."""
        self.closed ^= {number}
        self.touch(number)

    def touch(self, number: int) -> None:
        """Some other event."""
        self.clocks[number] = int(self.clock.second) - self.ahead_s

    async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        for change in self.before.pop(len(self.asked), []):
            change()
        asked = dict(feed.request_params(cursor))
        self.asked.append(asked)
        wanted = asked["status"] == "CLOSED"
        after = tuple(json.loads(cursor)) if cursor else (-1, -1)
        keys = sorted(
            (second, number)
            for number, second in enumerate(self.clocks)
            if (number in self.closed) is wanted
            and (second, number) > after
            and second >= int(asked.get("start", 0))
        )
        page = keys[: self.page_rows]
        following = json.dumps(page[-1]) if len(keys) > len(page) else None
        pagination = {"has_more": following is not None, "next_cursor": following}
        rows = [position(number, second, asked["status"]) for second, number in page]
        return Reply(json.dumps({"data": rows, "pagination": pagination}).encode())


def position(number: int, second: int, status: str = "OPEN", **changes: Any) -> dict[str, Any]:
    return {
        "proxy_wallet": "0x" + WALLET,
        "condition_id": "0x" + CONDITION,
        "token_id": str(1000 + number),
        "current_size": 0.0 if status == "CLOSED" else 5.0,
        "avg_price": 0.4,
        "status": status,
        "outcome": "Yes",
        "outcome_index": 0,
        "last_event_at": second,
        **changes,
    }


def numbers(pages: list[pagination.Page]) -> dict[int, str]:
    """Status by position."""
    return {int(row.asset_id) - 1000: row.status for row in held(pages)}


async def test_a_position_bought_back_behind_the_reader_is_found() -> None:
    """Closed while the open list is read, open while the closed one is: neither shows it."""
    book = Book([LONG_AGO + 1000 * number for number in range(6)], closed={4, 5})
    book.before = {2: [lambda: book.flip(5)]}
    book.page_rows = 2
    pages = await read(book, clock=book.clock)
    assert numbers(pages)[5] == "OPEN"
    assert [asked["status"] for asked in book.asked] == ["OPEN", "OPEN", "CLOSED", "OPEN"]
    # Shortly before the newest event that had been seen when the first two lists were read.
    assert int(book.asked[-1]["start"]) == LONG_AGO + 4_000 - 1 - positions.LAG_S


async def test_a_cursor_of_an_older_checkpoint_is_taken_over() -> None:
    """Written when the second page of the open list was stored."""
    book = Book([LONG_AGO + 1000 * number for number in range(6)], closed={4, 5}, page_rows=2)
    cursor = (
        '{"began_ms":[1790700000100],"began":1790700000050,"done":1,"newest":1787247000,'
        '"largest":2,"asked":1790700000249,"asked_ms":1790700000299}'
    )
    resume = pagination.Resume(cursor, feed="2a91e4ffe78f1f031214d8c623759e9a")
    pages = await read(book, resume=resume, clock=book.clock)
    assert [asked["status"] for asked in book.asked] == ["CLOSED", "OPEN"]
    assert numbers(pages) == {4: "CLOSED", 5: "CLOSED"}
    (end,) = pages[-1].rows_of(records.PositionsEnd)
    assert end.version == 2 * 1_790_700_000_050 + 1


async def test_the_newer_sight_of_a_moved_position_wins() -> None:
    book = Book([LONG_AGO + number for number in range(5)])
    book.before = {1: [lambda: book.touch(0)], 2: [lambda: book.flip(1)]}
    pages = await read(book, clock=book.clock)
    assert numbers(pages) == {0: "OPEN", 1: "CLOSED", 2: "OPEN", 3: "OPEN", 4: "OPEN"}
    seen = [row for page in pages for row in page.rows_of(records.Position)]
    assert len(seen) > len({row.asset_id for row in seen}), "the moved ones were seen twice"


@given(
    closed=st.sets(st.integers(0, 11)),
    page_rows=st.integers(1, 5),
    ahead_s=st.sampled_from([0, 0, 90_000]),
    flips=st.dictionaries(st.integers(0, 11), st.integers(1, 12), max_size=8),
    touches=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), max_size=8),
)
async def test_no_position_is_missed_that_changes_lists_once(
    closed: set[int],
    page_rows: int,
    ahead_s: int,
    flips: dict[int, int],
    touches: list[tuple[int, int]],
) -> None:
    """Also when our clock is a day ahead of the source's."""
    seconds = [NOW - ahead_s - 5_000 + 400 * number for number in range(12)]
    book = Book(seconds, set(closed), page_rows=page_rows, ahead_s=ahead_s)
    for number, request in touches:
        book.before.setdefault(request, []).append(lambda number=number: book.touch(number))
    for number, request in flips.items():
        book.before.setdefault(request, []).append(lambda number=number: book.flip(number))
    pages = await read(book, clock=book.clock)
    assert set(numbers(pages)) == set(range(12))


async def test_a_position_that_never_rests_does_not_hold_up_the_reading() -> None:
    book = Book([NOW] * 9, closed={1, 3, 5, 7}, page_rows=1)
    pages = await read(book, clock=book.clock)
    assert pages[-1].last
    starts = [asked["status"] for asked in book.asked if "cursor" not in asked]
    assert starts == ["OPEN", "CLOSED"] * (positions.MAX_LISTS // 2)


@pytest.mark.parametrize(
    ("rows", "following"),
    [
        ([position(0, NOW, proxy_wallet="0x" + "ab" * 20)], None),
        ([position(0, NOW, status="CLOSED")], None),
        ([position(0, NOW), position(1, NOW - 1)], "more"),
    ],
    ids=["another wallet", "another list", "another order"],
)
async def test_an_answer_to_another_question_is_refused(
    rows: list[dict[str, Any]], following: str | None
) -> None:
    """An ignored filter shows in the rows."""

    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        pagination = {"has_more": following is not None, "next_cursor": following}
        return Reply(json.dumps({"data": rows, "pagination": pagination}).encode())

    with pytest.raises(errors.Retry):
        await read(fetch)


async def test_the_order_matters_only_where_there_are_pages() -> None:
    async def fetch(feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        is_open = dict(feed.params)["status"] == "OPEN"
        rows = [position(0, NOW), position(1, NOW - 1)] if is_open else []
        pagination = {"has_more": False, "next_cursor": None}
        return Reply(json.dumps({"data": rows, "pagination": pagination}).encode())

    assert len(numbers(await read(fetch))) == 2


async def test_a_row_set_aside_keeps_what_older_readings_know() -> None:
    async def fetch(feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        status = dict(feed.params)["status"]
        rows = [position(0, NOW, status), position(1, NOW, status, token_id=None)]
        pagination = {"has_more": False, "next_cursor": None}
        return Reply(json.dumps({"data": rows, "pagination": pagination}).encode())

    pages = await read(fetch)
    assert pages[-1].last
    assert not pages[-1].rows_of(records.PositionsEnd)
    assert [len(page.rows_of(records.Rejected)) for page in pages] == [1] * len(pages)


PAGINATION = b'"pagination":{"has_more":false,"next_cursor":null}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"data":[]}',
        b'{"data":{},' + PAGINATION + b"}",
        b'{"data":[],"pagination":{"has_more":true,"next_cursor":null}}',
        b'{"data":[],"pagination":{"has_more":true,"next_cursor":""}}',
        b'{"data":[],"pagination":{"has_more":false,"next_cursor":"x"}}',
    ],
)
async def test_what_is_no_page_is_never_an_empty_wallet(body: bytes) -> None:
    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        return Reply(body)

    with pytest.raises(errors.Retry):
        await read(fetch)
