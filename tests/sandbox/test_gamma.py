"""Gamma and CLOB, row by row of the checklist."""

from __future__ import annotations

import base64
import json

import pytest

from .conftest import Open, Visitor


async def test_open_and_closed_and_both_versions_are_the_whole_list(visitor: Visitor) -> None:
    truth = (await visitor.ok("/_sandbox/truth"))["markets"]
    both = [("version", "v1"), ("version", "v2")]
    found: list[str] = []
    for closed in ("true", "false"):
        query = "&".join(f"{name}={value}" for name, value in [*both, ("closed", closed)])
        url = f"{visitor.running.url}/gamma/markets/keyset?{query}&limit=100"
        cursor = ""
        while True:
            async with visitor.session.get(url + cursor) as reply:
                answer = await reply.json()
            found += [market["id"] for market in answer["markets"]]
            if "next_cursor" not in answer:
                break
            cursor = f"&after_cursor={answer['next_cursor']}"
    assert len(found) == len(set(found)) == truth["gamma_open"] + truth["gamma_closed"]
    default = await visitor.listed("markets")
    assert all(not market["closed"] for market in default)
    # Without `version` the server lists v1 markets alone, as the official SDK says.
    assert not any(market.get("version") == "v2" for market in default)


async def test_pages_are_clamped_and_the_cursor_is_missing_on_a_short_page(
    visitor: Visitor,
) -> None:
    answer = await visitor.ok("/gamma/markets/keyset", closed="true", limit=5_000)
    assert len(answer["markets"]) == 100
    assert answer["next_cursor"]
    default = await visitor.ok("/gamma/markets/keyset", closed="true")
    assert len(default["markets"]) == 20
    exact = len(await visitor.listed("events", closed="false"))
    last = await visitor.ok("/gamma/events/keyset", closed="false", limit=exact)
    assert len(last["events"]) == exact
    after = await visitor.ok(
        "/gamma/events/keyset", closed="false", limit=exact, after_cursor=last["next_cursor"]
    )
    assert after == {"events": []}, "an exact multiple is followed by one empty page"


async def test_wrong_parameter_names_are_ignored_without_a_word(visitor: Visitor) -> None:
    condition = visitor.special["market_busy_second"]
    right = await visitor.ok("/gamma/markets/keyset", closed="true", condition_ids=condition)
    assert [market["conditionId"] for market in right["markets"]] == [condition]
    for wrong in ("condition_ids[]", "condition_id", "negRiskMarketID"):
        answer = await visitor.ok("/gamma/markets/keyset", closed="true", **{wrong: condition})
        assert len(answer["markets"]) == 20
    joined = await visitor.ok(
        "/gamma/markets/keyset", closed="true", condition_ids=f"{condition},{condition}"
    )
    assert joined["markets"] == []
    first = await visitor.ok("/gamma/markets/keyset", closed="true")
    ignored = await visitor.ok("/gamma/markets/keyset", closed="true", cursor=first["next_cursor"])
    assert ignored == first


async def test_a_batch_without_closed_misses_the_closed_ones(visitor: Visitor) -> None:
    condition = visitor.special["market_busy_second"]
    answer = await visitor.ok("/gamma/markets/keyset", condition_ids=condition)
    assert answer["markets"] == []


async def test_refusals(visitor: Visitor) -> None:
    status, answer, _ = await visitor.get("/gamma/markets/keyset", offset=1)
    assert (status, answer["type"]) == (422, "validation error")
    for wrong in ({"order": "volume_num"}, {"after_cursor": "rubbish!"}, {"closed": "perhaps"}):
        status, _, _ = await visitor.get("/gamma/markets/keyset", **wrong)
        assert status == 422, wrong
    many = "&".join(f"condition_ids=0x{number:064x}" for number in range(51))
    async with visitor.session.get(f"{visitor.running.url}/gamma/markets/keyset?{many}") as reply:
        assert reply.status == 403
        assert reply.content_type == "text/html"


async def test_arrays_are_text_and_missing_values_take_every_form(visitor: Visitor) -> None:
    rows = [*await visitor.listed("markets"), *await visitor.listed("markets", closed="true")]
    by_question = {market["question"]: market for market in rows}
    plain = by_question["Sandbox busy second?"]
    assert len(json.loads(plain["clobTokenIds"])) == len(json.loads(plain["outcomes"])) == 2
    assert isinstance(plain["volume"], str)
    assert plain["closedTime"].endswith("+00")
    assert "tags" not in plain
    assert by_question["Sandbox no condition?"]["conditionId"] == ""
    assert by_question["Sandbox no condition?"]["clobTokenIds"] is None
    assert "conditionId" not in by_question["Sandbox no condition key?"]
    assert "volumeNum" not in by_question["Sandbox untraded?"]
    assert json.loads(by_question["Sandbox zero zero?"]["outcomePrices"]) == ["0", "0"]
    assert len(json.loads(by_question["Sandbox three outcomes?"]["outcomes"])) == 3
    without_events = [market for market in rows if not market.get("events")]
    assert without_events
    assert "Sandbox unlisted?" not in by_question
    tagged = await visitor.ok("/gamma/markets/keyset", closed="true", include_tag="true")
    # Tags are dependable on events alone.
    assert {bool(market["tags"]) for market in tagged["markets"]} == {True, False}


