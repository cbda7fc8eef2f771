"""The truth of profit, worked out a second time from nothing but the answers of the routes."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from .conftest import Open, Row, Visitor

IN = {"MERGE", "REDEEM", "REWARD", "REFERRAL_REWARD", "MAKER_REBATE", "TAKER_REBATE", "YIELD"}


async def lines(visitor: Visitor, path: str, **params: Any) -> list[Row]:
    async with visitor.session.get(visitor.running.url + path, params=params) as reply:
        assert reply.status == 200
        return [json.loads(line) async for line in reply.content]


def cash(rows: list[Row]) -> float:
    """Money in less money out; a conversion pays for all No but one, once per transaction."""
    total, converted = 0.0, {}
    for row in rows:
        kind, usdc = row["type"], row["usdc_size"]
        if kind == "TRADE":
            total += -usdc if row["side"] == "BUY" else usdc
        elif kind == "CONVERSION":
            converted[row["transaction_hash"]] = usdc
        else:
            total += usdc if kind in IN else -usdc if kind == "SPLIT" else 0.0
    return total + sum(converted.values())


async def worth(visitor: Visitor, wallet: str) -> tuple[float, float]:
    """Value of the positions, and how far rounding to 4 decimals may move it."""
    asked = {"user": wallet, "filter_amount": 0, "include_archived": "true", "limit": 1000}
    held = await visitor.walk("/data/v2/positions", status="OPEN", **asked)
    value = sum(row["current_size"] * row["current_price"] for row in held)
    return value, 5e-5 * len(held)


async def check_wallets(visitor: Visitor, told: list[Row]) -> int:
    """Compare the economic profit of the exact wallets; returns how many there were."""
    unseen = visitor.special["market_inactive"]
    checked = 0
    for truth in told:
        rows = await visitor.wallet(truth["wallet"])
        if not truth["exact"] or any(row["condition_id"] == unseen for row in rows):
            continue
        value, rounding = await worth(visitor, truth["wallet"])
        found = cash(rows) + value
        assert truth["economic_pnl_usd"] == pytest.approx(found, abs=0.005 + rounding)
        fees = sum(
            abs(row["usdc_size"] - row["size"] * row["price"])
            for row in rows
            if row["type"] == "TRADE"
        )
        assert truth["fees_usd"] == pytest.approx(fees, abs=0.005)
        checked += 1
    return checked


@pytest.mark.parametrize("seed", [1, 2])
async def test_economic_profit_is_cash_and_what_is_held(open_sandbox: Open, seed: int) -> None:
    visitor = await open_sandbox(seed=seed, trades=8_000, wallets=60)
    told = await lines(visitor, "/_sandbox/profit")
    assert await check_wallets(visitor, told) > 15
    parts = await lines(visitor, "/_sandbox/profit/markets")
    summed: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        summed[part["wallet"]] += part["economic_pnl_usd"]
    for truth in told:
        income = truth["reward_usd"] + truth["rebate_usd"] + truth["yield_usd"]
        assert truth["official_pnl_usd"] == pytest.approx(summed[truth["wallet"]] + income)
    total = (await visitor.ok("/_sandbox/truth"))["profit"]
    exact = [truth["economic_pnl_usd"] for truth in told if truth["exact"]]
    assert (total["wallets"], total["exact"]) == (len(told), len(exact))
    assert total["economic_pnl_usd"] == pytest.approx(sum(exact), abs=1e-4)


# What a person works out for each of these wallets, in USD.
BY_HAND = {
    "wallet_conv_flat_two": 30.0,  # -900 + 930, nothing left
    "wallet_conv_flat_all": 30.0,
    "wallet_split_sold": 65.0,  # -1000 + 1040 + 25
    "wallet_round_trip": 3_500.0,
    "wallet_redeem_part": 30.0,  # -70 + 40 + 60 still held
    "wallet_redeem_bought_again": 15.07,  # 50 x 0.30 + 7 x 0.01
    "wallet_redeem_whole": 20.0,  # 80 x 0.40 - 30 x 0.40
    "wallet_redeem_zero": -12.0,
    "wallet_redeem_twice": 30.0,
    "wallet_redeem_worthless": -27.0,
    "wallet_redeem_both": -10.5,
    "wallet_lost": -13.5,
    "wallet_stale_near_one": 600.0,
    "wallet_stale_amm": 600.0,
    "wallet_stale_still_open": 600.0,
    "wallet_stale_disputed": -400.0,
    "wallet_stale_no_payouts": 0.3,
    "wallet_stale_tie": 100.0,
    "wallet_stale_fraction": -100.0,
}
INEXACT = {
    "wallet_transfer_in": "transfer",
    "wallet_conv_unmatched": "transfer",
    "wallet_stale_disputed_everywhere": "disputed",
}


@pytest.mark.parametrize("seed", [1, 7])
async def test_money_cases_are_worth_what_a_person_works_out(open_sandbox: Open, seed: int) -> None:
    visitor = await open_sandbox(seed=seed, money_cases=True, trades=6_000, wallets=60)
    told = {row["wallet"]: row for row in await lines(visitor, "/_sandbox/profit")}
    found = {name: told[visitor.special[name]]["economic_pnl_usd"] for name in BY_HAND}
    assert found == pytest.approx(BY_HAND)
    reasons = {name: told[visitor.special[name]]["reasons"] for name in INEXACT}
    assert reasons == {name: [reason] for name, reason in INEXACT.items()}
    assert all(told[visitor.special[name]]["economic_pnl_usd"] is None for name in INEXACT)
    mine = [told[w] for name, w in visitor.special.items() if name.startswith("wallet_conv_")]
    assert await check_wallets(visitor, [*mine, *(told[visitor.special[n]] for n in BY_HAND)]) > 35
    differing = (await visitor.ok("/_sandbox/truth"))["positions"]["differing"]
    assert {row["wallet"] for row in differing} == {
        visitor.special[name] for name, reason in INEXACT.items() if reason == "transfer"
    }


async def held(visitor: Visitor, name: str) -> dict[str, float]:
    """Open positions of a wallet by the end of their market's name and the outcome."""
    asked = {"user": visitor.special[name], "filter_amount": 0, "limit": 100}
    rows = await visitor.walk("/data/v2/positions", status="OPEN", **asked)
    return {f"{row['title'].split()[-1]} {row['outcome']}": row["current_size"] for row in rows}


