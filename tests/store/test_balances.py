"""What conversions and redemptions of every shape leave behind, and what cannot be known."""

from __future__ import annotations

from typing import Any

from tests.store.conftest import empty, insert
from tests.store.test_universe import end, market, position, put
from tests.store.test_views import activity, fill

from polybackfill.store import client, pnl

BEGAN = 1_700_000_000  # of `activity` and `fill`: their number is added
FAMILY = "fa" * 31 + "00"
MARKETS = {name: f"{number:02x}" * 32 for number, name in enumerate("ABCDE", start=1)}
LATER = BEGAN + 1_000


def yes(name: str) -> str:
    return f"1{ord(name)}"


def no(name: str) -> str:
    return f"2{ord(name)}"


async def family(store: client.Store, names: str = "ABC", **changes: dict[str, Any]) -> None:
    """Markets of one negative-risk market, listed by Gamma and the order book."""
    rows = [
        market(
            source,
            condition_id=MARKETS[name],
            token_ids=[yes(name), no(name)],
            neg_risk=True,
            neg_risk_market_id=FAMILY,
            **{"created_at": BEGAN - 1_000, **changes.get(name, {})},
        )
        for name in names
        for source in ("gamma", "clob")
    ]
    await put(store, "api_market_rows", *rows)


def buys_no(number: int, name: str, shares: float, **changes: Any) -> dict[str, Any]:
    named = {"condition_id": MARKETS[name], "token_id": no(name), "outcome_index": 1}
    return fill(number, shares=shares, **named, **changes)


def converts(number: int, key: str, shares: float, **changes: Any) -> dict[str, Any]:
    return activity(
        number,
        "CONVERSION",
        condition_id=MARKETS.get(key, key),
        shares=shares,
        **{"tx_hash": f"{number:064x}", **changes},
    )


async def balances(store: client.Store) -> dict[str, float]:
    """Net shares of each token that is not gone, by "Yes A"."""
    rows = await store.rows("SELECT token_id, net_shares FROM vw_positions_reconciled")
    names = {yes(name): f"Yes {name}" for name in MARKETS}
    names |= {no(name): f"No {name}" for name in MARKETS}
    return {names[row["token_id"]]: row["net_shares"] for row in rows if row["net_shares"]}


async def statuses(store: client.Store) -> set[str]:
    rows = await store.rows("SELECT DISTINCT status FROM vw_positions_reconciled")
    return {row["status"] for row in rows}


async def test_conversions_of_every_shape(migrated: client.Store) -> None:
    """Two No give one Yes of each other market and 1 USD a share, however rows are keyed."""
    await family(migrated)
    await insert(migrated, [buys_no(1, "A", 100), buys_no(2, "B", 100)])
    one = {"tx_hash": "ee" * 32}
    shapes: dict[str, list[dict[str, Any]]] = {
        "by the negative-risk market": [converts(10, FAMILY, 100, usdc_size=100)],
        "by each member, each with the cash": [
            converts(10, "A", 100, usdc_size=100, **one),
            converts(11, "B", 100, usdc_size=100, **one),
        ],
        "by each member, the cash shared": [
            converts(10, "A", 100, usdc_size=50, **one),
            converts(11, "B", 100, usdc_size=50, **one),
        ],
        "by each member, the cash unknown": [
            converts(10, "A", 100, usdc_size=None, **one),
            converts(11, "B", 100, usdc_size=None, **one),
        ],
        "by one member of two": [converts(10, "A", 100, usdc_size=100)],
    }
    for shape, rows in shapes.items():
        await empty(migrated, "wallet_activity_raw")
        await put(migrated, "wallet_activity_raw", *rows)
        assert await balances(migrated) == {"Yes C": 100.0}, shape
        (cash,) = await migrated.rows("SELECT sum(usd) AS usd FROM wallet_activity_changes")
        assert cash == {"usd": 100.0}, shape


async def test_a_market_that_joined_later_gets_nothing(migrated: client.Store) -> None:
    await family(migrated, "ABCD", D={"created_at": LATER})
    await insert(migrated, [buys_no(1, "A", 100)])
    await put(migrated, "wallet_activity_raw", converts(10, "A", 100, usdc_size=0))
    assert await balances(migrated) == {"Yes B": 100.0, "Yes C": 100.0}


