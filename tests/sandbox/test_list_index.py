"""Windows and ids of the Gamma lists, as a client slices them."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime

import pytest

from .conftest import Open, Row, Visitor

DAY = 86_400


def stamp(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("kind", ["markets", "events"])
@pytest.mark.parametrize("date", ["start_date", "end_date"])
async def test_slices_of_days_add_up_to_what_has_a_date(
    open_sandbox: Open, kind: str, date: str
) -> None:
    visitor = await open_sandbox(markets=600, events=200, trades=5_000)
    now = (await visitor.ok("/_sandbox/universe"))["now"]
    field = {"start_date": "startDate", "end_date": "endDate"}[date]
    edges = [0, *range(now - 1_000 * DAY, now + 1_000 * DAY, 200 * DAY), now + 9_000 * DAY]
    for closed in ("true", "false"):
        whole = await visitor.listed(kind, closed=closed)
        slices: list[Row] = []
        for low, high in itertools.pairwise(edges):
            window = {f"{date}_min": stamp(low), f"{date}_max": stamp(high - 1)}
            slices += await visitor.listed(kind, closed=closed, **window)
        dated = [row["id"] for row in whole if row.get(field)]
        # `startDate` shows a fraction of a second that the filter does not know.
        assert sorted(row["id"] for row in slices) == sorted(dated)


async def test_every_id_filter_finds_its_market_and_nothing_else(visitor: Visitor) -> None:
    condition = visitor.special["market_no_end"]
    market = (await visitor.ok("/gamma/markets/keyset", condition_ids=condition))["markets"][0]
    event = market["events"][0]["id"]
    for name, value in (
        ("id", market["id"]),
        ("slug", market["slug"]),
        ("question_ids", market["questionID"]),
        ("clob_token_ids", json.loads(market["clobTokenIds"])[1]),
    ):
        answer = await visitor.ok("/gamma/markets/keyset", **{name: value})
        assert [row["id"] for row in answer["markets"]] == [market["id"]], name
        wrong = await visitor.ok("/gamma/markets/keyset", closed="true", **{name: value})
        assert wrong["markets"] == []
    structural = visitor.special["market_v2_neg_risk"]
    hidden = await visitor.ok("/gamma/markets/keyset", condition_ids=structural)
    assert hidden["markets"] == []
    shown = await visitor.ok("/gamma/markets/keyset", condition_ids=structural, version="v2")
    token = shown["markets"][0]["positionIds"][0]
    again = await visitor.ok("/gamma/markets/keyset", position_ids=token, version="v2")
    assert again == shown
    assert [row["id"] for row in await visitor.listed("events", id=event)] == [event]


async def test_tags_of_events_filter(visitor: Visitor) -> None:
    everything = await visitor.listed("events", closed="true")
    sports = await visitor.listed("events", closed="true", tag_slug="sports")
    tag = next(tag["id"] for tag in sports[0]["tags"] if tag["slug"] == "sports")
    assert sports == await visitor.listed("events", closed="true", tag_id=tag)
    others = await visitor.listed("events", closed="true", exclude_tag_id=tag)
    assert len(sports) + len(others) == len(everything)
    assert sports
    assert others


async def test_falling_orders_walk_to_the_end(visitor: Visitor) -> None:
    rows = await visitor.listed("markets", closed="true", order="createdAt,id", ascending="false")
    whole = await visitor.listed("markets", closed="true")
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in whole)
    created = [row["createdAt"] for row in rows]
    assert created == sorted(created, reverse=True)


async def test_a_large_universe_starts_and_answers(open_sandbox: Open) -> None:
    visitor = await open_sandbox(markets=30_000, events=9_000, wallets=100, trades=6_000)
    answer = await visitor.ok("/gamma/markets/keyset", closed="true", order="volumeNum", limit=100)
    assert len(answer["markets"]) == 100
    last = await visitor.ok("/clob/markets", next_cursor="MzAwMDA=")
    assert last["count"] == 2
    assert last["next_cursor"] == "LTE="