async def test_conversions_in_every_shape_leave_the_same_positions(open_sandbox: Open) -> None:
    visitor = await open_sandbox(money_cases=True, trades=6_000, wallets=60)
    yes = {f"{letter} Yes": 100.0 for letter in "BCDEF"}
    for key in ("member", "event"):
        left = await held(visitor, f"wallet_conv_{key}_1_two")
        assert left == {"A No": 20.0, **yes, "F Yes": 60.0}
    for key in ("member", "each", "event"):
        left = await held(visitor, f"wallet_conv_{key}_3_two")
        nos = {"A No": 20.0, "C No": 20.0, "D No": 20.0}
        assert left == {**nos, "B Yes": 100.0, "E Yes": 100.0, "F Yes": 60.0}
        rows = await visitor.wallet(visitor.special[f"wallet_conv_{key}_3_two"], type="CONVERSION")
        assert len(rows) == {"member": 1, "each": 3, "event": 1}[key]
        assert len({row["transaction_hash"] for row in rows}) == 1
        assert {row["usdc_size"] for row in rows} == {200.0}
    for key in ("member", "event"):
        assert await held(visitor, f"wallet_conv_later_{key}") == {"B Yes": 100.0, "C Yes": 100.0}
    assert "D Yes" in await held(visitor, "wallet_conv_later_both")
    row = (await visitor.wallet(visitor.special["wallet_conv_event_1_two"], type="CONVERSION"))[0]
    events = await visitor.listed("events", closed="false")
    event = next(e for e in events if e["negRiskMarketID"] == row["condition_id"])
    assert {m["negRiskMarketID"] for m in event["markets"]} == {row["condition_id"]}