async def test_volume_counts_every_fill_once(visitor: Visitor) -> None:
    condition = visitor.special["market_busy_second"]
    rows = await visitor.market(condition)
    answer = await visitor.ok("/gamma/markets/keyset", closed="true", condition_ids=condition)
    assert sum(row["size"] for row in rows) / 2 == pytest.approx(answer["markets"][0]["volumeNum"])


async def test_the_unlisted_market_answers_on_its_slug_alone(visitor: Visitor) -> None:
    slug = visitor.special["slug_unlisted"]
    market = await visitor.ok(f"/gamma/markets/slug/{slug}")
    assert market["conditionId"] == visitor.special["market_unlisted"]
    assert (market["active"], market["closed"]) == (False, True)
    for closed in ("true", "false"):
        answer = await visitor.ok("/gamma/markets/keyset", slug=slug, closed=closed)
        assert answer["markets"] == []
    assert await visitor.market(visitor.special["market_unlisted"])
    status, _, _ = await visitor.get("/gamma/markets/slug/nobody-knows")
    assert status == 404


async def test_dates_and_orders(visitor: Visitor) -> None:
    rows = await visitor.listed("markets", closed="true")
    middle = sorted(market["endDate"] for market in rows)[len(rows) // 2]
    early = await visitor.listed("markets", closed="true", end_date_max=middle)
    late = await visitor.listed("markets", closed="true", end_date_min=middle)
    together = {market["id"] for market in early} | {market["id"] for market in late}
    assert together == {market["id"] for market in rows}
    largest = await visitor.listed("markets", closed="true", order="volumeNum", ascending="false")
    volumes = [market["volumeNum"] for market in largest]
    assert volumes == sorted(volumes, reverse=True)
    as_text = await visitor.listed("markets", closed="true", order="volume")
    texts = [market["volume"] for market in as_text]
    assert texts == sorted(texts)


async def test_events_hold_their_markets_tags_and_series(visitor: Visitor) -> None:
    truth = (await visitor.ok("/_sandbox/truth"))["events"]
    closed = await visitor.listed("events", closed="true", version="v1")
    opened = await visitor.listed("events", closed="false", version="v1")
    second = await visitor.listed("events", closed="true", version="v2")
    second += await visitor.listed("events", closed="false", version="v2")
    assert len(closed) + len(opened) + len(second) == truth["open"] + truth["closed"]
    assert len(second) == 2
    assert all("events" not in market for event in closed for market in event["markets"])
    assert any(event.get("series") for event in closed)
    assert all(event["tags"] for event in closed)
    rivals = [event for event in [*closed, *opened] if len(event["markets"]) > 2]
    assert all(event["negRisk"] for event in rivals)
    one = await visitor.ok(f"/gamma/events/{closed[0]['id']}")
    assert one == closed[0]
    assert await visitor.ok(f"/gamma/events/{closed[0]['id']}/tags") == closed[0]["tags"]


async def test_legacy_lists_carry_their_sunset_and_an_offset_cap(open_sandbox: Open) -> None:
    visitor = await open_sandbox(gamma_offset_cap=50)
    for kind in ("markets", "events"):
        status, rows, headers = await visitor.get(f"/gamma/{kind}", limit=500, closed="true")
        assert status == 200
        assert isinstance(rows, list)
        assert len(rows) <= 100
        assert headers["Sunset"] == "Fri, 01 May 2026 00:00:00 GMT"
        assert headers["Deprecation"] == "true"
        assert "keyset" in headers["Warning"]
        status, _, _ = await visitor.get(f"/gamma/{kind}", offset=51, closed="true")
        assert status == 422
    tags = await visitor.ok("/gamma/tags", limit=1_000)
    assert await visitor.ok("/gamma/tags", limit=5, offset=5) == tags[5:10]


async def test_clob_lists_everything_by_computable_cursors(open_sandbox: Open) -> None:
    visitor = await open_sandbox(markets=1_200, trades=5_000)
    first = await visitor.ok("/clob/markets")
    assert (first["limit"], first["count"], len(first["data"])) == (1000, 1000, 1000)
    assert base64.b64decode(first["next_cursor"]) == b"1000"
    cursor = base64.b64encode(b"1000").decode()
    second = await visitor.ok("/clob/markets", next_cursor=cursor)
    assert second["next_cursor"] == "LTE="
    beyond = await visitor.ok("/clob/markets", next_cursor=base64.b64encode(b"9000").decode())
    assert (beyond["data"], beyond["next_cursor"]) == ([], "LTE=")
    rows = [*first["data"], *second["data"]]
    named = [row["condition_id"] for row in rows if row["condition_id"]]
    assert len(named) - len(set(named)) == 2, "duplicates occur"
    assert any(row["condition_id"] == "" for row in rows)
    assert any(row["tokens"][0]["token_id"] == "" for row in rows)
    assert visitor.special["market_unlisted"] in named
    assert sum(token["winner"] for row in rows for token in row["tokens"]) > 100
    one = await visitor.ok(f"/clob/markets/{named[0]}")
    assert one == rows[0]
    status, _, _ = await visitor.get("/clob/markets", next_cursor="???")
    assert status == 400
