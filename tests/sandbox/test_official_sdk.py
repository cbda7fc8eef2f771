"""A client none of us wrote, the official SDK, lists everything through its own strict parsing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Row, Visitor

if TYPE_CHECKING:
    import polymarket

Digest = Callable[[Iterable[Row]], str]


@pytest.fixture
async def sdk(visitor: Visitor) -> AsyncIterator[polymarket.AsyncPublicClient]:
    import polymarket  # noqa: PLC0415 - three seconds, for each worker of pytest
    from polymarket import environments  # noqa: PLC0415

    url = visitor.running.url
    config = dataclasses.replace(
        environments.PRODUCTION._config,
        data_url=f"{url}/data",
        gamma_url=f"{url}/gamma",
        clob_url=f"{url}/clob",
    )
    environment = environments._create_environment(name="sandbox", config=config)
    async with polymarket.AsyncPublicClient(environment=environment) as client:
        yield client


def as_row(item: Any) -> Row:
    """A trade or an activity of the SDK in the shape of the API."""
    size = getattr(item, "size", None) or getattr(item, "shares", None) or item.amount
    return {
        "type": getattr(item, "type", "TRADE"),
        "is_combo": getattr(item, "is_combo", False),
        "transaction_hash": item.transaction_hash,
        "proxy_wallet": item.wallet,
        "token_id": getattr(item, "asset_id", getattr(item, "position_id", "")),
        "side": getattr(item, "side", ""),
        "size": float(size),
        "timestamp": int(item.timestamp.timestamp()),
        "condition_id": str(getattr(item, "condition_id", "")),
    }


@pytest.mark.parametrize("page_size", [130, 1000])
async def test_trades_of_a_wallet_equal_the_truth(
    visitor: Visitor, sdk: polymarket.AsyncPublicClient, digest: Digest, page_size: int
) -> None:
    wallet = visitor.special["wallet_tx_cut"]
    listed = sdk.list_trades(user=wallet, taker_only=False, full_history=True, page_size=page_size)
    rows = [as_row(trade) async for trade in listed.iter_items()]
    truth = await visitor.post("/_sandbox/truth", {"wallets": [wallet], "conditions": []})
    assert (len(rows), digest(rows)) == (truth["trades"]["rows"], truth["trades"]["digest"])
    assert truth["trades"]["identical_extra"] > 0


async def test_trades_of_a_market_equal_the_truth(
    visitor: Visitor, sdk: polymarket.AsyncPublicClient, digest: Digest
) -> None:
    for name in ("market_busy_second", "market_v2_binary"):
        condition = visitor.special[name]
        listed = sdk.list_trades(condition_id=condition, taker_only=False, page_size=1000)
        rows = [as_row(trade) async for trade in listed.iter_items()]
        truth = await visitor.post("/_sandbox/truth", {"wallets": [], "conditions": [condition]})
        assert (len(rows), digest(rows)) == (truth["trades"]["rows"], truth["trades"]["digest"])


async def test_activity_of_every_kind_equals_the_truth(
    visitor: Visitor,
    sdk: polymarket.AsyncPublicClient,
    digest: Digest,
    is_trade: Callable[..., bool],
) -> None:
    wallet = visitor.special["wallet_big"]
    listed = sdk.list_activity(user=wallet, full_history=True, page_size=1000)
    rows = [as_row(item) async for item in listed.iter_items()]
    truth = await visitor.post("/_sandbox/truth", {"wallets": [wallet], "conditions": []})
    trades = [row for row in rows if is_trade(row)]
    assert (len(trades), digest(trades)) == (truth["trades"]["rows"], truth["trades"]["digest"])
    other = Counter(row["type"] for row in rows if not is_trade(row))
    assert other == truth["activity"]["by_type"]
    raw = [row for row in await visitor.wallet(wallet) if not is_trade(row)]
    assert digest(raw) == truth["activity"]["digest"]
    oldest_first = sdk.list_activity(
        user=wallet, full_history=True, sort_direction="ASC", page_size=700
    )
    assert [as_row(item) async for item in oldest_first.iter_items()] == rows[::-1]


async def test_positions_to_the_end(visitor: Visitor, sdk: polymarket.AsyncPublicClient) -> None:
    wallets = [row["wallet"] for row in await visitor.ok("/_sandbox/wallets", top=40)]
    contracts = {w for name, w in visitor.special.items() if name.startswith("contract")}
    asked = [wallet for wallet in wallets if wallet not in contracts][:8]
    truth = await visitor.post("/_sandbox/truth", {"wallets": asked, "conditions": []})
    found = {"OPEN": 0, "CLOSED": 0}
    for wallet in asked:
        for status in found:
            listed = sdk.list_positions(user=wallet, status=status, page_size=30)
            rows = [row async for row in listed.iter_items()]
            assert len({row.asset_id for row in rows}) == len(rows)
            found[status] += len(rows)
    assert found == {"OPEN": truth["positions"]["open"], "CLOSED": truth["positions"]["closed"]}


async def test_official_figures_are_read(
    visitor: Visitor, sdk: polymarket.AsyncPublicClient
) -> None:
    wallet = visitor.special["wallet_tx_cut"]
    stats = await sdk.get_user_stats(user=wallet)
    series = await sdk.get_user_pnl(user=wallet, interval="max", fidelity="1d")
    assert stats is not None
    assert stats.all_time_pnl is not None
    assert series is not None
    assert len(series.points) > 3
    assert series.points[-1].economic_pnl == stats.all_time_pnl.economic_pnl
    unknown = await sdk.get_user_pnl(user="0x" + "ab" * 20)
    assert unknown.points == ()
    listed = (await visitor.ok("/gamma/events/keyset", closed="true", limit=20))["events"]
    volume = await sdk.get_event_live_volume(event_ids=[int(event["id"]) for event in listed])
    assert len(volume.markets) >= 20
    assert volume.taker_volume_total == sum(market.taker_volume for market in volume.markets)


async def test_markets_and_events_to_the_end(
    visitor: Visitor, sdk: polymarket.AsyncPublicClient
) -> None:
    truth = await visitor.ok("/_sandbox/truth")
    markets, events = [], []
    for closed in (True, False):
        listed = sdk.list_markets(closed=closed, version=["v1", "v2"], page_size=100)
        markets += [market async for market in listed.iter_items()]
        listed_events = sdk.list_events(closed=closed, version=["v1", "v2"], page_size=100)
        events += [event async for event in listed_events.iter_items()]
    ids = {market.id for market in markets}
    # The SDK leaves out what its binary model cannot hold: the market of three outcomes.
    assert len(ids) == truth["markets"]["gamma_open"] + truth["markets"]["gamma_closed"] - 1
    assert len({event.id for event in events}) == truth["events"]["count"]
    structural = [market for market in markets if market.version == "v2"]
    assert len(structural) == 2
    assert all(market.outcomes.yes.position_id for market in structural)
    with_tokens = [market for market in markets if market.outcomes.yes.token_id]
    assert len(with_tokens) > 150
    one = await sdk.get_market(slug=visitor.special["slug_unlisted"], include_tag=True)
    assert one.condition_id == visitor.special["market_unlisted"]
    assert one.tags


async def test_single_answers(visitor: Visitor, sdk: polymarket.AsyncPublicClient) -> None:
    wallet = visitor.special["wallet_full_page"]
    volume = await sdk.get_user_volume(user=wallet, full_history=True)
    assert volume.trade_count == 1000
    conditions = [row["condition_id"] for row in await visitor.ok("/_sandbox/conditions", top=20)]
    resolutions = await sdk.get_resolutions(condition_ids=conditions)
    assert {resolution.condition_id for resolution in resolutions} <= set(conditions)
    assert any(resolution.payouts for resolution in resolutions)
    assert len([tag async for tag in sdk.list_tags(page_size=7).iter_items()]) == 23


async def test_refusals_and_rate_limits_are_understood(
    visitor: Visitor, sdk: polymarket.AsyncPublicClient
) -> None:
    import polymarket  # noqa: PLC0415

    with pytest.raises(polymarket.RequestRejectedError):
        await sdk.list_trades(user=visitor.special["contract_ctf_exchange"]).first_page()
    rule = {"kind": "429_json", "route": "trades", "count": 1, "retry_after_s": 1}
    await visitor.post("/_sandbox/faults", [rule])
    page = await sdk.list_trades(user=visitor.special["wallet_full_page"]).first_page()
    assert page.has_more
    stats = await visitor.ok("/_sandbox/stats")
    assert stats["routes"]["trades"]["statuses"] == {"400": 1, "429": 1, "200": 1}