async def test_lists_contradict_the_chain_where_they_are_meant_to(open_sandbox: Open) -> None:
    visitor = await open_sandbox(money_cases=True, trades=6_000, wallets=60)
    special = visitor.special
    said = {}
    for name in ("near_one", "amm", "still_open", "disputed", "disputed_everywhere"):
        condition = special[f"market_money_stale_{name}"]
        gamma = [
            row
            for closed in ("true", "false")
            for row in (
                await visitor.ok("/gamma/markets/keyset", condition_ids=condition, closed=closed)
            )["markets"]
        ]
        status, clob, _ = await visitor.get(f"/clob/markets/{condition}")
        rows = (await visitor.ok("/data/v2/resolutions", condition=condition))["data"]
        winners = [token["winner"] for token in clob["tokens"]] if status == 200 else None
        prices = [float(price) for price in json.loads(gamma[0]["outcomePrices"])]
        told = (gamma[0]["closed"], gamma[0]["umaResolutionStatus"] or "", winners)
        said[name] = (*told, [row["status"] for row in rows], prices)
    quotes = said["still_open"][-1]
    assert 0 < quotes[0] < 1
    assert said == {
        "near_one": (True, "resolved", [True, False], [], [0.9995, 0.0005]),
        "amm": (True, "", None, [], [0.0, 0.999999]),
        "still_open": (False, "", [True, False], [], quotes),
        "disputed": (True, "disputed", [False, True], [], [0.97, 0.03]),
        "disputed_everywhere": (True, "disputed", [False, True], ["disputed"], [0.97, 0.03]),
    }


async def test_profit_held_to_resolution_is_the_contract(visitor: Visitor) -> None:
    """Resolved markets, trades alone, before fees: net shares at their payout, less their cost."""
    wallet = visitor.special["wallet_big"]
    payouts = {
        token: payout / 1e6
        for market in await lines(visitor, "/_sandbox/markets")
        for token, payout in zip(market["token_ids"], market["payouts"], strict=False)
    }
    profit: defaultdict[str, float] = defaultdict(float)
    for row in await visitor.wallet(wallet):
        if row["type"] == "TRADE" and row["token_id"] in payouts:
            sign = 1 if row["side"] == "BUY" else -1
            profit[row["condition_id"][:64]] += (
                sign * row["size"] * (payouts[row["token_id"]] - row["price"])
            )
    parts = await lines(visitor, "/_sandbox/profit/markets", wallet=wallet)
    told = {part["condition_id"][:64]: part["held_to_resolution_pnl_usd"] for part in parts}
    resolved = {condition: usd for condition, usd in told.items() if usd is not None}
    for condition, usd in resolved.items():
        assert usd == pytest.approx(profit[condition], abs=1e-4)
    whole = (await lines(visitor, "/_sandbox/profit", wallet=wallet))[0]
    assert whole["held_to_resolution_pnl_usd"] == pytest.approx(sum(profit.values()), abs=1e-3)


def fee_of(day: str, rate: float) -> tuple[int, float]:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()), rate


async def test_fees_follow_their_dates_and_takers_alone_pay(visitor: Visitor) -> None:
    """Crypto markets: nothing, then a first formula, then two rates."""
    starts = [fee_of("2026-01-05", 0.25), fee_of("2026-03-30", 0.072), fee_of("2026-07-10", 0.07)]
    markets = await lines(visitor, "/_sandbox/markets")
    crypto = {m["condition_id"] for m in markets if "Crypto" in m["tags"] and m["version"] == "v1"}
    met = set()
    for row in await lines(visitor, "/_sandbox/ledger"):
        if row["condition_id"] not in crypto:
            continue
        spread = row["price"] * (1 - row["price"])
        rate = next((r for since, r in reversed(starts) if row["timestamp"] >= since), 0.0)
        factor = row["price"] * spread**2 if rate == 0.25 else spread
        due = row["shares"] * rate * factor if row["taker"] else 0.0
        assert row["fee"] == pytest.approx(due, abs=6e-6)
        met.add((rate, row["taker"]))
    assert met == {(rate, taker) for rate in (0.0, 0.25, 0.072, 0.07) for taker in (True, False)}


