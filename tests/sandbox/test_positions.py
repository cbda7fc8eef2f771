"""Positions follow from the activity of a wallet."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from polymarket_sandbox import options, portfolio, universe_builder

from .conftest import Row, Visitor


async def held_by_activity(visitor: Visitor, wallet: str) -> dict[str, float]:
    """Shares by token from the rows alone; conversions are asked of a wallet that has none."""
    tokens: dict[str, tuple[str, ...]] = {
        market.condition_id: market.tokens for market in visitor.running.universe.lists.markets
    }
    held: defaultdict[str, float] = defaultdict(float)
    rows = [row for row in await visitor.wallet(wallet, sort_direction="ASC")]
    for row in rows:
        condition = row["condition_id"]
        if len(condition) == 64:
            condition += "00"
        if row.get("is_combo") or condition not in tokens:
            continue
        if row["type"] == "TRADE":
            held[row["token_id"]] += row["size"] if row["side"] == "BUY" else -row["size"]
        elif row["type"] in {"SPLIT", "MERGE"}:
            for token in tokens[condition]:
                held[token] += row["size"] if row["type"] == "SPLIT" else -row["size"]
    for row in rows:
        if row["type"] == "REDEEM" and row["condition_id"] in tokens:
            for token in tokens[row["condition_id"]]:
                held[token] = 0.0
    return held


async def wallet_without_conversions(visitor: Visitor) -> str:
    for row in await visitor.ok("/_sandbox/wallets", top=60):
        if row["contract"]:
            continue
        rows = await visitor.wallet(row["wallet"])
        is_broad = len({entry["condition_id"] for entry in rows}) > 20
        if is_broad and "CONVERSION" not in {entry["type"] for entry in rows}:
            return str(row["wallet"])
    pytest.fail("every wallet converted")


async def positions(visitor: Visitor, **params: Any) -> list[Row]:
    return await visitor.walk("/data/v2/positions", limit=40, **params)


async def test_open_positions_are_the_net_of_the_activity(visitor: Visitor) -> None:
    wallet = await wallet_without_conversions(visitor)
    held = await held_by_activity(visitor, wallet)
    rows = await positions(visitor, user=wallet, status="OPEN", include_archived="true")
    shown = {row["token_id"]: row["current_size"] for row in rows}
    assert len(shown) == len(rows) > 5
    for token, size in shown.items():
        assert size == pytest.approx(held[token], abs=1e-4)
    closed = await positions(visitor, user=wallet, status="CLOSED")
    assert all(held[row["token_id"]] == pytest.approx(0, abs=1e-6) for row in closed)


async def test_no_balance_is_ever_negative(visitor: Visitor) -> None:
    wallet = await wallet_without_conversions(visitor)
    held = await held_by_activity(visitor, wallet)
    # Hidden dust may leave up to 0.004 share per fill unexplained.
    assert min(held.values()) > -0.2


async def test_statuses_narrow_the_list(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    everything = await positions(visitor, user=wallet)
    redeemable = await positions(visitor, user=wallet, status="REDEEMABLE")
    assert redeemable
    tokens = {row["token_id"] for row in everything}
    assert {row["token_id"] for row in redeemable} < tokens
    assert all(row["redeemable"] and row["status"] == "REDEEMABLE" for row in redeemable)
    lost = await positions(visitor, user=wallet, status="REDEEMABLE_LOST")
    assert all(row["current_price"] == 0 for row in lost)
    pairs = await positions(visitor, user=wallet, status="MERGEABLE")
    assert all(row["mergeable"] and row["opposite_token_id"] in tokens for row in pairs)


async def test_sorting_and_the_dust_floor(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    rows = await positions(visitor, user=wallet, sort_by="TOKENS", sort_direction="ASC")
    sizes = [row["current_size"] for row in rows]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 0.1
    large = await positions(visitor, user=wallet, filter_amount=50)
    assert len(large) == sum(size >= 50 for size in sizes)


async def test_entry_fees_are_those_of_the_purchases(visitor: Visitor) -> None:
    wallet = visitor.special["wallet_big"]
    paid: dict[str, float] = defaultdict(float)
    for row in await visitor.wallet(wallet, type="TRADE"):
        if row["side"] == "BUY" and not row.get("is_combo"):
            paid[row["token_id"]] += row["usdc_size"] - row["size"] * row["price"]
    rows = await positions(visitor, user=wallet)
    assert sum(row["entry_fees_usdc"] for row in rows) > 10
    for row in rows:
        assert row["entry_fees_usdc"] == pytest.approx(paid[row["token_id"]], abs=1e-4)
        assert row["total_cost_usdc"] == pytest.approx(
            row["entry_cost_usdc"] + row["entry_fees_usdc"], abs=1e-3
        )


async def test_a_market_anchor_lists_its_holders(visitor: Visitor) -> None:
    condition = visitor.special["market_no_end"]
    rows = await positions(visitor, condition=condition)
    assert len({row["proxy_wallet"] for row in rows}) > 5
    assert {row["condition_id"] for row in rows} == {condition}
    status, _, _ = await visitor.get("/data/v2/positions", condition=condition, status="MERGEABLE")
    assert status == 400


async def test_the_cursor_is_bound_to_its_anchor(visitor: Visitor) -> None:
    wallet, other = visitor.special["wallet_big"], visitor.special["wallet_old"]
    first = await visitor.ok("/data/v2/positions", user=wallet, limit=10)
    cursor = first["pagination"]["next_cursor"]
    for changed in ({"user": other}, {"user": wallet, "status": "CLOSED"}, {}):
        status, _, _ = await visitor.get("/data/v2/positions", cursor=cursor, **changed)
        assert status == 400, changed
    following = await visitor.ok("/data/v2/positions", user=wallet, cursor=cursor, limit=900)
    assert len(following["data"]) == 10


async def test_inactive_and_archived_markets_are_left_out(visitor: Visitor) -> None:
    archived = visitor.special["market_archived"]
    assert await positions(visitor, condition=archived) == []
    assert await positions(visitor, condition=archived, include_archived="true")
    assert await positions(visitor, condition=visitor.special["market_inactive"]) == []


def test_the_book_counts_what_the_truth_says() -> None:
    world = universe_builder.build(options.SandboxOptions())
    book = portfolio.build_book(world)
    assert (book.size >= 0).all()
    assert (book.last_at >= book.first_at).all()
