"""The economic profit of invented wallets, and why it is unknown of others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.conftest import insert, trade
from tests.store.test_universe import end, market, position, put
from tests.store.test_views import activity

from polybackfill.store import client, dimensions, pnl

WON, OPEN, UNLISTED, TIED = (f"{number:02x}" * 32 for number in range(1, 5))
TOKENS = {WON: ["10", "11"], OPEN: ["20", "21"], UNLISTED: ["30", "31"], TIED: ["40", "41"]}
BEGAN = 1_700_000_000


async def markets(store: client.Store) -> None:
    """One that paid Yes, one that is open at 0.4, one that was a tie; none for `UNLISTED`."""
    resolved = {"closed": True, "resolved": True}
    shown: dict[str, dict[str, Any]] = {
        WON: {**resolved, "outcome_prices": [1, 0]},
        OPEN: {"outcome_prices": [0.4, 0.6]},
        TIED: {**resolved, "outcome_prices": [0.5, 0.5]},
    }
    rows = [
        market("gamma", condition_id=condition, token_ids=TOKENS[condition], **changes)
        for condition, changes in shown.items()
    ]
    await put(store, "api_market_rows", *rows)
    await dimensions.build(store)


class Story:
    """Rows of wallets that do one thing each; all wallets but the `unread` are read whole."""

    def __init__(self) -> None:
        self.fills: list[dict[str, Any]] = []
        self.activities: list[dict[str, Any]] = []
        self.positions: list[dict[str, Any]] = []
        self._number = 0
        self.wallets: dict[str, str] = {}

    def wallet(self, name: str) -> str:
        return self.wallets.setdefault(name, f"{len(self.wallets) + 1:040x}")

    def _next(self) -> int:
        self._number += 1
        return self._number

    def fill(self, name: str, condition: str, shares: float, price: float, **changes: Any) -> None:
        """Yes is bought, or sold when negative, after what was told before."""
        number = self._next()
        row = trade(
            number,
            wallet_address=self.wallet(name),
            condition_id=condition,
            side="BUY" if shares > 0 else "SELL",
            shares=abs(shares),
            price=price,
            cash_value=abs(shares) * price,
            token_id=TOKENS[condition][changes.get("outcome_index", 0)],
        )
        self.fills.append(row | changes)

    def act(self, name: str, kind: str, condition: str, shares: float, **changes: Any) -> None:
        number = self._next()
        row = activity(number, kind, wallet_address=self.wallet(name), condition_id=condition)
        self.activities.append({**row, "shares": shares, "usdc_size": shares, **changes})

    def hold(self, name: str, condition: str, size: float, **changes: Any) -> None:
        """What the API lists of Yes."""
        row = position(
            1,
            0,
            wallet_address=self.wallet(name),
            condition_id=condition,
            asset_id=TOKENS[condition][0],
            size=size,
            **changes,
        )
        self.positions.append(row)

    async def store(self, store: client.Store) -> dict[str, dict[str, Any]]:
        """Store all of it, compute, and return wallet_pnl by name."""
        await insert(store, self.fills)
        if self.activities:
            await put(store, "wallet_activity_raw", *self.activities)
        if self.positions:
            holders = {row["wallet_address"] for row in self.positions}
            ends = [end(1, wallet) for wallet in holders]
            await put(store, "api_positions_landing", *self.positions, *ends)
        read = [wallet for name, wallet in self.wallets.items() if name != "unread"]
        plan = [
            {"wallet_address": wallet, "priority_rank": rank, "status": "done"}
            for rank, wallet in enumerate(read, start=1)
        ]
        await put(store, "wallet_backfill_plan", *plan)
        await pnl.compute(store)
        rows = {row["wallet_address"]: row for row in await store.rows("SELECT * FROM wallet_pnl")}
        return {name: rows[wallet] for name, wallet in self.wallets.items()}


async def test_every_kind_of_cash_counts_once(migrated: client.Store) -> None:
    await markets(migrated)
    story = Story()
    story.fill("trader", WON, 100, 0.4, fees=0.5)  # -40.5, then 100
    story.fill("trader", OPEN, 100, 0.5)
    story.fill("trader", OPEN, -40, 0.7)  # -50 + 28 + 60 at 0.4
    story.act("splitter", "SPLIT", OPEN, 100)
    story.fill("splitter", OPEN, -100, 0.45)
    story.act("splitter", "MERGE", OPEN, 20)  # more than it has of Yes: bought again
    story.fill("splitter", OPEN, 20, 0.3)  # -100 + 45 + 20 - 6, 80 No at 0.6
    story.fill("redeemer", WON, 50, 0.7)
    story.act("redeemer", "REDEEM", WON, 50)
    story.fill("redeemer", WON, 7, 0.9)  # -35 + 50 - 6.3 + 7
    story.fill("dusty", OPEN, 10, 0.5)
    story.hold("dusty", OPEN, 10)  # 10 at 0.4
    story.fill("dusty", WON, 10, 0.5)
    story.fill("dusty", WON, -10.005, 0.6)  # less than the API lists is short: no transfer
    story.fill("tied", TIED, 10, 0.2)
    story.act("tied", "REDEEM", TIED, 5)
    for kind in ("REWARD", "REFERRAL_REWARD", "MAKER_REBATE", "TAKER_REBATE", "YIELD"):
        story.act("earner", kind, "", 3)
    story.act("earner", "DEPOSIT", "", 1000)
    found = await story.store(migrated)
    assert {name: row["economic_pnl_usd"] for name, row in found.items()} == {
        "trader": 59.5 + 2,
        "splitter": 7,
        "redeemer": 15.7,
        "dusty": -0.002,
        "tied": 3,
        "earner": 15,
    }
    assert all(row["is_exact"] and row["inexact_reasons"] == [] for row in found.values())
    assert (found["trader"]["coverage_pct"], found["trader"]["realized_pnl_usd"]) == (50, 60)
    assert found["trader"]["coverage_money_pct"] == 100 * 40 / 90
    assert (found["earner"]["coverage_pct"], found["earner"]["coverage_money_pct"]) == (None, None)
    assert (found["earner"]["band"], found["earner"]["economic_rank"]) == ("none", 3)
    (line,) = await migrated.rows(
        "SELECT * FROM wallet_market_pnl WHERE wallet_address = {wallet:String}",
        parameters={"wallet": story.wallet("splitter")},
    )
    parts = ("bought_usd", "sold_usd", "split_usd", "merged_usd", "shares_held", "value_usd")
    assert [line[part] for part in parts] == [6, 45, 100, 20, [0, 80], 48]
    assert line["held_to_resolution_pnl_usd"] is None


async def test_of_three_outcomes_the_third_is_held_sold_and_redeemed(
    migrated: client.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lost is burnt by the redemption, what won and was bought behind it is still held."""
    three = "05" * 32
    monkeypatch.setitem(TOKENS, three, ["50", "51", "52"])
    listed = market(
        "gamma",
        condition_id=three,
        token_ids=TOKENS[three],
        outcomes=["A", "B", "C"],
        outcome_prices=[0, 0, 1],
        closed=True,
        resolved=True,
    )
    await put(migrated, "api_market_rows", listed)
    await dimensions.build(migrated)
    story = Story()
    for name in ("redeemer", "holder"):
        story.fill(name, three, 10, 0.3, outcome_index=2)
        story.fill(name, three, -2, 0.5, outcome_index=2)
        story.fill(name, three, 10, 0.2, outcome_index=1)
    story.act("redeemer", "REDEEM", three, 8)
    story.fill("redeemer", three, 4, 0.9, outcome_index=2)
    found = await story.store(migrated)
    assert {name: row["economic_pnl_usd"] for name, row in found.items()} == {
        "redeemer": 4.4,  # -3 + 1 - 2 + 8 - 3.6, 4 at 1
        "holder": 4,  # -3 + 1 - 2, 8 at 1
    }
    lines = await migrated.rows(
        "SELECT shares_held, held_to_resolution_pnl_usd AS pnl FROM wallet_market_pnl "
        "ORDER BY wallet_address"
    )
    assert [(line["shares_held"], line["pnl"]) for line in lines] == [
        ([0, 0, 4], 4.4),
        ([0, 10, 8], 4),
    ]


