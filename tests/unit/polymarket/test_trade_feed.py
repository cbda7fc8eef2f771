"""Walks: whole seconds, proven ends, exact resumption; answers to other questions are refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tests import virtual_clock

from polybackfill import errors, records
from polybackfill.polymarket import cursor_refusal, pagination, trade_feed, trade_parser

WALLET = "4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68"
CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"
TOKEN = "94086112935155543873623944622982589425841987761157800428904933343235050159168"

Resumed = pagination.Resume | None


@pytest.fixture(autouse=True)
def early_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """These feeds count their seconds from 1."""
    monkeypatch.setattr(trade_parser, "_EARLIEST", 1)


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str


def fill(second: int, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A fill; the same `number` is the same fill again."""
    row = {
        "proxy_wallet": "0x" + WALLET,
        "side": "BUY",
        "token_id": TOKEN,
        "condition_id": "0x" + CONDITION,
        "size": 5.0,
        "price": 0.5,
        "timestamp": second,
        "title": "",
        "outcome": "Down",
        "outcome_index": 1,
        "transaction_hash": f"0x{number:064x}",
        "type": "TRADE",
    }
    return {**row, **changes}


@dataclass
class Script:
    """Pages by cursor, as a feed would serve them: None → "1" → "2" → …"""

    pages: list[list[dict[str, Any]]]
    asked: list[str | None] = field(default_factory=list)
    answers: dict[int, Callable[[], Reply]] = field(default_factory=dict)
    """Answers given instead, by number of the request."""

    async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        request = len(self.asked)
        self.asked.append(cursor)
        if request in self.answers:
            return self.answers[request]()
        return self.page(int(cursor or 0))

    def page(self, number: int, **pagination: Any) -> Reply:
        more = number + 1 < len(self.pages)
        shown = {"has_more": more, "next_cursor": str(number + 1) if more else None, **pagination}
        body = {"data": self.pages[number], "pagination": shown}
        return Reply(json.dumps(body).encode(), f"http://x/v2/activity?cursor={number}")


def ascending(since: int | None = None, until: int | None = None) -> pagination.FeedQuery:
    return trade_feed.build_wallet_query(WALLET, since, until)


def descending(since: int | None = None, until: int | None = None) -> pagination.FeedQuery:
    return trade_feed.build_condition_query([CONDITION], since, until)


async def walked(
    script: Script, feed: pagination.FeedQuery, resume: Resumed = None, **options: Any
) -> list[pagination.Page]:
    retries = options.pop("with_retries", pagination.without_retry)
    context = pagination.RequestContext(script, virtual_clock.StoppedClock(), "u", retries)
    return [page async for page in trade_feed.pages(feed, resume, context, **options)]


def seconds_of(pages: list[pagination.Page]) -> list[list[int]]:
    return [[row.trade_timestamp for row in page.rows_of(records.Trade)] for page in pages]


def ids_of(pages: list[pagination.Page]) -> list[str]:
    return [row.external_trade_id for page in pages for row in page.rows_of(records.Trade)]


async def test_the_last_second_of_a_page_is_held_back_until_it_is_over() -> None:
    script = Script([[fill(1, 1), fill(2, 2)], [fill(2, 3), fill(3, 4)], [fill(4, 5)]])
    pages = await walked(script, ascending())
    assert seconds_of(pages) == [[1], [2, 2], [3, 4]]
    assert [page.last for page in pages] == [False, False, True]
    assert [(page.resume.cursor, page.resume.second) for page in pages[:2]] == [(None, 2), ("1", 3)]
    assert pages[-1].resume.ended
    assert [(page.first_second, page.last_second) for page in pages] == [(1, 2), (2, 3), (4, 4)]
    assert script.asked == [None, "1", "2"]


async def test_a_descending_feed_works_the_same() -> None:
    script = Script([[fill(9, 1), fill(8, 2)], [fill(8, 3), fill(7, 4)], [fill(7, 5)]])
    pages = await walked(script, descending())
    assert seconds_of(pages) == [[9], [8, 8], [7, 7]]
    assert [(page.resume.cursor, page.resume.second) for page in pages[:2]] == [(None, 8), ("1", 7)]


