"""Faults of lists, and a universe that changes while a client reads it."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Open, Row, Visitor


async def inject(visitor: Visitor, kind: str, **more: Any) -> None:
    await visitor.post("/_sandbox/faults", {"replace": [{"kind": kind, **more}]})


async def page(visitor: Visitor, kind: str = "markets", **params: Any) -> Any:
    return await visitor.ok(f"/gamma/{kind}/keyset", **params)


async def test_an_ignored_filter_answers_with_other_markets(visitor: Visitor) -> None:
    condition = visitor.special["market_no_end"]
    await inject(visitor, "ignored_filter", route="gamma", count=1)
    spoiled = await page(visitor, condition_ids=condition, limit=1)
    honest = await page(visitor, condition_ids=condition, limit=1)
    assert honest["markets"][0]["conditionId"] == condition
    assert spoiled["markets"][0]["conditionId"] != condition
    first = await page(visitor, limit=1)
    assert spoiled == first, "the first market of the list, as with a misspelt name"
    await inject(visitor, "ignored_filter", route="trades", count=1)
    rows = (await visitor.ok("/data/v2/trades", condition=condition, limit=50))["data"]
    assert len({row["condition_id"] for row in rows}) > 1


async def test_other_filters_may_be_ignored_too(visitor: Visitor) -> None:
    await inject(visitor, "ignored_filter", route="markets", filters=["closed"], count=1)
    spoiled = (await page(visitor, closed="true", limit=100))["markets"]
    honest = (await page(visitor, closed="true", limit=100))["markets"]
    assert {market["closed"] for market in spoiled} == {False}
    assert {market["closed"] for market in honest} == {True}


async def test_a_market_asked_for_alone_may_be_another(visitor: Visitor) -> None:
    condition = visitor.special["market_no_end"]
    await inject(visitor, "wrong_rows", route="clob-market", count=1)
    spoiled = await visitor.ok(f"/clob/markets/{condition}")
    honest = await visitor.ok(f"/clob/markets/{condition}")
    assert honest["condition_id"] == condition != spoiled["condition_id"]


async def test_a_clamped_page_is_no_end(visitor: Visitor) -> None:
    await inject(visitor, "clamped", route="gamma", limit=7)
    answer = await page(visitor, closed="true", limit=100)
    assert len(answer["markets"]) == 7
    assert answer["next_cursor"]
    await inject(visitor, "clamped", route="activity", limit=500)
    wallet = visitor.special["wallet_full_page"]
    pages = [rows async for rows in visitor.pages("/data/v2/activity", user=wallet, limit=1000)]
    assert [len(rows) for rows in pages] == [500, 500]


async def test_a_cursor_that_trips_the_edge_does_so_for_ever(visitor: Visitor) -> None:
    first = await page(visitor, closed="true", limit=30)
    second = await page(visitor, closed="true", limit=30, after_cursor=first["next_cursor"])
    await inject(visitor, "cursor_trips", route="markets", after=1, count=1)
    tripped = second["next_cursor"]
    await page(visitor, closed="true", limit=30, after_cursor=first["next_cursor"])
    for _ in range(3):
        asked = {"closed": "true", "limit": 30, "after_cursor": tripped}
        status, _, headers = await visitor.get("/gamma/markets/keyset", **asked)
        assert status == 403
        assert headers["Content-Type"].startswith("text/html")
    # Cut differently, the walk meets other cursors and passes.
    last_id = int(second["markets"][-1]["id"])
    wider = await page(visitor, closed="true", limit=31, after_cursor=first["next_cursor"])
    assert int(wider["markets"][-1]["id"]) > last_id
    assert await page(visitor, closed="true", limit=31, after_cursor=wider["next_cursor"])
    assert (await visitor.ok("/_sandbox/faults"))[0]["fired"] == 1
    await visitor.post("/_sandbox/faults", {"clear": True})
    assert await page(visitor, closed="true", limit=30, after_cursor=tripped)


async def test_an_event_list_dies_halfway_until_it_is_cleared(visitor: Visitor) -> None:
    await inject(visitor, "500", route="events", after=2)
    cursor: dict[str, str] = {}
    for _ in range(2):
        answer = await page(visitor, "events", closed="true", limit=20, **cursor)
        cursor = {"after_cursor": answer["next_cursor"]}
    for _ in range(3):
        asked = {"closed": "true", "limit": 20, **cursor}
        status, body, _ = await visitor.get("/gamma/events/keyset", **asked)
        assert (status, body["type"]) == (500, "internal error")
    await visitor.post("/_sandbox/faults", {"clear": True})
    assert (await page(visitor, "events", closed="true", limit=20, **cursor))["events"]


async def listed(visitor: Visitor, closed: str, cursor: str | None = None) -> list[Row]:
    rows: list[Row] = []
    while True:
        more = {"after_cursor": cursor} if cursor else {}
        answer = await page(visitor, closed=closed, limit=20, **more)
        rows += answer["markets"]
        cursor = answer.get("next_cursor")
        if cursor is None:
            return rows


async def test_a_market_appears_during_the_sweep(open_sandbox: Open) -> None:
    visitor = await open_sandbox()
    condition = visitor.special["market_unlisted"]
    asked = {"condition_ids": condition, "closed": "true"}
    assert (await page(visitor, **asked))["markets"] == []
    await inject(visitor, "market_appears", route="markets", target=condition)
    (market,) = (await page(visitor, **asked))["markets"]
    assert market["conditionId"] == condition


async def test_a_market_closes_during_the_sweep(open_sandbox: Open) -> None:
    visitor = await open_sandbox()
    before = await visitor.ok("/_sandbox/truth")
    first = await page(visitor, closed="false", limit=20)
    target = first["markets"][-1]  # the cursor that follows stands on it
    await inject(visitor, "market_closes", route="markets", target=target["conditionId"])
    rest = await listed(visitor, "false", first["next_cursor"])
    ids = [row["id"] for row in [*first["markets"], *rest]]
    assert len(ids) == len(set(ids)) == before["markets"]["gamma_open"] - 1, "v2 has one"
    closed = {row["id"]: row for row in await listed(visitor, "true")}
    shown = closed[target["id"]]
    assert shown["outcomePrices"] == '["1", "0"]'
    assert shown["umaResolutionStatus"] == "resolved"
    assert target["id"] not in {row["id"] for row in await listed(visitor, "false")}
    after = await visitor.ok("/_sandbox/truth")
    assert after["markets"]["digest"] != before["markets"]["digest"]
    assert after["markets"]["count"] == before["markets"]["count"]
    assert after["resolutions"]["count"] == before["resolutions"]["count"] + 1
    assert after["positions"] == before["positions"], "what is held stays held"
    by_clob = await visitor.ok(f"/clob/markets/{target['conditionId']}")
    assert [token["winner"] for token in by_clob["tokens"]] == [True, False]
    other = await open_sandbox()
    assert (await other.ok("/_sandbox/truth"))["markets"] == before["markets"], "a sandbox each"


async def test_positions_change_between_two_pages(open_sandbox: Open) -> None:
    visitor = await open_sandbox()
    wallet = visitor.special["wallet_big"]
    honest = await visitor.walk("/data/v2/positions", user=wallet, limit=10)
    await inject(visitor, "positions_change", route="positions", target=wallet, after=1)
    walked = await visitor.walk("/data/v2/positions", user=wallet, limit=10)
    now = await visitor.walk("/data/v2/positions", user=wallet, limit=10)
    tokens = [[row["token_id"] for row in rows] for rows in (honest, walked, now)]
    assert len(tokens[1]) == len(set(tokens[1]))
    assert tokens[1][0] == tokens[0][0]
    assert tokens[0][0] not in tokens[2], "gone"
    assert tokens[2][0] not in tokens[1], "and another one came first unseen"
    closed = await visitor.walk("/data/v2/positions", user=wallet, status="CLOSED", limit=100)
    assert tokens[0][0] in {row["token_id"] for row in closed}
    # Oldest change first, a walk meets what changes while it goes on.
    asked = {"sort_by": "TIMESTAMP", "sort_direction": "ASC", "limit": 10}
    await inject(visitor, "positions_change", route="positions", target=wallet, after=1)
    safe = await visitor.walk("/data/v2/positions", user=wallet, **asked)
    at_last = await visitor.walk("/data/v2/positions", user=wallet, **asked)
    assert {row["token_id"] for row in at_last} <= {row["token_id"] for row in safe}


async def test_changes_of_unknown_targets_are_refused(visitor: Visitor) -> None:
    for rule in (
        {"kind": "market_closes", "target": "0x12"},
        {"kind": "positions_change", "target": "0x12"},
        {"kind": "market_closes", "target": visitor.special["market_no_end"], "payouts": [1]},
    ):
        with pytest.raises(AssertionError, match=r"target|payouts"):
            await visitor.post("/_sandbox/faults", rule)
