"""The bulk exports agree with what the routes show."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from .conftest import Row, Visitor


async def lines(visitor: Visitor, path: str, **params: Any) -> list[Row]:
    async with visitor.session.get(visitor.running.url + path, params=params) as reply:
        assert reply.status == 200
        assert reply.content_type == "application/x-ndjson"
        return [json.loads(line) for line in (await reply.text()).splitlines()]


def short(row: Row) -> tuple[object, ...]:
    names = ("token_id", "side", "timestamp")
    tx = row.get("tx") or row["transaction_hash"]
    return (tx, row.get("micro") or round(row["size"] * 1e6), *(row[name] for name in names))


async def test_the_ledger_of_a_wallet_is_its_feed(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    walked = await visitor.wallet(wallet)
    everything = await lines(visitor, "/_sandbox/ledger", wallet=wallet[2:], type="all")
    assert Counter(map(short, everything)) == Counter(map(short, walked))
    trades = await lines(visitor, "/_sandbox/ledger", wallet=wallet)
    assert {row["type"] for row in trades} == {"TRADE"}
    assert {row["wallet"] for row in trades} == {wallet}
    assert trades[0]["usd"] == pytest.approx(trades[0]["shares"] * trades[0]["price"], abs=1e-6)
    assert any(row["fee"] > 0 for row in trades)
    assert all(row["outcome_index"] in {0, 1, 2} for row in trades)
    assert await lines(visitor, "/_sandbox/ledger", wallet="0x" + "ab" * 20) == []
    status, _, _ = await visitor.get("/_sandbox/ledger", type="trade")
    assert status == 400


async def test_the_whole_ledger_has_every_listed_trade(visitor: Visitor) -> None:
    universe = await visitor.ok("/_sandbox/universe")
    trades = await lines(visitor, "/_sandbox/ledger")
    assert len(trades) == universe["trades"]
    assert [row["timestamp"] for row in trades] == sorted(row["timestamp"] for row in trades)


async def test_the_markets_carry_event_tags_and_payouts(visitor: Visitor) -> None:
    markets = await lines(visitor, "/_sandbox/markets")
    truth = await visitor.ok("/_sandbox/truth")
    known = [market for market in markets if market["condition_id"]]
    assert len(known) == truth["markets"]["count"]
    resolved = {market["condition_id"]: market for market in known if market["payouts"]}
    assert len(resolved) == truth["resolutions"]["count"]
    condition, market = next(iter(resolved.items()))
    answer = await visitor.ok("/data/v2/resolutions", condition=condition)
    assert answer["data"][0]["payouts"] == market["payouts"]
    with_event = next(market for market in known if market["event_id"])
    event = await visitor.ok(f"/gamma/events/{with_event['event_id']}")
    assert {tag["label"] for tag in event["tags"]} <= set(with_event["tags"])