async def test_conversions_follow_each_other(migrated: client.Store) -> None:
    """What an earlier conversion took cannot be taken again."""
    await family(migrated)
    bought = [buys_no(1, "A", 10), buys_no(2, "B", 10), buys_no(20, "A", 10), buys_no(21, "C", 10)]
    await insert(migrated, bought)
    await put(
        migrated,
        "wallet_activity_raw",
        converts(10, FAMILY, 10, usdc_size=10),
        converts(30, FAMILY, 10, usdc_size=10),
    )
    assert await balances(migrated) == {"Yes B": 10.0, "Yes C": 10.0}


async def test_a_conversion_that_leaves_a_choice_is_unmatched(migrated: client.Store) -> None:
    await family(migrated)
    await insert(migrated, [buys_no(number, name, 10) for number, name in enumerate("ABC")])
    await put(migrated, "wallet_activity_raw", converts(10, FAMILY, 10, usdc_size=10))
    assert await statuses(migrated) == {"unmatched conversion"}
    (row,) = await migrated.rows(
        "SELECT count() AS n FROM wallet_activity_changes WHERE kind = 'unmatched conversion'"
    )
    assert row["n"] >= len("ABC")
    # of a negative-risk market that no list knows
    await empty(migrated, "wallet_activity_raw")
    await put(migrated, "wallet_activity_raw", converts(10, "ab" * 32, 10))
    rows = await migrated.rows(
        "SELECT token_id, status FROM vw_positions_reconciled WHERE condition_id = {key:String}",
        parameters={"key": "ab" * 32},
    )
    assert rows == [{"token_id": "", "status": "unmatched conversion"}]


async def test_partial_and_repeated_redemptions(migrated: client.Store) -> None:
    """A redemption takes what it paid of the winner; what lost goes with it; later fills stay."""
    won = {"closed": True, "resolved": True, "outcome_prices": [1, 0], "winning_outcome": 0}
    await family(migrated, "A", A=won)
    bought = {"condition_id": MARKETS["A"], "token_id": yes("A")}
    await insert(
        migrated,
        [fill(1, shares=100, **bought), buys_no(2, "A", 5), fill(40, shares=7, **bought)],
    )
    redeemed = {"condition_id": MARKETS["A"]}
    rows = [
        activity(10, "REDEEM", shares=40, usdc_size=40, tx_hash="01" * 32, **redeemed),
        activity(20, "REDEEM", shares=50, usdc_size=50, tx_hash="02" * 32, **redeemed),
    ]
    for number, left in ((1, 67), (2, 17)):
        await empty(migrated, "wallet_activity_raw")
        await put(migrated, "wallet_activity_raw", *rows[:number])
        assert await balances(migrated) == {"Yes A": left}
    await put(
        migrated,
        "api_positions_landing",
        position(1, 0, condition_id=MARKETS["A"], asset_id=yes("A"), size=17),
        end(1),
    )
    assert await statuses(migrated) == {"equal"}


async def test_of_a_tie_only_the_token_that_is_named_is_redeemed(migrated: client.Store) -> None:
    tie = {"closed": True, "resolved": True, "outcome_prices": [0.5, 0.5]}
    await family(migrated, "A", A=tie)
    bought = fill(1, shares=100, condition_id=MARKETS["A"], token_id=yes("A"))
    await insert(migrated, [bought, buys_no(2, "A", 40)])
    redeemed = {"condition_id": MARKETS["A"], "token_id": yes("A")}
    row = activity(10, "REDEEM", shares=30, usdc_size=15, tx_hash="01" * 32, **redeemed)
    await put(migrated, "wallet_activity_raw", row)
    assert await balances(migrated) == {"Yes A": 70, "No A": 40}
    await put(
        migrated, "wallet_backfill_plan",
        {"wallet_address": row["wallet_address"], "priority_rank": 1, "status": "done"},
    )  # fmt: skip
    await pnl.compute(migrated)
    lines = await migrated.rows("SELECT shares_held, value_usd FROM wallet_market_pnl")
    assert lines == [{"shares_held": [70, 40], "value_usd": 55}]


async def test_what_lost_is_lost(migrated: client.Store) -> None:
    """A token that pays nothing is no difference, whether the API still lists it or not."""
    lost = {"closed": True, "resolved": True, "outcome_prices": [1, 0], "winning_outcome": 0}
    await family(migrated, "AB", A=lost)
    await insert(migrated, [buys_no(1, "A", 10), buys_no(2, "B", 10)])
    rows = await migrated.rows("SELECT token_id, status FROM vw_positions_reconciled")
    found = {row["token_id"]: row["status"] for row in rows}
    assert found == {no("A"): "lost", no("B"): "differs"}
