"""The driver of all walks, shown with the smallest strategy there is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tests import virtual_clock

from polybackfill import errors, records
from polybackfill.kinds import clob, positions, resolutions, user_stats
from polybackfill.polymarket import (
    date_range,
    endpoints,
    gamma_queries,
    pagination,
    trade_feed,
    v2_envelope,
)

QUERY = pagination.FeedQuery(endpoints.RESOLUTIONS, (("condition", "any"),))
Parsed = v2_envelope.ParsedRows[records.Rejected]


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/v2/resolutions?condition=any&_=7"


class Numbers(pagination.Strategy[Parsed]):
    """A list whose rows are numbers and whose cursors are strings; it is over without a cursor."""

    def __init__(self, recovery: Sequence[pagination.Recovery] = ()) -> None:
        self.route, self.feeds = QUERY.route, (QUERY.fingerprint, "second list")
        self.recovery = list(recovery)
        self.first_page_answers: list[bool] = []

    def begin(self, resume: pagination.Resume) -> None:
        self.cursor, self.resume = resume.cursor, resume

    def next_query(self) -> pagination.FeedQuery:
        return QUERY

    def read(self, body: bytes, source: pagination.Source) -> Parsed:
        page = json.loads(body)
        if "numbers" not in page:
            raise errors.Retry("no page")
        used = [source.reject("number", str(number)) for number in page["numbers"]]
        rejected = [source.reject("not a number", "") for _ in range(page.get("bad", 0))]
        return v2_envelope.ParsedRows(
            rows=used,
            rejected=rejected,
            fetched_rows=len(used) + len(rejected),
            seconds=page["numbers"],
            next_cursor=page.get("next"),
        )

    def advance(self, page: Parsed) -> pagination.Rows:
        self.cursor, feed = page.next_cursor, self.resume.feed
        self.resume = pagination.Resume(self.cursor, feed=feed, ended=self.cursor is None)
        return page.rows, page.rejected

    async def recover(
        self, refusal: pagination.Refusal, answers_first_page: pagination.FirstPageCheck
    ) -> pagination.Recovery:
        if not self.recovery:
            return pagination.Recovery.FAIL
        self.first_page_answers.append(await answers_first_page())
        return self.recovery.pop(0)


@dataclass
class Script:
    """Answers by cursor; a list of answers is given one after the other."""

    answers: dict[str | None, Any]
    cursors: list[str | None] = field(default_factory=list)

    async def __call__(self, query: pagination.FeedQuery, cursor: str | None) -> Reply:
        assert query is QUERY
        self.cursors.append(cursor)
        answer = self.answers[cursor]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, Exception):
            raise answer
        return Reply(json.dumps(answer).encode())


THREE_PAGES = {
    None: {"numbers": [1, 2], "next": "a"},
    "a": {"numbers": [], "next": "b"},
    "b": {"numbers": [3]},
}


async def follow(
    script: Script,
    strategy: Numbers | None = None,
    resume: pagination.Resume | None = None,
    **options: Any,
) -> list[pagination.Page]:
    context = pagination.RequestContext(script, virtual_clock.StoppedClock(), "u", **options)
    walk = pagination.follow(strategy or Numbers(), resume, context)
    return [page async for page in walk]


def numbers_of(pages: list[pagination.Page]) -> list[str]:
    rows = [row for page in pages for row in page.rows_of(records.Rejected)]
    return [row.raw for row in rows if row.reason == "number"]


async def test_pages_are_followed_until_the_strategy_has_seen_the_end() -> None:
    script = Script(THREE_PAGES)
    pages = await follow(script)
    assert script.cursors == [None, "a", "b"]
    assert numbers_of(pages) == ["1", "2", "3"]
    assert [page.last for page in pages] == [False, False, True]
    assert [page.resume.cursor for page in pages] == ["a", "b", None]
    assert [(page.first_second, page.last_second) for page in pages] == [
        (1, 2),
        (None, None),
        (3, 3),
    ]


async def test_a_row_tells_where_it_came_from() -> None:
    """The parameter that makes an answer fresh is new each time, and no part of the question."""
    (row, _) = (await follow(Script(THREE_PAGES)))[0].rows_of(records.Rejected)
    assert (row.request, row.unit) == ("http://x/v2/resolutions?condition=any", "u")


async def test_every_page_can_be_resumed_behind() -> None:
    whole = await follow(Script(THREE_PAGES))
    for stop in range(3):
        script = Script(THREE_PAGES)
        rest = await follow(script, resume=whole[stop].resume)
        assert numbers_of(whole[: stop + 1]) + numbers_of(rest) == ["1", "2", "3"]
        assert rest[-1].last
    assert script.cursors == [], "what has ended asks nothing"


async def test_a_resume_point_of_another_question_is_worth_nothing() -> None:
    script = Script(THREE_PAGES)
    await follow(script, resume=pagination.Resume("b", feed="0" * 16))
    assert script.cursors == [None, "a", "b"]


async def test_a_strategy_may_read_several_lists() -> None:
    script = Script(THREE_PAGES)
    await follow(script, resume=pagination.Resume("b", feed="second list"))
    assert script.cursors == ["b"]


@pytest.mark.parametrize("repeated", ["a", "b"])
async def test_a_cursor_that_was_seen_before_is_none(repeated: str) -> None:
    script = Script({**THREE_PAGES, "b": {"numbers": [3], "next": repeated}})
    with pytest.raises(errors.Retry, match="repeats a cursor"):
        await follow(script)
    resume = pagination.Resume("b", feed=QUERY.fingerprint)
    script = Script({"b": {"numbers": [3], "next": "b"}})
    with pytest.raises(errors.Retry, match="repeats a cursor"):
        await follow(script, resume=resume)


async def test_an_attempt_is_one_request_and_its_checks() -> None:
    """So whoever retries asks for the same page again, whatever was wrong with it."""

    async def twice(attempt: pagination.Attempt[pagination.Result]) -> pagination.Result:
        try:
            return await attempt()
        except errors.Retry:
            return await attempt()

    repeated = {"numbers": [3], "next": "a"}
    script = Script({**THREE_PAGES, "a": [{}, THREE_PAGES["a"]], "b": [repeated, {"numbers": [3]}]})
    pages = await follow(script, with_retries=twice)
    assert script.cursors == [None, "a", "a", "b", "b"]
    assert numbers_of(pages) == ["1", "2", "3"]


async def test_what_is_refused_is_the_strategys_to_judge() -> None:
    refusal = errors.GiveUp("400", status=400)
    fail, again, anew = pagination.Recovery
    script = Script({**THREE_PAGES, "b": refusal})
    with pytest.raises(errors.GiveUp):
        await follow(script, Numbers([fail]))

    script = Script({**THREE_PAGES, "b": [refusal, {"numbers": [3]}]})
    strategy = Numbers([again])
    pages = await follow(script, strategy)
    assert script.cursors == [None, "a", "b", None, "b"], "the first page was asked for: it answers"
    assert strategy.first_page_answers == [True]
    assert not any(page.restarted for page in pages)

    script = Script({**THREE_PAGES, "b": [refusal, {"numbers": [3]}]})
    pages = await follow(script, Numbers([anew]))
    assert script.cursors == [None, "a", "b", None, None, "a", "b"]
    assert [page.restarted for page in pages] == [False, False, True, False, False]


async def test_pages_without_a_usable_row_come_to_an_end() -> None:
    class Endless(Script):
        async def __call__(self, query: pagination.FeedQuery, cursor: str | None) -> Reply:
            self.cursors.append(cursor)
            page = {"numbers": [], "next": str(len(self.cursors)), **self.answers[None]}
            return Reply(json.dumps(page).encode())

    empty, unusable = Endless({None: {}}), Endless({None: {"bad": 2}})
    with pytest.raises(errors.GiveUp, match="1000 empty pages in a row"):
        await follow(empty)
    assert len(empty.cursors) == pagination.MAX_EMPTY_PAGES + 1
    with pytest.raises(errors.GiveUp, match=r"100 pages in a row .* because: not a number"):
        await follow(unusable)
    assert len(unusable.cursors) == pagination.MAX_UNUSABLE_PAGES + 1


WALLET = "4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68"
CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"
SPAN = date_range.parse("closed:1700000000..1700086400")


def test_checkpoints_of_before_are_taken_over() -> None:
    """A fingerprint that changes makes every walk under way begin anew. Computed by the program as
    it was before there was one driver.
    """
    undated = date_range.parse("open:undated")
    fingerprints = [
        trade_feed.build_wallet_query(WALLET, 5, 9).fingerprint,
        trade_feed.build_condition_query([CONDITION]).fingerprint,
        gamma_queries.build_range_query(endpoints.MARKETS, SPAN).fingerprint,
        *(
            gamma_queries.build_range_query(endpoints.MARKETS, undated, order).fingerprint
            for order in gamma_queries.BOTH_ENDS
        ),
        clob.build_query("clob:1000-2000").fingerprint,
        *(positions.build_query(WALLET, status).fingerprint for status in positions.LISTS),
        resolutions.build_query([CONDITION]).fingerprint,
        user_stats.build_query(WALLET).fingerprint,
    ]
    assert fingerprints == [
        "11a63feba3dc634e",
        "3e037e534b2e41cf",
        "0d6ee52a5ae3fe3d",
        "ea9a82f2c66815f4",
        "2268113299b927fd",
        "3284601b624c73b1",
        "2a91e4ffe78f1f03",
        "1214d8c623759e9a",
        "ac54847d9c57372e",
        "9f0796281cbb1596",
    ]
    written = b'{"cursor":"eyJ0","second":1700000007,"feed":"11a63feba3dc634e"}'
    resume = msgspec.json.decode(written, type=pagination.Resume)
    assert resume == pagination.Resume("eyJ0", 1_700_000_007, "11a63feba3dc634e")
    assert msgspec.json.encode(resume) == written
