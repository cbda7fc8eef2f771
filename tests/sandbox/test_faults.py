"""Each fault does what its name says, as often as asked, and the same for one seed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from polymarket_sandbox import app, faults, options

from .conftest import Open, Visitor

PATH = "/data/v2/trades"
STATUS_KINDS = {
    "429_json": (429, "application/json"),
    "429_html": (429, "text/html"),
    "403_html": (403, "text/html"),
    "400": (400, "application/json"),
    "404": (404, "application/json"),
    "408": (408, "application/json"),
    "500": (500, "application/json"),
    "502": (502, "text/html"),
    "503": (503, "application/json"),
    "504": (504, "text/html"),
    "520": (520, "text/html"),
}


@pytest.fixture
async def lone(open_sandbox: Open) -> Visitor:
    """A client that sends nothing twice behind our back, as aiohttp does when a connection breaks
    under a GET."""
    visitor = await open_sandbox()
    await visitor.session.close()
    visitor.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0))
    visitor.session._retry_connection = False
    return visitor


async def inject(visitor: Visitor, kind: str, **more: Any) -> None:
    rule = {"kind": kind, "route": "trades", "count": 1, **more}
    await visitor.post("/_sandbox/faults", {"replace": [rule]})


@pytest.mark.parametrize("kind", sorted(STATUS_KINDS))
async def test_replies_in_place_of_an_answer(lone: Visitor, kind: str) -> None:
    await inject(lone, kind, retry_after_s=7)
    status, content_type = STATUS_KINDS[kind]
    async with lone.session.get(lone.running.url + PATH) as reply:
        assert reply.status == status
        assert reply.content_type == content_type
        assert reply.headers.get("Retry-After") == ("7" if kind in {"429_json", "503"} else None)
    await lone.ok(PATH)
    assert (await lone.ok("/_sandbox/faults"))[0]["fired"] == 1


async def test_reset_cuts_the_connection(lone: Visitor) -> None:
    await inject(lone, "reset")
    with pytest.raises(aiohttp.ClientError):
        await lone.ok(PATH)
    await lone.ok(PATH)


@pytest.mark.parametrize("kind", ["hang", "drip"])
async def test_some_answers_never_end(lone: Visitor, kind: str) -> None:
    await inject(lone, kind, interval_s=0.05)
    with pytest.raises(TimeoutError):
        await lone.ok(PATH)
    await lone.ok(PATH)


async def test_a_dripping_body_starts_and_goes_on(lone: Visitor) -> None:
    await inject(lone, "drip", interval_s=0.01)
    async with lone.session.get(lone.running.url + PATH) as reply:
        assert reply.status == 200
        received = [await reply.content.readany() for _ in range(5)]
    assert all(received)
    assert len(b"".join(received)) < int(reply.headers["Content-Length"])


async def test_a_truncated_body_is_shorter_than_promised(lone: Visitor) -> None:
    await inject(lone, "truncated")
    with pytest.raises(aiohttp.ClientPayloadError):
        await lone.ok(PATH)


@pytest.mark.parametrize("kind", ["cut_json", "invalid_json"])
async def test_a_body_that_is_no_json(lone: Visitor, kind: str) -> None:
    await inject(lone, kind)
    async with lone.session.get(lone.running.url + PATH) as reply:
        body = await reply.read()
    assert reply.status == 200
    assert len(body) == int(reply.headers["Content-Length"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_rows_of_somebody_else(lone: Visitor) -> None:
    wallet = lone.special["wallet_big"]
    await inject(lone, "wrong_rows")
    rows = (await lone.ok(PATH, user=wallet))["data"]
    assert len(rows) == 100
    assert wallet not in {row["proxy_wallet"] for row in rows}
    await lone.post("/_sandbox/faults", {"kind": "wrong_rows", "route": "gamma", "count": 1})
    condition = lone.special["market_busy_second"]
    asked = {"closed": "true", "condition_ids": condition}
    markets = (await lone.ok("/gamma/markets/keyset", **asked))["markets"]
    assert condition not in {market["conditionId"] for market in markets}
    markets = (await lone.ok("/gamma/markets/keyset", **asked))["markets"]
    assert condition in {market["conditionId"] for market in markets}


async def test_cursor_faults_hit_only_requests_with_a_cursor(lone: Visitor) -> None:
    await inject(lone, "cursor_repeat")
    first = await lone.ok(PATH)
    cursor = first["pagination"]["next_cursor"]
    second = await lone.ok(PATH, cursor=cursor)
    assert second["pagination"] | {"next_cursor": cursor, "has_more": True} == second["pagination"]
    assert second["data"] != first["data"]
    await inject(lone, "cursor_refused")
    await lone.ok(PATH)
    status, answer, _ = await lone.get(PATH, cursor=cursor)
    assert (status, answer["code"]) == (400, "invalid_request")
    await lone.ok(PATH, cursor=cursor)


async def test_cursor_repeat_on_the_lists(lone: Visitor) -> None:
    listed = {"kind": "cursor_repeat", "route": "*", "count": 2}
    await lone.post("/_sandbox/faults", {"add": [listed]})
    first = await lone.ok("/gamma/markets/keyset", closed="true")
    cursor = first["next_cursor"]
    again = await lone.ok("/gamma/markets/keyset", closed="true", after_cursor=cursor)
    assert again["next_cursor"] == cursor
    page = await lone.ok("/clob/markets", next_cursor="MA==")
    assert page["next_cursor"] == "MA=="


async def test_a_bad_row_is_one_more_and_the_good_ones_stay(lone: Visitor) -> None:
    honest = (await lone.ok(PATH))["data"]
    await inject(lone, "bad_row", count=4)
    for _ in range(4):
        rows = (await lone.ok(PATH))["data"]
        assert len(rows) == len(honest) + 1
        assert [row for row in rows if row in honest] == honest


async def test_unknown_fields(lone: Visitor) -> None:
    await inject(lone, "unknown_field")
    rows = (await lone.ok(PATH))["data"]
    assert all("sandbox_extra" in row for row in rows)


async def test_rules_choose_by_route_count_after_and_text(lone: Visitor) -> None:
    wallet = lone.special["wallet_big"]
    rule = {"kind": "500", "route": "/v2/trades", "count": 2, "after": 1, "match": wallet}
    await lone.post("/_sandbox/faults", {"replace": [rule]})
    seen = [(await lone.get(PATH, user=wallet))[0] for _ in range(5)]
    assert seen == [200, 500, 500, 200, 200]
    assert (await lone.get(PATH))[0] == 200
    assert (await lone.get("/data/v2/activity", user=wallet))[0] == 200
    assert (await lone.ok("/_sandbox/faults"))[0]["fired"] == 2
    assert await lone.post("/_sandbox/faults", {"clear": True}) == []


async def outcome_of(open_sandbox: Open, seed: int) -> list[int]:
    visitor = await open_sandbox(seed=seed)
    rule = {"kind": "503", "probability": 0.3}
    await visitor.post("/_sandbox/faults", [rule])
    return [(await visitor.get("/data/ok"))[0] for _ in range(60)]


async def test_probabilities_follow_the_seed(open_sandbox: Open) -> None:
    first = await outcome_of(open_sandbox, 1)
    assert first == await outcome_of(open_sandbox, 1)
    assert first != await outcome_of(open_sandbox, 2)
    assert 5 < first.count(503) < 35


async def test_rules_from_a_file_and_bad_ones(open_sandbox: Open, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"kind": "500", "count": 1}]))
    visitor = await open_sandbox(faults=path)
    assert (await visitor.get("/data/ok"))[0] == 500
    for wrong in ([{"kind": "fire"}], [{"kind": "500", "probabilty": 1}], [3]):
        path.write_text(json.dumps(wrong))
        with pytest.raises(options.OptionsError, match="faults"):
            app.build(options.SandboxOptions(faults=path))
        url = f"{visitor.running.url}/_sandbox/faults"
        async with visitor.session.post(url, json=wrong) as reply:
            assert reply.status == 400
    with pytest.raises(options.OptionsError, match="nowhere"):
        app.build(options.SandboxOptions(faults=tmp_path / "nowhere.json"))


async def drifted(visitor: Visitor, kind: str, path: str = PATH, **more: Any) -> Any:
    """What is answered honestly, and since the API has changed."""
    honest = await visitor.ok(path)
    await inject(visitor, kind, **more)
    return honest, await visitor.ok(path)


async def test_rows_of_an_api_that_has_changed(lone: Visitor) -> None:
    path = f"{PATH}?limit=5"
    honest, lost = await drifted(lone, "rows_lost", path)
    _, repeated = await drifted(lone, "rows_repeated", path)
    _, reverse = await drifted(lone, "rows_reversed", path)
    rows = honest["data"]
    assert lost["data"] == rows[1:]
    assert repeated["data"] == [*rows, rows[-1]]
    assert reverse["data"] == rows[::-1]


async def test_fields_of_an_api_that_has_changed(lone: Visitor) -> None:
    path = f"{PATH}?limit=3"
    honest, gone = await drifted(lone, "field_gone", path, fields=["size", "pagination"])
    _, text = await drifted(lone, "field_text", path, fields=["size", "side"])
    _, scaled = await drifted(lone, "field_scaled", path, fields=["size"], factor=2)
    _, shifted = await drifted(lone, "field_shifted", path, fields=["timestamp"])
    rows = honest["data"]
    assert "pagination" not in gone
    assert all("size" not in row and "price" in row for row in gone["data"])
    assert [row["size"] for row in text["data"]] == [str(row["size"]) for row in rows]
    assert [row["side"] for row in text["data"]] == [row["side"] for row in rows]
    assert [row["size"] for row in scaled["data"]] == [2 * row["size"] for row in rows]
    moments = [row["timestamp"] - place for place, row in enumerate(rows)]
    assert [row["timestamp"] for row in shifted["data"]] == moments


async def test_cursors_of_an_api_that_has_changed(lone: Visitor) -> None:
    _, gone = await drifted(lone, "cursor_gone", f"{PATH}?limit=3")
    assert gone["pagination"]["has_more"] is False
    assert gone["pagination"]["next_cursor"] is None
    honest, opaque = await drifted(lone, "cursor_opaque", "/clob/markets", route="clob-markets")
    assert opaque["next_cursor"] != honest["next_cursor"]
    assert opaque["data"] == honest["data"]


async def test_answers_without_rows(lone: Visitor) -> None:
    _, empty = await drifted(lone, "empty")
    assert empty["data"] == []
    assert empty["pagination"]["has_more"] is False
    for path, rows in (("/gamma/events/keyset", "events"), ("/clob/markets", "data")):
        await inject(lone, "empty", route="*")
        assert (await lone.ok(path))[rows] == []
    await inject(lone, "accepted", count=2)
    assert (await lone.ok(f"{PATH}?cursor=nonsense"))["data"] == [], "not refused any more"
    assert (await lone.ok(PATH))["data"], "what was not refused is answered as ever"


async def test_headers_are_added(lone: Visitor) -> None:
    await inject(lone, "headers", headers={"Age": "52", "Date": "Fri, 01 May 2026 00:00:00 GMT"})
    async with lone.session.get(lone.running.url + PATH) as reply:
        assert reply.headers["Age"] == "52"
        assert reply.headers.getall("Date") == ["Fri, 01 May 2026 00:00:00 GMT"]


async def test_a_hanging_answer_does_not_keep_the_sandbox_from_stopping(
    open_sandbox: Open,
) -> None:
    visitor = await open_sandbox()
    await visitor.post("/_sandbox/faults", [{"kind": "hang"}])
    waiting = asyncio.create_task(visitor.get("/data/ok"), name="hanging")
    while not (await visitor.ok("/_sandbox/stats"))["in_flight"]:
        await visitor.ok("/_sandbox/universe")
    async with asyncio.timeout(10):
        await visitor.running.stop()
    with pytest.raises(aiohttp.ClientError):
        await waiting


def test_every_kind_is_covered_here_or_among_the_changes() -> None:
    others = {"reset", "hang", "drip", "truncated", "cut_json", "invalid_json", "wrong_rows"}
    others |= {"cursor_repeat", "cursor_refused", "bad_row", "unknown_field"}
    others |= {"empty", *faults.DRIFTED}
    in_test_changes = {"ignored_filter", "clamped", "cursor_trips", *faults.CHANGES}
    assert set(faults.KINDS) == others | set(STATUS_KINDS) | in_test_changes