async def test_the_official_figure_is_the_truth_until_it_is_changed(visitor: Visitor) -> None:
    told = [truth for truth in await lines(visitor, "/_sandbox/profit") if truth["exact"]]
    first, other = told[0], told[-1]
    await visitor.post("/_sandbox/official", {"wallet": first["wallet"], "usd": 2})
    for truth, changed in ((first, 2.0), (other, 0.0)):
        said = (await visitor.ok("/data/v2/user-stats", user=truth["wallet"]))["data"]
        pnl = said["all_time_pnl"]
        assert pnl["economic_pnl"] == pytest.approx(truth["economic_pnl_usd"] + changed, abs=1e-4)
        assert pnl["fees"] == pytest.approx(truth["fees_usd"], abs=1e-5)
        assert said["trades"] == truth["markets"]
        curve = (await visitor.ok("/data/v2/user-pnl", user=truth["wallet"], interval="max"))[
            "data"
        ]
        assert curve["points"][-1]["economic_pnl"] == pnl["economic_pnl"]
        moments = [point["timestamp"] for point in curve["points"]]
        assert moments == sorted(set(moments))
    now = (await lines(visitor, "/_sandbox/profit", wallet=first["wallet"]))[0]
    assert now["economic_pnl_usd"] == first["economic_pnl_usd"]
    assert now["official_pnl_usd"] == pytest.approx(first["economic_pnl_usd"] + 2)
    assert (await visitor.ok("/data/v2/user-stats", user="0x" + "ab" * 20))["data"] is None


async def test_a_market_that_closes_changes_the_books(visitor: Visitor) -> None:
    condition = visitor.special["market_no_end"]

    async def told() -> list[Row]:
        parts = await lines(visitor, "/_sandbox/profit/markets")
        return [part for part in parts if part["condition_id"] == condition]

    before = await told()
    assert all(part["held_to_resolution_pnl_usd"] is None for part in before)
    rule = {"kind": "market_closes", "route": "gamma", "target": condition}
    await visitor.post("/_sandbox/faults", rule)
    await visitor.ok("/gamma/markets/keyset", limit=1)
    after = await told()
    assert len(after) == len(before) > 5
    for part in after:
        first = sum(each["shares"] for each in part["held"] if each["outcome_index"] == 0)
        assert part["resolved"]
        assert part["value_usd"] == pytest.approx(first)
    moved = next(truth for truth in await lines(visitor, "/_sandbox/profit") if truth["exact"])
    said = (await visitor.ok("/data/v2/user-stats", user=moved["wallet"]))["data"]["all_time_pnl"]
    assert said["economic_pnl"] == pytest.approx(moved["economic_pnl_usd"], abs=1e-4)


async def test_live_volume_of_several_events(visitor: Visitor) -> None:
    events = (await visitor.listed("events", closed="true"))[:21]
    ids = [event["id"] for event in events]
    asked = ",".join([*ids[:3], "rubbish"])
    told = (await visitor.ok("/data/v2/live-volume", event_id=asked))["data"]["conditions"]
    volumes = {m["conditionId"]: m["volumeNum"] for event in events[:3] for m in event["markets"]}
    assert {row["condition_id"]: row["taker_volume"] for row in told} == volumes
    for refused in (",".join(ids), "rubbish", "rubbish,0"):
        status, _, _ = await visitor.get("/data/v2/live-volume", event_id=refused)
        assert status == 400, refused


async def test_three_routes_answer_an_unpadded_id_in_three_ways(visitor: Visitor) -> None:
    padded = visitor.special["market_v2_binary"]
    short = padded[:64]
    assert (await visitor.ok("/data/v2/trades", condition=padded))["data"]
    assert (await visitor.ok("/data/v2/trades", condition=short))["data"] == []
    status, refusal, _ = await visitor.get("/data/v2/resolutions", condition=short)
    assert (status, refusal["error"]) == (400, "invalid resolution condition id")
    for path in ("clob-markets", "markets"):
        assert (await visitor.get(f"/clob/{path}/{short}"))[0] == 404
        assert (await visitor.get(f"/clob/{path}/{padded}"))[0] == 200
