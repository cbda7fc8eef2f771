"""Gamma's lists: proven ends, no answers to other questions, full spans and bad cursors cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from polybackfill import clocks, errors, records
from polybackfill.polymarket import date_range, endpoints, gamma, pagination, time_window

CLOCK = clocks.SystemClock()


DAY = 86_400


SINCE = 1_790_000_000


SPAN = date_range.DateRange(True, SINCE, SINCE + 30 * DAY)


HOUR = date_range.DateRange(True, SINCE, SINCE + 3600)  # is never cut


UNDATED = date_range.DateRange(True, undated=True)


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/markets/keyset?closed=true"


def market(number: int, **changes: Any) -> dict[str, Any]:
    """A closed market; ids and start dates rise together."""
    start = datetime.fromtimestamp(SINCE + number, UTC).isoformat()
    return {
        "id": str(number),
        "conditionId": f"0x{number:064x}",
        "slug": f"m-{number}",
        "closed": True,
        "startDate": start,
        **changes,
    }


@dataclass
class Script:
    """Pages by cursor, as the list would serve them: None → "1" → "2" → …"""

    pages: list[list[Any]]
    odd: dict[str | None, Any] = field(default_factory=dict)
    """Answered instead, by cursor: a body, or an error to raise."""
    asked: list[str | None] = field(default_factory=list)
    feeds: list[pagination.FeedQuery] = field(default_factory=list)

    async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        self.asked.append(cursor)
        self.feeds.append(feed)
        if cursor in self.odd:
            answer = self.odd[cursor]
            answer = answer.pop(0) if isinstance(answer, list) else answer
            if isinstance(answer, Exception):
                raise answer
            return Reply(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        number = int(cursor or 0)
        body: dict[str, Any] = {"markets": self.pages[number]}
        if number + 1 < len(self.pages):
            body["next_cursor"] = str(number + 1)
        return Reply(json.dumps(body).encode())


def pages_of(count: int, rows: int = 100, step: int = 1) -> list[list[dict[str, Any]]]:
    """Full pages of markets whose start dates are `step` seconds apart, and a short last one."""
    numbers = iter(range(0, count * rows * step, step))
    return [[market(next(numbers)) for _ in range(rows)] for _ in range(count)] + [[]]


async def walked(
    script: Script, span: date_range.DateRange = SPAN, resume: pagination.Resume | None = None
) -> list[pagination.Page]:
    context = pagination.RequestContext(script, CLOCK, "u")
    walker = gamma.walk_markets((span.key,), resume, context)
    return [page async for page in walker]


def ids_of(pages: list[pagination.Page]) -> list[str]:
    return [row.market_id for page in pages for row in page.rows_of(records.Market)]


async def test_full_pages_are_followed_to_the_page_that_is_not_full() -> None:
    script = Script(pages_of(3))
    pages = await walked(script, HOUR)
    assert [page.last for page in pages] == [False, False, False, True]
    assert len(set(ids_of(pages))) == 300
    assert script.asked == [None, "1", "2", "3"]
    assert pages[-1].resume.ended


async def test_a_short_page_with_a_cursor_is_not_the_end() -> None:
    """Seed 002, api_markets_staging + markets backfill: stops only at a proven end; fewer rows than
    asked is none.
    """
    script = Script([[market(1)] * 50, [], [market(2)]])
    pages = await walked(script, SPAN)
    assert [page.last for page in pages] == [False, False, True]
    assert ids_of(pages)[-1] == "2"


async def test_the_question_hides_nothing_and_its_order_never_changes() -> None:
    script = Script([[]])
    await walked(script)
    asked = script.feeds[0].request_params("abc")
    for pair in (
        ("closed", "true"),
        ("version", "v1"),
        ("version", "v2"),
        ("include_tag", "true"),
        ("limit", "100"),
        ("order", "id"),
        ("ascending", "true"),
        ("after_cursor", "abc"),
    ):
        assert pair in asked
    assert {name for name, _ in asked} >= {"start_date_min", "start_date_max"}
    assert "cursor" not in dict(asked)


REPEATED = {"markets": [market(1)], "next_cursor": "1"}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"events":[]}',
        b'{"markets":[],"next_cursor":""}',
        b'{"markets":[],"next_cursor":7}',
        {"markets": [market(1)] * 100},
        {"markets": [market(1, closed=False)]},
        {"markets": [market(31 * DAY)]},
        {"markets": [market(1, startDate="2020-01-01T00:00:00Z")]},
        REPEATED,
    ],
    ids=lambda body: str(body)[:40],
)
async def test_an_answer_to_no_or_another_question_is_asked_for_again(body: Any) -> None:
    script = Script([[market(1)] * 100, []], odd={"1": body})
    with pytest.raises(errors.Retry):
        await walked(script, HOUR)
    script = Script([], odd={None: body})
    if body == REPEATED:
        return  # nothing yet to repeat
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert not caught.value.split, "an ignored filter is no reason to cut"


async def test_rows_without_a_date_or_state_contradict_nothing() -> None:
    script = Script([[market(1, startDate=None), market(2, closed=None), None]])
    pages = await walked(script)
    assert ids_of(pages) == ["1", "2"]
    assert [row.reason for row in pages[0].rows_of(records.Rejected)] == ["not an object"]


async def test_a_walk_resumes_behind_what_is_stored() -> None:
    """Seed 002, api_markets_staging + markets backfill: resume from the cursor."""
    script = Script(pages_of(3))
    first = await walked(script, HOUR)
    script = Script(pages_of(3))
    rest = await walked(script, HOUR, first[1].resume)
    assert script.asked == ["2", "3"]
    assert ids_of(first[:2]) + ids_of(rest) == ids_of(first)
    over = await walked(script, HOUR, rest[-1].resume)
    assert [page.last for page in over] == [True]
    assert script.asked == ["2", "3"], "an ended walk asks nothing"


async def test_a_place_of_another_span_is_worth_nothing() -> None:
    script = Script(pages_of(1))
    other = pagination.Resume(cursor="1", feed="another")
    assert len(ids_of(await walked(script, HOUR, other))) == 100


async def test_a_full_span_is_cut_after_one_page_when_its_dates_tell() -> None:
    script = Script(pages_of(60, step=1))
    with pytest.raises(errors.Retry, match="more than 60 pages") as caught:
        await walked(script)
    assert caught.value.split
    assert len(script.asked) == 1


async def test_a_span_of_which_nothing_is_known_is_cut_at_the_latest_after_sixty_pages() -> None:
    undated = [
        [market(page * 100 + row, startDate=None) for row in range(100)] for page in range(70)
    ]
    script = Script(undated)
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert caught.value.split
    assert len(script.asked) == gamma.MANY_PAGES + 2  # one page from the middle told nothing


@dataclass
class Shuffled(Script):
    """A list whose ids say nothing of its dates; `middle`: what its middle answers, by date."""

    middle: Any = None

    async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        if ("order", "startDate") not in feed.params:
            return await super().__call__(feed, cursor)
        self.feeds.append(feed)
        if isinstance(self.middle, Exception):
            raise self.middle
        return Reply(json.dumps(self.middle).encode())

    @property
    def beside(self) -> list[pagination.FeedQuery]:
        """The questions for the middle of the span."""
        return [feed for feed in self.feeds if ("order", "startDate") in feed.params]


MIDDLE = (SPAN.since + SPAN.until) // 2 - SINCE  # type: ignore[operator]
LENGTH = SPAN.until - SPAN.since  # type: ignore[operator]


def shuffled_pages(count: int) -> list[list[dict[str, Any]]]:
    """Full pages whose dates lie all over the span."""
    return [
        [
            market(page * 100 + row, startDate=dated((page + 100 * row) * 7_919))
            for row in range(100)
        ]
        for page in range(count)
    ] + [[]]


def dated(number: int) -> str:
    """A moment of the span."""
    return datetime.fromtimestamp(SINCE + number % LENGTH, UTC).isoformat()


def middle_page(apart_s: int) -> dict[str, Any]:
    """What starts from the middle on, so many seconds apart."""
    rows = [market(10**6 + row, startDate=dated(MIDDLE + row * apart_s)) for row in range(100)]
    return {"markets": rows, "next_cursor": "x"}


async def test_a_span_whose_ids_do_not_tell_is_measured_in_its_middle_and_cut() -> None:
    script = Shuffled(shuffled_pages(80), middle=middle_page(LENGTH // 8_000))
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert caught.value.split
    assert script.asked == [None, "1", "2"]
    (feed,) = script.beside
    first = dict(feed.params)["start_date_min"]
    assert abs(datetime.fromisoformat(first).timestamp() - SINCE - MIDDLE) <= 2


@pytest.mark.parametrize(
    "middle",
    [
        middle_page(LENGTH // 2_000),
        {"markets": [market(10**6, startDate=dated(MIDDLE))]},
        errors.Retry("503"),
        errors.GiveUp("422"),
    ],
    ids=["sparse", "nearly empty", "away", "refused"],
)
async def test_a_span_that_is_not_too_full_costs_one_question_more(middle: Any) -> None:
    script = Shuffled(shuffled_pages(20), middle=middle)
    pages = await walked(script)
    assert len(script.beside) == 1
    assert len(ids_of(pages)) == len(set(ids_of(pages))) == 2_000
    assert len(script.asked) == 21


async def test_a_span_of_three_pages_is_not_measured() -> None:
    script = Shuffled(shuffled_pages(2))
    assert len(ids_of(await walked(script))) == 200
    assert script.beside == []


async def test_an_hour_is_read_however_full_it_is() -> None:
    hour = [[market(0, id=str(page * 100 + row)) for row in range(100)] for page in range(30)]
    pages = await walked(Script([*hour, []]), HOUR)
    assert len(set(ids_of(pages))) == 3_000


async def test_a_cursor_that_trips_the_edge_cuts_the_span() -> None:
    """Issue, statement 5: a cursor that trips the edge."""
    trip = errors.Retry("403: a web page", split=True, pause_host_s=0.0)
    script = Script([[market(DAY)] * 100, []], odd={"1": trip})
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert caught.value.split
    assert script.asked == [None, "1", None], "the first page is asked again: the host answers"


async def test_a_bad_cursor_in_an_hour_is_walked_around_with_pages_of_another_size() -> None:
    script = Script([[market(row) for row in range(90)], [market(100)]])

    async def fetch(feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        limit = dict(feed.request_params(cursor))["limit"]
        if cursor is not None and limit == "100":
            raise errors.Retry("403: a web page", split=True)
        return await script(feed, cursor)

    walker = gamma.walk_markets((HOUR.key,), None, pagination.RequestContext(fetch, CLOCK))
    pages = [page async for page in walker]
    assert [(page.restarted, page.last) for page in pages] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert len(set(ids_of(pages))) == 91


async def test_a_host_that_refuses_everything_cuts_nothing() -> None:
    trip = errors.Retry("403: a web page", split=True, pause_host_s=90.0)
    first = {"markets": [market(DAY)] * 100, "next_cursor": "1"}
    script = Script([], odd={"1": trip, None: [first, trip]})
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert not caught.value.split
    assert caught.value.pause_host_s == 90.0
    script = Script([], odd={None: trip})
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert not caught.value.split
    assert script.asked == [None]


async def test_a_list_that_dies_halfway_is_cut_or_given_back_and_never_ended() -> None:
    """Seed 002, api_markets_staging + markets backfill: 5xx in the middle is no silent success.
    Issue, statement 5: an event list that dies halfway.
    """
    dead = errors.Retry("500")
    script = Script([[market(DAY)] * 100, []], odd={"1": dead})
    with pytest.raises(errors.Retry) as caught:
        await walked(script)
    assert caught.value.split
    script = Script([[market(1)] * 100, []], odd={"1": dead})
    with pytest.raises(errors.Retry) as caught:
        await walked(script, HOUR)
    assert not caught.value.split


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_cursor_is_shown_once_more_and_then_the_walk_begins_anew(
    status: int,
) -> None:
    """Seed 002, api_markets_staging + markets backfill: 422 in the middle is no silent success."""
    refusal = errors.GiveUp("invalid after_cursor", status=status)
    script = Script([[market(1)] * 100, [market(2)]], odd={"1": [refusal, refusal]})
    script.odd["1"] += [{"markets": [market(2)]}]
    pages = await walked(script, HOUR)
    assert script.asked == [None, "1", "1", None, "1"]
    assert [page.restarted for page in pages] == [False, True, False]
    script = Script([[market(1)] * 100, []], odd={"1": refusal})
    with pytest.raises(errors.GiveUp):
        await walked(script, HOUR)
    assert script.asked == [None, "1", "1", None, "1"]


async def test_the_undated_are_read_from_both_ends_up_to_the_first_date() -> None:
    script = Script(
        [
            [market(row, startDate=None) for row in range(100)],
            [market(200, startDate=None), market(201)],
            [market(300)],
        ]
    )
    pages = await walked(script, UNDATED)
    assert script.asked == [None, "1", None, "1"]
    orders = [dict(feed.request_params(None))["ascending"] for feed in script.feeds]
    assert orders == ["true", "true", "false", "false"]
    assert {dict(feed.request_params(None))["order"] for feed in script.feeds} == {"startDate"}
    assert len(set(ids_of(pages))) == 102
    assert [page.last for page in pages] == [False, False, False, True]

    script = Script(script.pages)
    rest = await walked(script, UNDATED, pages[1].resume)
    assert script.asked == [None, "1"]
    assert rest[-1].last
    script = Script(script.pages)
    assert [page.last for page in await walked(script, UNDATED, pages[-1].resume)] == [True]
    assert script.asked == []


async def test_events_bring_markets_that_no_date_filter_shows() -> None:
    relic = {"id": "7", "slug": "old", "closed": True}
    event = {"id": "9", "slug": "e", "closed": True, "startDate": None, "markets": [relic]}

    async def fetch(feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        assert feed.route == endpoints.EVENTS
        return Reply(json.dumps({"events": [event]}).encode())

    context = pagination.RequestContext(fetch, CLOCK)
    pages = [page async for page in gamma.walk_events((SPAN.key,), None, context)]
    assert ids_of(pages) == ["7"]
    assert [row.event_id for row in pages[0].rows_of(records.Event)] == ["9"]


def made(number: int, **changes: Any) -> dict[str, Any]:
    """An open market that was made `number` seconds after SINCE."""
    created = datetime.fromtimestamp(SINCE + number, UTC).isoformat()
    return {**market(number), "closed": False, "createdAt": created, **changes}


async def walked_new(script: Script, since: int) -> list[pagination.Page]:
    context = pagination.RequestContext(script, CLOCK, "u")
    key = time_window.TimeWindow(SINCE + since, SINCE + since + 60).key
    return [page async for page in gamma.walk_new_markets((key,), None, context)]


async def test_what_is_new_is_read_until_it_is_old() -> None:
    script = Script([[made(9), made(8)], [made(7), made(6)], [made(5)]])
    pages = await walked_new(script, 7)
    assert ids_of(pages) == ["9", "8", "7", "6"]
    assert pages[-1].last
    asked = dict(script.feeds[0].request_params(None))
    assert (asked["order"], asked["ascending"], asked["closed"]) == ("createdAt", "false", "false")
    script = Script([[made(9, createdAt=None)], [made(8)]])
    assert ids_of(await walked_new(script, 9)) == ["9", "8"], "of no date nothing follows"


async def test_new_markets_in_another_order_are_no_answer() -> None:
    with pytest.raises(errors.Retry, match="not the newest first"):
        await walked_new(Script([[made(8), made(9)]]), 7)