async def test_a_busy_second_is_released_whole_and_its_resume_stays_where_it_began() -> None:
    script = Script(
        [[fill(1, 1), fill(2, 0)], [fill(2, 0)] * 2, [fill(2, 0)] * 2, [fill(2, 0), fill(3, 9)], []]
    )
    pages = await walked(script, ascending())
    assert seconds_of(pages) == [[1], [], [], [2] * 6, [3]]
    assert {(page.resume.cursor, page.resume.second) for page in pages[:3]} == {(None, 2)}
    assert (pages[3].resume.cursor, pages[3].resume.second) == ("3", 3)
    assert len(set(ids_of(pages))) == 8, "six identical fills are six rows"


async def test_a_wallet_of_many_thousands_of_fills_and_a_second_of_several_pages() -> None:
    """Seed 001, connector: complete histories across pages, of a wallet with 10,000 fills and more
    and with several pages inside one second.
    """
    seconds = [*range(1, 4_001), *[4_001] * 3_500, *range(4_002, 9_002)]
    history = [fill(second, number // 2) for number, second in enumerate(seconds)]  # half are twins
    script = Script([history[first : first + 1_000] for first in range(0, len(history), 1_000)])
    pages = await walked(script, ascending())
    assert len(pages) == 13
    assert pages[-1].last
    assert seconds_of(pages) != []
    assert sorted(second for page in seconds_of(pages) for second in page) == seconds
    assert len(set(ids_of(pages))) == len(history) == 12_500


async def test_a_page_that_is_exactly_one_second_begins_a_new_held_second() -> None:
    script = Script([[fill(1, 1)], [fill(2, 2), fill(2, 3)], [fill(3, 4)]])
    pages = await walked(script, ascending())
    assert seconds_of(pages) == [[], [1], [2, 2, 3]]
    assert (pages[1].resume.cursor, pages[1].resume.second) == ("1", 2)


async def test_an_empty_page_with_a_cursor_is_not_the_end() -> None:
    script = Script([[], [fill(1, 1)], [], [], [fill(1, 2), fill(2, 3)], []])
    pages = await walked(script, ascending())
    assert seconds_of(pages) == [[], [], [], [], [1, 1], [2]]
    assert [page.fetched_rows for page in pages] == [0, 1, 0, 0, 2, 0]
    assert pages[3].resume == pages[1].resume


async def test_a_wallet_without_rows_is_one_page() -> None:
    (page,) = await walked(Script([[]]), ascending())
    assert page.last
    assert page.rows_of(records.Trade) == []


@pytest.mark.parametrize("kind", [ascending, descending])
async def test_resuming_after_any_page_releases_exactly_the_rest(
    kind: Callable[[], pagination.FeedQuery],
) -> None:
    feed = kind()
    seconds = [1, 1, 2, 2, 2, 2, 2, 2, 3, 4, 4, 4, 5]
    rows = [fill(second, number // 2) for number, second in enumerate(seconds)]
    if feed.descending:
        rows.reverse()
    script = Script([rows[at : at + 2] for at in range(0, len(rows), 2)])
    whole = await walked(script, feed)
    for stop in range(len(whole)):
        stored = ids_of(whole[: stop + 1])
        rest = await walked(script, feed, whole[stop].resume)
        assert rest[-1].last
        if whole[stop].resume.cursor is not None or whole[stop].last:
            assert stored + ids_of(rest) == ids_of(whole), stop
        assert set(stored + ids_of(rest)) == set(ids_of(whole))


async def test_the_first_page_is_read_whole_again_because_its_newest_rows_may_be_new() -> None:
    old = Script([[fill(8, 1), fill(7, 2)], [fill(6, 3)]])
    first = (await walked(old, descending()))[0]
    grown = Script([[fill(9, 4), fill(8, 1)], [fill(7, 2), fill(6, 3)]])
    pages = await walked(grown, descending(), first.resume)
    assert seconds_of(pages) == [[9], [8, 7, 6]]


async def test_late_rows_that_push_the_held_second_off_its_page_lose_nothing() -> None:
    """Seed 001, trade id: a row pushed over a page boundary adds nothing."""
    feed = ascending()
    before = Script([[fill(1, 1)], [fill(2, 2), fill(5, 5)], [fill(5, 6), fill(6, 7)]])
    stored = (await walked(before, feed))[1]
    assert (stored.resume.cursor, stored.resume.second) == ("1", 5)
    late = [fill(2, 20 + number) for number in range(3)]
    after = Script([[fill(1, 1)], [fill(2, 2), *late], [fill(5, 5), fill(5, 6)], [fill(6, 7)]])
    pages = await walked(after, feed, stored.resume)
    assert seconds_of(pages) == [[], [], [5, 5, 6]]
    assert pages[0].resume == stored.resume, "nothing new is stored yet"


async def test_an_ended_walk_asks_nothing_more() -> None:
    script = Script([[fill(1, 1)]])
    (page,) = await walked(script, ascending())
    again = await walked(script, ascending(), page.resume)
    assert [(page.last, page.rows_of(records.Trade)) for page in again] == [(True, [])]
    assert script.asked == [None]


async def test_a_cursor_is_never_used_under_other_filters() -> None:
    script = Script([[fill(1, 1), fill(2, 2)], [fill(2, 3), fill(3, 4)], [fill(4, 5)]])
    resume = (await walked(script, ascending()))[1].resume
    script.asked.clear()
    pages = await walked(script, ascending(since=1), resume)
    assert script.asked[0] is None
    assert len(ids_of(pages)) == 5
    assert await walked(script, ascending(since=1), pagination.Resume("1", 2))
    assert script.asked[3] is None


async def test_a_resume_survives_the_checkpoint() -> None:
    for resume in (
        pagination.Resume(),
        pagination.Resume("abc", 5, "f" * 16),
        pagination.Resume(feed="0" * 16, ended=True),
    ):
        told = msgspec.json.encode(msgspec.to_builtins(resume))
        assert msgspec.convert(msgspec.json.decode(told), pagination.Resume) == resume


async def test_a_market_feed_is_filtered_and_left_as_soon_as_it_is_older_than_since() -> None:
    script = Script(
        [
            [fill(9, 1), fill(8, 2)],
            [fill(7, 3), fill(6, 4)],
            [fill(6, 5), fill(5, 6)],
            [fill(4, 7), fill(3, 8)],
            [fill(2, 9)],
        ]
    )
    pages = await walked(script, descending(since=5, until=7))
    assert seconds_of(pages) == [[], [7], [6, 6], [5]]
    assert pages[-1].last
    assert script.asked == [None, "1", "2", "3"], "the page after the range proves its end"


async def test_an_ascending_feed_is_left_as_soon_as_it_is_newer_than_until() -> None:
    script = Script([[fill(1, 1), fill(2, 2)], [fill(3, 3), fill(4, 4)], [fill(5, 5)]])
    pages = await walked(script, ascending(since=2, until=3))
    assert seconds_of(pages) == [[], [2, 3]]
    assert pages[-1].last


async def test_a_range_edge_inside_a_busy_second_keeps_the_second_whole() -> None:
    script = Script([[fill(3, 0)] * 2, [fill(3, 0), fill(2, 0)], [fill(2, 0), fill(1, 0)]])
    pages = await walked(script, descending(since=2, until=3))
    assert [second for page in seconds_of(pages) for second in page] == [3, 3, 3, 2, 2]
    assert len(set(ids_of(pages))) == 5


async def test_activities_are_held_and_numbered_like_trades() -> None:
    redeem = {"type": "REDEEM", "token_id": "", "side": "", "size": 0}
    script = Script(
        [[fill(1, 1), fill(2, 2, **redeem)], [fill(2, 2, **redeem), fill(2, 3)], [fill(3, 4)]]
    )
    pages = await walked(script, ascending())
    assert [len(page.rows_of(records.Activity)) for page in pages] == [0, 0, 2]
    assert len({row.activity_id for row in pages[2].rows_of(records.Activity)}) == 2
    assert seconds_of(pages) == [[1], [], [2, 3]]


async def test_rejected_rows_are_delivered_with_their_page() -> None:
    script = Script([[fill(1, 1), fill(1, 2, side="?")], [fill(2, 3)]])
    pages = await walked(script, ascending())
    assert [len(page.rows_of(records.Rejected)) for page in pages] == [1, 0]
    assert pages[0].rows_of(records.Rejected)[0].unit == "u"
    assert pages[0].rows_of(records.Rejected)[0].request == "http://x/v2/activity?cursor=0"
    assert pages[0].rows_of(records.Rejected)[0].rejected_at == 1_790_700_000


OTHER = {
    "rows of another wallet": [fill(12, 2), fill(12, 3, proxy_wallet="0x" + "ab" * 20)],
    "rows out of order": [fill(13, 2), fill(12, 3)],
    "a page from before": [fill(10, 2), fill(11, 3)],
}


@pytest.mark.parametrize("rows", OTHER.values(), ids=OTHER.keys())
async def test_an_answer_to_another_question_is_asked_for_again(rows: list[Any]) -> None:
    script = Script([[fill(11, 1)], [fill(12, 2), fill(12, 3)], [fill(13, 4)]])
    wrong = Script([[], rows, []])
    script.answers[1] = lambda: wrong.page(1)
    with pytest.raises(errors.Retry):
        await walked(script, ascending())
    script.asked.clear()
    pages = await walked(script, ascending(), with_retries=patiently)
    assert script.asked == [None, "1", "1", "2"], "the same page, not the walk, is asked again"
    assert seconds_of(pages) == [[], [11], [12, 12, 13]]


async def patiently(attempt: pagination.Attempt) -> trade_parser.TradePage:
    try:
        return await attempt()
    except errors.Retry:
        return await attempt()


async def test_rows_of_another_condition_are_refused() -> None:
    script = Script([[fill(2, 2), fill(1, 3, condition_id="0x" + "ab" * 32)]])
    with pytest.raises(errors.Retry, match="condition"):
        await walked(script, descending())


@pytest.mark.parametrize("repeated", ["1", "2"])
async def test_a_cursor_that_repeats_is_refused(repeated: str) -> None:
    script = Script([[fill(1, 1)], [fill(2, 2)], [fill(3, 3)], [fill(4, 4)]])
    script.answers[2] = lambda: script.page(2, next_cursor=repeated)
    with pytest.raises(errors.Retry, match="repeats a cursor"):
        await walked(script, ascending())
    script.asked.clear()
    pages = await walked(script, ascending(), with_retries=patiently)
    assert script.asked == [None, "1", "2", "2", "3"]
    assert len(ids_of(pages)) == 4


@pytest.mark.parametrize(
    "pagination", [{"has_more": True, "next_cursor": None}, {"has_more": False}]
)
async def test_a_page_that_contradicts_itself_is_no_end(pagination: dict[str, Any]) -> None:
    script = Script([[fill(1, 1)], [fill(2, 2)], [fill(3, 3)]])
    script.answers[1] = lambda: script.page(1, **pagination)
    with pytest.raises(errors.Retry):
        await walked(script, ascending())


def refused() -> Reply:
    raise errors.GiveUp("400 invalid_request: cursor", status=400)


def refusing(*requests: int) -> dict[int, Callable[[], Reply]]:
    return dict.fromkeys(requests, refused)


async def test_a_cursor_refused_once_is_shown_again() -> None:
    script = Script([[fill(1, 1)], [fill(2, 2)], [fill(3, 3)]], answers=refusing(1, 3))
    pages = await walked(script, ascending())
    assert script.asked == [None, "1", "1", "2", "2"]
    assert len(ids_of(pages)) == 3


async def test_a_cursor_refused_twice_restarts_the_walk_once() -> None:
    script = Script([[fill(1, 1)], [fill(2, 2)], [fill(3, 3)]], answers=refusing(2, 3))
    pages = await walked(script, ascending())
    assert script.asked == [None, "1", "2", "2", None, "1", "2"]
    assert len(set(ids_of(pages))) == 3
    script = Script(script.pages, answers=refusing(1, 2, 4, 5))
    with pytest.raises(errors.GiveUp):
        await walked(script, ascending())


async def test_a_cursor_that_trips_the_edge_is_walked_around() -> None:
    """Pages of another size have other cursors; a first page that is refused is another matter."""

    def blocked() -> Reply:
        raise errors.Retry("403: Attention Required!", pause_host_s=90.0, split=True)

    sizes: list[str] = []

    class Sized(Script):
        async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
            sizes.append(dict(feed.params)["limit"])
            return await super().__call__(feed, cursor)

    script = Sized([[fill(1, 1)], [fill(2, 2)], [fill(3, 3)]], answers={2: blocked, 3: blocked})
    pages = await walked(script, ascending())
    assert script.asked == [None, "1", "2", "2", None, "1", "2"]
    assert sizes == ["1000"] * 4 + ["900"] * 3
    assert len(set(ids_of(pages))) == 3
    assert {page.resume.feed for page in pages} == {ascending().fingerprint}
    with pytest.raises(errors.Retry):
        await walked(Script([[]], answers={0: blocked}), ascending())


@pytest.mark.parametrize("sizes", [2, 4, 5])
async def test_cursors_that_trip_the_edge_one_after_another(sizes: int) -> None:
    """Pages of four sizes may trip and the fifth come through; after five it is over. (The cursor
    of this script is the same in all sizes, so it is shown twice only in the first.)
    """

    def blocked() -> Reply:
        raise errors.Retry("403: Attention Required!", pause_host_s=90.0, split=True)

    asked = [1, *range(2, 2 * sizes + 1, 2)]
    script = Script([[fill(1, 1)], [fill(2, 2)]], answers=dict.fromkeys(asked, blocked))
    if sizes == 5:
        with pytest.raises(errors.Retry):
            await walked(script, ascending())
        assert script.asked.count(None) == 5
        return
    pages = await walked(script, ascending())
    assert script.asked == [None, "1", *["1", None] * sizes, "1"]
    assert len(set(ids_of(pages))) == 2


async def test_a_walk_that_came_further_may_restart_again() -> None:
    script = Script([[fill(1, 1)], [fill(2, 2)], [fill(3, 3)]], answers=refusing(1, 2, 5, 6))
    pages = await walked(script, ascending())
    assert script.asked == [None, "1", "1", None, "1", "2", "2", None, "1", "2"]
    assert len(set(ids_of(pages))) == 3
    for place in (1, 2):  # no further than the last time
        again = 4 + place
        script = Script(script.pages, answers=refusing(2, 3, again, again + 1))
        with pytest.raises(errors.GiveUp):
            await walked(script, ascending())


async def test_a_walk_does_not_restart_for_ever() -> None:
    rows = [[fill(second, second)] for second in range(1, 60)]

    class Grudging(Script):
        async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
            self.furthest = max(getattr(self, "furthest", 0), int(cursor or 0))
            if cursor == str(self.furthest) and self.asked.count(cursor) < 2:
                self.asked.append(cursor)
                return refused()
            return await super().__call__(feed, cursor)

    script = Grudging(rows)
    with pytest.raises(errors.GiveUp):
        await walked(script, ascending())
    assert script.asked.count(None) == cursor_refusal.MAX_RESTARTS + 1


async def test_a_refused_first_request_is_final() -> None:
    with pytest.raises(errors.GiveUp):
        await walked(Script([[]], answers={0: refused}), ascending())


async def test_a_refused_resume_cursor_reads_everything_again() -> None:
    script = Script([[fill(1, 1), fill(2, 2)], [fill(2, 3), fill(3, 4)], [fill(4, 5)]])
    resume = (await walked(script, ascending()))[1].resume
    script.asked.clear()
    script.answers.update(refusing(0, 1))
    pages = await walked(script, ascending(), resume)
    assert script.asked == ["1", "1", None, "1", "2"]
    assert len(ids_of(pages)) == 5


async def test_other_refusals_are_passed_on() -> None:
    def gone() -> Reply:
        raise errors.GiveUp("404", status=404)

    script = Script([[fill(1, 1)], [fill(2, 2)]], answers={1: gone})
    with pytest.raises(errors.GiveUp, match="404"):
        await walked(script, ascending())


async def test_a_second_without_end_gives_up_instead_of_filling_memory() -> None:
    script = Script([[fill(7, number * 10 + i) for i in range(10)] for number in range(50)])
    with pytest.raises(errors.GiveUp, match="second 7"):
        await walked(script, ascending(), max_held_rows=100)
    assert len(script.asked) == 11


async def test_empty_pages_without_end_give_up() -> None:
    with pytest.raises(errors.GiveUp, match="empty pages"):
        await walked(Script([[]] * 3_000), ascending())


async def test_pages_of_nothing_but_unusable_rows_without_end_give_up_with_the_reason() -> None:
    script = Script([[fill(1, number, size="many")] * 3 for number in range(3_000)])
    with pytest.raises(errors.GiveUp, match=r"100 pages in a row without a usable row.*size"):
        await walked(script, ascending())
    assert len(script.asked) == pagination.MAX_UNUSABLE_PAGES + 1


async def test_empty_pages_between_unusable_ones_give_no_new_time() -> None:
    pages = [[fill(1, number, size="many")] if number % 2 else [] for number in range(3_000)]
    with pytest.raises(errors.GiveUp, match="without a usable row"):
        await walked(Script(pages), ascending())


async def test_a_usable_row_now_and_then_is_no_end() -> None:
    pages = [[fill(n // 50, n, size=5.0 if n % 50 == 0 else "many")] for n in range(1, 400)]
    assert (await walked(Script(pages), ascending()))[-1].last


def test_the_question_about_a_wallet() -> None:
    feed = trade_feed.build_wallet_query(WALLET)
    assert dict(feed.request_params(None)) == {
        "user": "0x" + WALLET,
        "start": "1",
        "exclude_deposits_withdrawals": "false",
        "limit": "1000",
        "sort_direction": "ASC",
    }
    ranged = dict(trade_feed.build_wallet_query(WALLET, 5, 9).request_params("c"))
    assert (ranged["start"], ranged["end"], ranged["cursor"]) == ("5", "9", "c")
    assert "type" not in ranged
    assert dict(trade_feed.build_wallet_query(WALLET, 0).request_params(None))["start"] == "1"
    assert feed.route.path == "/v2/activity"


def test_the_question_about_conditions() -> None:
    """Seed 001, by-market ingest: the trades feed with both sides."""
    other = "01" * 32
    feed = trade_feed.build_condition_query([CONDITION, other, CONDITION], 5, 9)
    assert dict(feed.request_params("c")) == {
        "condition": f"0x{other},0x{CONDITION}",
        "taker_only": "false",
        "limit": "1000",
        "cursor": "c",
    }
    assert feed.route.path == "/v2/trades"
    assert feed.descending


def test_feeds_with_other_filters_have_other_fingerprints() -> None:
    feeds = [
        trade_feed.build_wallet_query(WALLET),
        trade_feed.build_wallet_query(WALLET, 5),
        trade_feed.build_wallet_query(WALLET, 5, 9),
        trade_feed.build_wallet_query(WALLET[::-1]),
        trade_feed.build_condition_query([CONDITION]),
        trade_feed.build_condition_query([CONDITION], 5),
        trade_feed.build_condition_query([CONDITION, "01" * 32]),
    ]
    assert len({feed.fingerprint for feed in feeds}) == len(feeds)
    assert trade_feed.build_wallet_query(WALLET, 5).fingerprint == feeds[1].fingerprint


@pytest.mark.parametrize("stop", range(3))
async def test_a_walk_taken_up_again_counts_each_row_once(stop: int) -> None:
    """What was counted before it stopped counts no more when its first page comes whole again."""
    script = Script([[fill(9, 1), fill(8, 2)], [fill(8, 3), fill(7, 4)], [fill(6, 5)], []])
    whole = await walked(script, descending())
    rest = await walked(script, descending(), whole[stop].resume)
    assert [page.restarted for page in rest] == [stop == 0] + [False] * (len(rest) - 1)
    before = [] if rest[0].restarted else whole[: stop + 1]
    assert ids_of([*before, *rest]) == ids_of(whole)