async def test_what_is_not_known_is_null_and_says_why(migrated: client.Store) -> None:
    await markets(migrated)
    story = Story()
    story.fill("unknown fees", OPEN, 10, 0.4, fees=None)
    story.fill("unread", OPEN, 10, 0.4)
    story.fill("short", OPEN, -10, 0.4)
    story.fill("more listed", OPEN, 10, 0.4)
    story.hold("more listed", OPEN, 25)
    story.fill("as listed", OPEN, 10, 0.4)
    story.hold("as listed", OPEN, 10.0004)
    story.fill("unlisted", UNLISTED, 10, 0.4)
    story.fill("priced", UNLISTED, 10, 0.4)
    story.hold("priced", UNLISTED, 10, current_price=0.5)
    story.fill("no outcome", UNLISTED, 10, 0.4, outcome_index=-1)
    story.act("unmatched", "CONVERSION", "ab" * 32, 10)
    story.act("migrated", "MIGRATION", OPEN, 10)
    story.act("combos", "TRADE", "cd" * 31, 10, is_combo=True)
    story.act("novelty", "AIRDROP", "", 10)
    story.fill("untold", WON, 10, 0.4)
    story.act("untold", "REDEEM", WON, 10, usdc_size=None)
    found = await story.store(migrated)
    reasons = {name: row["inexact_reasons"] for name, row in found.items()}
    assert reasons == {
        "unknown fees": ["unknown fees"],
        "unread": ["unread history"],
        "short": ["transfer"],
        "more listed": ["position differs"],
        "as listed": [],
        "unlisted": ["unknown price"],
        "priced": [],
        "no outcome": ["unknown outcome"],
        "unmatched": ["unmatched conversion"],
        "migrated": ["migration"],
        "combos": ["combos"],
        "novelty": ["unknown activity"],
        "untold": ["unknown amount"],
    }
    unknown = {name for name, row in found.items() if row["economic_pnl_usd"] is None}
    assert unknown == {name for name, why in reasons.items() if why}
    assert found["priced"]["economic_pnl_usd"] == 1
    assert {row["economic_rank"] for row in found.values()} == {0, 1, 2}
    assert found["unknown fees"]["all_fees_usd"] is None
    assert found["short"]["value_usd"] is found["unlisted"]["value_usd"] is None
