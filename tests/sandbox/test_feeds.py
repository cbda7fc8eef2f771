"""The two feeds, row by row of the checklist."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from .conftest import Open, Row, Visitor

FIELDS = {
    "proxy_wallet",
    "side",
    "token_id",
    "condition_id",
    "size",
    "price",
    "timestamp",
    "title",
    "slug",
    "icon",
    "event_slug",
    "outcome",
    "outcome_index",
    "name",
    "pseudonym",
    "bio",
    "profile_image",
    "profile_image_optimized",
    "transaction_hash",
}
YEARS_3 = 3 * 365 * 86_400
Digest = Callable[[Iterable[Row]], str]


def key(row: Row) -> tuple[Any, ...]:
    """All of a row that does not change between fetches."""
    names = ("transaction_hash", "proxy_wallet", "token_id", "side", "size", "price", "timestamp")
    return tuple(row[name] for name in names)


def counted(rows: Iterable[Row]) -> Counter[tuple[Any, ...]]:
    return Counter(map(key, rows))


async def test_a_wallet_walk_reaches_exactly_the_truth(
    visitor: Visitor, digest: Digest, is_trade: Callable[[Row], bool]
) -> None:
    for name in ("wallet_big", "wallet_old", "wallet_tx_cut", "wallet_full_page", "wallet_empty"):
        wallet = visitor.special[name]
        rows = await visitor.wallet(wallet)
        truth = await visitor.post("/_sandbox/truth", {"wallets": [wallet], "conditions": []})
        trades = [row for row in rows if is_trade(row)]
        other = [row for row in rows if not is_trade(row)]
        assert (len(trades), digest(trades)) == (truth["trades"]["rows"], truth["trades"]["digest"])
        assert len(other) == truth["activity"]["rows"]
        assert digest(other) == truth["activity"]["digest"]
        assert Counter(row["type"] for row in other) == truth["activity"]["by_type"]


async def test_all_wallets_and_all_conditions_together_are_the_whole_truth(
    open_sandbox: Open, digest: Digest, is_trade: Callable[[Row], bool]
) -> None:
    visitor = await open_sandbox(trades=8_000, wallets=60, markets=60)
    wallets = [row["wallet"] for row in await visitor.ok("/_sandbox/wallets", top=100)]
    contracts = [w for name, w in visitor.special.items() if name.startswith("contract")]
    by_wallet = [
        row for wallet in wallets if wallet not in contracts for row in await visitor.wallet(wallet)
    ]
    conditions = [row["condition_id"] for row in await visitor.ok("/_sandbox/conditions", top=100)]
    by_market: list[Row] = []
    for start in range(0, len(conditions), 20):
        by_market += await visitor.market(*conditions[start : start + 20])
    # The contracts' rows are reachable through the markets alone, the old ones by wallet alone.
    rows = counted(row for row in by_wallet if is_trade(row)) | counted(by_market)
    truth = await visitor.ok("/_sandbox/truth")
    assert rows.total() == truth["trades"]["rows"]
    # The price (field 5) is no part of what makes two rows the same fill.
    distinct = {row[:5] + row[6:] for row in rows}
    assert rows.total() - len(distinct) == truth["trades"]["identical_extra"] > 0
    only_by_market = [row for row in by_market if row["proxy_wallet"] in contracts]
    trades = [row for row in by_wallet if is_trade(row)]
    assert digest([*trades, *only_by_market]) == truth["trades"]["digest"]
    assert digest(row for row in by_wallet if not is_trade(row)) == truth["activity"]["digest"]


async def test_rows_have_all_fields_and_floats(visitor: Visitor) -> None:
    async with visitor.session.get(f"{visitor.running.url}/data/v2/trades?limit=1000") as reply:
        text = await reply.text()
    answer = json.loads(text)
    assert all(set(row) == FIELDS for row in answer["data"])
    assert set(answer["pagination"]) == {"limit", "offset", "has_more", "next_cursor"}
    sizes = [row["size"] for row in answer["data"]]
    assert all(isinstance(size, float) for size in sizes)
    assert any(size.is_integer() for size in sizes)
    wallet = visitor.special["wallet_big"]
    rows = await visitor.wallet(wallet)
    assert all(set(row) - {"is_combo"} == FIELDS | {"type", "usdc_size"} for row in rows)
    assert all(row["proxy_wallet"] == wallet for row in rows)


@pytest.mark.parametrize("limit", [7, 100, 999, 1000])
async def test_page_size_never_changes_the_rows(visitor: Visitor, limit: int) -> None:
    wallet = visitor.special["wallet_tx_cut"]
    rows = await visitor.wallet(wallet, limit=limit)
    assert len(rows) == 2000
    assert [row["timestamp"] for row in rows] == sorted(
        (row["timestamp"] for row in rows), reverse=True
    )
    assert counted(rows) == counted(await visitor.wallet(wallet))


async def test_has_more_is_exact_on_a_full_last_page(visitor: Visitor) -> None:
    pages = [
        page
        async for page in visitor.pages(
            "/data/v2/activity", user=visitor.special["wallet_full_page"], limit=1000
        )
    ]
    assert [len(page) for page in pages] == [1000]


async def test_ascending_is_the_reverse_and_bound_by_the_cursor(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_tx_cut"]
    newest_first = await visitor.wallet(wallet)
    oldest_first = await visitor.wallet(wallet, sort_direction="ASC")
    assert oldest_first == newest_first[::-1]
    asked = {"user": wallet, "start": 1, "sort_direction": "ASC"}
    first = await visitor.ok("/data/v2/activity", **asked)
    cursor = first["pagination"]["next_cursor"]
    status, answer, _ = await visitor.get(
        "/data/v2/activity", **{**asked, "sort_direction": "DESC"}, cursor=cursor
    )
    assert (status, answer["code"]) == (400, "invalid_request")
    # Left out, the cursor's own direction holds.
    following = await visitor.ok("/data/v2/activity", user=wallet, start=1, cursor=cursor)
    assert following["data"] == oldest_first[100:200]


async def test_the_cursor_keeps_its_page_size_and_not_its_filters(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    first = await visitor.ok("/data/v2/trades", user=wallet, taker_only="false", limit=50)
    cursor = first["pagination"]["next_cursor"]
    second = await visitor.ok("/data/v2/trades", user=wallet, cursor=cursor, limit=900)
    assert second["pagination"]["limit"] == 50
    assert second["pagination"]["offset"] == 50
    # The forgotten taker_only=false re-anchored the walk in another feed, without an error.
    taken = await visitor.walk("/data/v2/trades", user=wallet, limit=1000)
    passed = (counted(first["data"]) & counted(taken)).total()
    assert 0 < passed < 50
    assert second["data"] == taken[passed : passed + 50]


async def test_cursors_are_signed_and_bound_to_their_endpoint(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    answer = await visitor.ok("/data/v2/trades", user=wallet)
    cursor = answer["pagination"]["next_cursor"]
    assert "=" not in cursor
    held = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert held["data"]["type"] == "trades"
    assert set(held["data"]["params"]) == {"l", "ts", "sq", "d"}
    assert len(held["sig"]) == 32
    held["data"]["params"]["ts"] -= 1
    forged = base64.urlsafe_b64encode(json.dumps(held).encode()).rstrip(b"=").decode()
    for bad in (forged, cursor[:-3], "rubbish", "é"):
        status, refusal, _ = await visitor.get("/data/v2/trades", user=wallet, cursor=bad)
        assert (status, refusal["code"]) == (400, "invalid_request"), bad
    status, _, _ = await visitor.get("/data/v2/activity", user=wallet, cursor=cursor)
    assert status == 400


async def test_taker_only_is_the_default_and_both_sides_are_twice_the_takers(
    visitor: Visitor,
) -> None:
    condition = visitor.special["market_busy_second"]
    both = await visitor.market(condition)
    taken = await visitor.walk("/data/v2/trades", condition=condition, limit=1000)
    total = sum(round(row["size"] * 1e6) for row in both)
    assert total == 2 * sum(round(row["size"] * 1e6) for row in taken)
    assert len({row["transaction_hash"] for row in taken}) == len(taken)
    assert not counted(taken) - counted(both)


async def test_the_trade_feed_of_a_wallet_equals_its_trade_activity(
    visitor: Visitor, is_trade: Callable[[Row], bool]
) -> None:
    wallet = visitor.special["wallet_old"]
    feed = await visitor.walk(
        "/data/v2/trades", user=wallet, taker_only="false", start=1, limit=1000
    )
    activity = await visitor.wallet(wallet, type="TRADE")
    assert counted(feed) == counted(row for row in activity if is_trade(row))


async def test_windows_depend_on_the_shape_of_the_question(visitor: Visitor) -> None:
    now = (await visitor.ok("/_sandbox/universe"))["now"]
    wallet, old = visitor.special["wallet_old"], visitor.special["market_old"]
    everything = await visitor.wallet(wallet)
    recent = await visitor.walk(
        "/data/v2/activity", user=wallet, limit=1000, exclude_deposits_withdrawals="false"
    )
    assert min(row["timestamp"] for row in everything) < now - YEARS_3
    assert min(row["timestamp"] for row in recent) >= now - YEARS_3 - 5
    assert len(recent) < len(everything)
    assert await visitor.market(old) == []
    assert await visitor.market(old, start=1) == [], "market questions ignore start"
    by_both = await visitor.walk(
        "/data/v2/trades", user=wallet, condition=old, start=1, taker_only="false"
    )
    assert by_both
    bare = [page async for page in visitor.pages("/data/v2/trades", limit=1000, start=1)]
    assert min(row["timestamp"] for page in bare for row in page) >= now - 62 * 86_400


async def test_start_and_end_are_inclusive_seconds(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    rows = await visitor.wallet(wallet)
    rng = random.Random(3)
    for _ in range(5):
        first, last = sorted(rng.choice(rows)["timestamp"] for _ in range(2))
        within = await visitor.wallet(wallet, start=first, end=last)
        assert within == [row for row in rows if first <= row["timestamp"] <= last]


async def test_dust_is_never_listed_and_amounts_filter(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    asked = {"user": wallet, "taker_only": "false", "start": 1, "limit": 1000}
    everything = await visitor.walk("/data/v2/trades", **asked)
    assert min(row["size"] for row in everything) >= 0.01
    assert await visitor.walk("/data/v2/trades", **asked, filter_amount=0) == everything
    large = await visitor.walk("/data/v2/trades", **asked, filter_amount=100)
    assert large == [row for row in everything if row["size"] >= 100]
    costly = await visitor.walk("/data/v2/trades", **asked, filter_type="CASH", filter_amount=50)
    assert costly == [row for row in everything if row["size"] * row["price"] >= 50]
    sold = await visitor.walk("/data/v2/trades", **asked, side="SELL")
    assert sold == [row for row in everything if row["side"] == "SELL"]


async def test_deposits_are_hidden_by_default(visitor: Visitor) -> None:
    wallets = [row["wallet"] for row in await visitor.ok("/_sandbox/wallets", top=60)]
    contracts = {w for name, w in visitor.special.items() if name.startswith("contract")}
    seen: Counter[str] = Counter()
    for wallet in set(wallets) - contracts:
        shown = await visitor.walk("/data/v2/activity", user=wallet, start=1, limit=1000)
        assert not {row["type"] for row in shown} & {"DEPOSIT", "WITHDRAWAL"}
        named = await visitor.walk("/data/v2/activity", user=wallet, start=1, type="DEPOSIT")
        assert named == []
        seen.update(row["type"] for row in await visitor.wallet(wallet))
    assert seen["DEPOSIT"] > 0
    assert seen["WITHDRAWAL"] > 0


@pytest.mark.parametrize("honoured", [True, False])
async def test_a_list_of_types_filters_or_is_ignored(open_sandbox: Open, honoured: bool) -> None:
    visitor = await open_sandbox(type_csv="honoured" if honoured else "ignored")
    wallet = visitor.special["wallet_big"]
    rows = await visitor.wallet(wallet)
    single = await visitor.wallet(wallet, type="REDEEM")
    assert single == [row for row in rows if row["type"] == "REDEEM"]
    several = await visitor.wallet(wallet, type="REDEEM,SPLIT")
    wanted = {"REDEEM", "SPLIT"} if honoured else {row["type"] for row in rows}
    assert several == [row for row in rows if row["type"] in wanted]


async def test_rows_without_a_market_carry_sentinels(visitor: Visitor) -> None:
    rows = await visitor.wallet(visitor.special["wallet_big"])
    splits = [row for row in rows if row["type"] in {"SPLIT", "MERGE"}]
    assert splits
    for row in splits:
        assert (row["token_id"], row["side"], row["price"]) == ("", "", 0.0)
        assert (row["outcome"], row["outcome_index"]) == ("", 999)
        assert row["condition_id"].startswith("0x")
    credits = [row for row in rows if row["type"] in {"REWARD", "MAKER_REBATE", "YIELD"}]
    assert credits
    assert all(row["condition_id"] == "" and row["title"] == "" for row in credits)


async def test_fresh_rows_have_an_outcome_but_no_index(visitor: Visitor) -> None:
    newest = await visitor.ok("/data/v2/trades", limit=50, taker_only="false")
    assert all(row["outcome_index"] == 999 for row in newest["data"])
    assert all(row["outcome"] and row["event_slug"] == "" for row in newest["data"])


async def test_structural_ids_leak_in_their_short_form(visitor: Visitor) -> None:
    condition = visitor.special["market_v2_binary"]
    rows = await visitor.market(condition)
    shown = {row["condition_id"] for row in rows}
    assert shown == {condition, condition[:64]}
    assert await visitor.market(condition.upper().replace("0X", "0x")) == rows


async def test_combos_are_in_activity_and_in_no_trade_feed(visitor: Visitor) -> None:
    wallets = [row["wallet"] for row in await visitor.ok("/_sandbox/wallets", top=40)]
    contracts = {w for name, w in visitor.special.items() if name.startswith("contract")}
    found = 0
    for wallet in [wallet for wallet in wallets if wallet not in contracts]:
        combos = [row for row in await visitor.wallet(wallet) if row.get("is_combo")]
        found += len(combos)
        assert all(row["condition_id"].startswith("0x03") for row in combos)
        trades = await visitor.walk(
            "/data/v2/trades", user=wallet, start=1, taker_only="false", limit=1000
        )
        assert not {row["condition_id"] for row in combos} & {r["condition_id"] for r in trades}
    assert found > 1


async def test_several_conditions_and_events_make_one_merged_feed(visitor: Visitor) -> None:
    top = [row["condition_id"] for row in await visitor.ok("/_sandbox/conditions", top=20)]
    merged = await visitor.market(*top)
    apart = [row for condition in top for row in await visitor.market(condition)]
    assert counted(merged) == counted(apart)
    stamps = [row["timestamp"] for row in merged]
    assert stamps == sorted(stamps, reverse=True)
    listed = (await visitor.ok("/gamma/events/keyset", closed="true", limit=100))["events"]
    event = max(listed, key=lambda event: event["volume"])
    conditions = [market["conditionId"] for market in event["markets"]]
    by_event = await visitor.walk(
        "/data/v2/trades", event_id=event["id"], taker_only="false", limit=1000
    )
    assert counted(by_event) == counted(await visitor.market(*conditions))


REFUSED = [
    ("trades", {"limit": "1001"}, "limit"),
    ("trades", {"limit": "-1"}, "limit"),
    ("trades", {"offset": "10"}, "offset"),
    ("trades", {"market": "0x12"}, "market"),
    ("trades", {"user": "0x12"}, "0x12"),
    ("trades", {"user": "vitalik"}, "vitalik"),
    ("trades", {"condition": "0xabc"}, "0xabc"),
    ("trades", {"side": "HOLD"}, "side"),
    ("trades", {"taker_only": "maybe"}, "taker_only"),
    ("trades", {"filter_amount": "-2"}, "filter_amount"),
    ("trades", {"event_id": "0"}, "event_id"),
    ("trades", {"event_id": "7", "condition": "0x" + "1" * 64}, "exclusive"),
    ("trades", {"condition": ",".join(f"0x{n:064x}" for n in range(21))}, "20"),
    ("trades", {"event_id": ",".join(str(n + 1) for n in range(21))}, "20"),
    ("activity", {}, "user"),
    ("activity", {"user": "0x" + "1" * 40, "sort_by": "CASH"}, "sort_by"),
    ("activity", {"user": "0x" + "1" * 40, "type": "NONSENSE"}, "NONSENSE"),
    ("positions", {}, "user"),
    ("positions", {"condition": f"0x{1:064x},0x{2:064x}"}, "one condition"),
    ("resolutions", {}, "exactly one"),
    ("user-volume", {}, "user"),
]


@pytest.mark.parametrize(("route", "asked", "named"), REFUSED)
async def test_refusals_name_the_parameter(
    visitor: Visitor, route: str, asked: dict[str, str], named: str
) -> None:
    status, answer, headers = await visitor.get(f"/data/v2/{route}", **asked)
    assert status == 400
    assert answer["code"] == "invalid_request"
    assert answer["retryable"] is False
    assert named in answer["error"]
    assert len(answer["trace_id"]) == 32
    assert len(headers["x-trace-id"]) == 32


async def test_a_repeated_key_is_refused(visitor: Visitor) -> None:
    one, two = (f"0x{number:064x}" for number in (1, 2))
    for query in (f"condition={one}&condition={two}", f"condition={one}&conditionId={two}"):
        url = f"{visitor.running.url}/data/v2/trades?{query}"
        async with visitor.session.get(url) as reply:
            assert reply.status == 400
            assert "duplicate field" in (await reply.json())["error"]


async def test_contracts_are_refused_as_users(visitor: Visitor) -> None:
    for name in ("contract_ctf_exchange", "contract_neg_risk_exchange"):
        for route in ("trades", "activity", "positions"):
            status, answer, _ = await visitor.get(f"/data/v2/{route}", user=visitor.special[name])
            assert status == 400
            assert "contract" in answer["error"]


async def test_unknown_but_well_formed_ids_are_empty_answers(visitor: Visitor) -> None:
    unknown = {"user": "0x" + "Ab" * 20, "start": "1"}
    assert await visitor.walk("/data/v2/activity", **unknown) == []
    assert await visitor.walk("/data/v2/trades", condition="0x" + "cd" * 32) == []
    assert await visitor.walk("/data/v2/positions", **unknown) == []


async def test_casing_and_unknown_parameters_are_tolerated(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_full_page"]
    snake = await visitor.walk("/data/v2/trades", user=wallet, taker_only="false", limit=1000)
    camel = await visitor.walk(
        "/v2/trades", user=wallet.upper().replace("0X", "0x"), takerOnly="false", limit=1000, _=1
    )
    assert camel == snake
    assert len(camel) == 1000


async def test_unknown_routes_and_methods(visitor: Visitor) -> None:
    status, answer, _ = await visitor.get("/data/v2/tips")
    assert (status, answer["code"]) == (404, "not_found")
    async with visitor.session.delete(f"{visitor.running.url}/data/v2/trades") as reply:
        assert reply.status == 405
    assert await visitor.ok("/data/ok") == {"data": "OK"}


async def test_status_and_user_volume(visitor: Visitor) -> None:
    status = (await visitor.ok("/data/v2/status"))["data"]
    assert status["serving"]["mechanisms"][0]["name"] == "activity_feed"
    wallet = visitor.special["wallet_big"]
    rows = await visitor.walk(
        "/data/v2/trades", user=wallet, taker_only="false", start=1, limit=1000
    )
    day = rows[len(rows) // 2]["timestamp"] // 86_400 * 86_400
    mine = [row for row in rows if day <= row["timestamp"] < day + 86_400]
    answer = await visitor.ok("/data/v2/user-volume", user=wallet, start=day + 7, end=day + 9)
    volume = answer["data"]
    assert volume["trade_count"] == len(mine)
    assert volume["volume"] == pytest.approx(sum(row["size"] for row in mine))
    assert volume["volume_usdc"] == pytest.approx(sum(r["size"] * r["price"] for r in mine))


async def test_live_volume_is_the_volume_of_an_events_markets(visitor: Visitor) -> None:
    events = (await visitor.ok("/gamma/events/keyset", closed="true", limit=3))["events"]
    wanted = ",".join(event["id"] for event in events)
    told = (await visitor.ok("/data/v2/live-volume", event_id=wanted))["data"]
    markets = [market for event in events for market in event["markets"]]
    assert {row["condition_id"]: row["taker_volume"] for row in told["conditions"]} == {
        market["conditionId"]: market["volumeNum"] for market in markets
    }
    total = sum(market["volumeNum"] for market in markets)
    assert told["taker_volume_total"] == pytest.approx(total)
    status, refusal, _ = await visitor.get("/data/v2/live-volume")
    assert (status, refusal["parameter"]) == (400, "event_id")


async def test_resolutions_answer_known_conditions_only(visitor: Visitor) -> None:
    settled, open_one = visitor.special["market_busy_second"], visitor.special["market_no_end"]
    asked = ",".join([settled, open_one, "0x" + "ee" * 32])
    rows = (await visitor.ok("/data/v2/resolutions", condition=asked))["data"]
    by_condition = {row["condition_id"]: row for row in rows}
    assert set(by_condition) == {settled, open_one}
    assert by_condition[settled]["status"] == "resolved"
    assert sorted(by_condition[settled]["payouts"]) in ([0, 1_000_000], [500_000, 500_000])
    assert by_condition[open_one]["payouts"] is None


async def test_late_rows_appear_with_older_timestamps(open_sandbox: Open) -> None:
    visitor = await open_sandbox(late_rows=40, late_after_s=1.0)
    before = await visitor.ok("/data/v2/trades", limit=1000, taker_only="false")
    first = (await visitor.ok("/_sandbox/truth"))["trades"]
    after = before
    while after["data"] == before["data"]:
        after = await visitor.ok("/data/v2/trades", limit=1000, taker_only="false")
    arrived = counted(after["data"]) - counted(before["data"])
    assert arrived.total() == 40
    head = before["data"][0]["timestamp"]
    assert all(row[-1] <= head for row in arrived)
    assert (await visitor.ok("/_sandbox/truth"))["trades"] == first, "the truth knew them before"


async def test_the_edge_cache_serves_page_1_with_its_age(open_sandbox: Open) -> None:
    visitor = await open_sandbox(cache=True)
    url = "/data/v2/trades"
    _, first, fresh = await visitor.get(url, limit=3)
    _, again, kept = await visitor.get(url, limit=3)
    assert first == again
    assert (fresh["cf-cache-status"], kept["cf-cache-status"]) == ("MISS", "HIT")
    assert fresh["Cache-Control"] == "public, max-age=300"
    assert int(kept["Age"]) >= 0
    cursor = first["pagination"]["next_cursor"]
    _, _, beyond = await visitor.get(url, limit=3, cursor=cursor)
    assert "Age" not in beyond
