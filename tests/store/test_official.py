"""Polymarket's own figure beside ours: what differs is named with its part and likeliest reason."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.conftest import lines

from polybackfill.checks import check_result, official_profit
from polybackfill.store import client

NAMES = ("equal", "changed", "fees", "rewards", "moved", "since", "missing", "open", "unknown")
WALLETS = {name: f"{number:040x}" for number, name in enumerate(NAMES, start=1)}
# What each wallet did, by our books: sold 900 USD more than bought, 12 of fees, 30 of rewards, and
# holds what is worth 200.
PNL, FEES, REWARDS, VALUE, FILLS = 1_118.0, 12.0, 30.0, 200.0, 40


def ours(name: str, **changes: Any) -> list[dict[str, Any]]:
    """A market's row, and the one of what belongs to no market."""
    empty = dict.fromkeys(
        ("bought_usd", "sold_usd", "split_usd", "merged_usd", "redeemed_usd", "converted_usd"), 0
    ) | {"reward_usd": 0, "rebate_usd": 0, "yield_usd": 0, "held_to_resolution_pnl_usd": None}
    base = {"wallet_address": WALLETS[name], "is_exact": True, "inexact_reasons": [], **empty}
    market = {"condition_id": "ab" * 32, "num_fills": FILLS, "fees_usd": FEES, "value_usd": VALUE}
    market |= {"bought_usd": 100, "sold_usd": 1_000, "economic_pnl_usd": PNL - REWARDS}
    income = {"condition_id": "", "reward_usd": 25, "yield_usd": 5, "economic_pnl_usd": REWARDS}
    return [base | market | changes, base | {"fees_usd": 0, "value_usd": 0} | income]


def told(name: str, usd: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Polymarket's row; `usd` more than the truth, in all figures that are made of the trades."""
    trades = PNL + FEES - REWARDS
    return {
        "wallet_address": WALLETS[name],
        "answer": "figures",
        "trade_count": FILLS,
        "counted_at": 1_795_000_000,
        "economic_pnl": PNL + usd,
        "trade_pnl": trades + usd,
        "realized_pnl": trades - 50,
        "unrealized_pnl": 50,
        "fees": FEES,
        "wallet_income": REWARDS,
        **changes,
    }


async def fill(store: client.Store) -> None:
    """One wallet for each thing that may differ."""
    books = [row for name in NAMES if name not in ("moved", "open") for row in ours(name)]
    books += ours("moved", value_usd=VALUE - 7, economic_pnl_usd=PNL - REWARDS - 7)
    books += ours(
        "open", is_exact=False, economic_pnl_usd=None, inexact_reasons=["transfer", "combos"]
    )
    await store.insert("wallet_market_pnl", lines(books), rows=len(books))
    stats = [
        told("equal", 0.4),
        told("changed", 2),
        told("fees", fees=FEES + 4, economic_pnl=PNL - 4),
        told("rewards", wallet_income=REWARDS + 3, economic_pnl=PNL + 3),
        told("moved"),
        told("since", 5, trade_count=FILLS + 2, realized_pnl=PNL + FEES - REWARDS - 45),
        told("missing", -9, trade_count=FILLS + 1, counted_at=1_700_000_000),
        told("open"),
        {"wallet_address": WALLETS["unknown"], "answer": "unknown wallet"},
    ]
    await store.insert("api_user_stat_rows", lines(stats), rows=len(stats))
    held = [
        {
            "wallet_address": WALLETS[name],
            "condition_id": "ab" * 32,
            "outcome": 0,
            "asset_id": "7",
            "status": "OPEN",
            "size": 400,
            "current_value": VALUE,
            "unrealized_pnl": 50,
            "timestamp": 1_794_900_000,
            "version": 1,
        }
        for name in NAMES
    ]
    await store.insert("api_position_rows", lines(held), rows=len(held))
    plan = [
        {"wallet_address": WALLETS[name], "status": "done", "read_until": 1_794_000_000}
        for name in NAMES
    ]
    await store.insert("wallet_backfill_plan", lines(plan), rows=len(plan))


async def check(store: client.Store) -> check_result.CheckResult:
    return await official_profit.official_pnl(check_result.CheckContext(store, None))


async def test_each_difference_has_its_part_and_its_likeliest_reason(
    migrated: client.Store,
) -> None:
    assert (await check(migrated)).outcome == "skipped"
    await fill(migrated)
    found = await check(migrated)
    assert found.outcome == "failed"
    by_name = {name: f"0x{wallet}" for name, wallet in WALLETS.items()}
    rows = {row["wallet"]: row for row in found.examples}
    assert "equal" not in {name for name in NAMES if by_name[name] in rows}
    said = {name: (rows[wallet]["outcome"], rows[wallet]["reason"])
            for name, wallet in by_name.items() if wallet in rows}  # fmt: skip
    assert said == {
        "changed": ("differs", "the parts of Polymarket's figure do not add up to it"),
        "fees": ("differs", "fees"),
        "rewards": ("differs", "rewards"),
        "moved": ("prices moved", "prices moved between the two readings"),
        "since": ("traded since", "it has traded since it was read"),
        "missing": ("differs", "Polymarket counts 41 fills, stored are 40"),
        "open": ("not comparable", "history not closed: combos, transfer"),
        "unknown": ("not comparable", "Polymarket: unknown wallet"),
    }
    changed = rows[by_name["changed"]]
    parts = ("difference", "trades", "fees", "rewards", "unrealized")
    assert [changed[part] for part in parts] == [-2, -2, 0, 0, 0]
    assert rows[by_name["fees"]]["fees"] == -4
    assert rows[by_name["open"]]["difference"] is None
    assert found.evidence["compared"] == 7
    assert found.evidence["within_1_usd_or_1_percent"] == 7
    assert found.evidence["differing"] == 4


async def test_a_wallet_that_was_changed_by_2_usd_is_the_only_one_found(
    migrated: client.Store,
) -> None:
    rows = ours("equal") + ours("changed")
    await migrated.insert("wallet_market_pnl", lines(rows), rows=len(rows))
    stats = [told("equal"), told("changed")]
    await migrated.insert("api_user_stat_rows", lines(stats), rows=2)
    assert (await check(migrated)).outcome == "passed"
    newer = [told("changed", 2, version=2**60)]
    await migrated.insert("api_user_stat_rows", lines(newer), rows=1)
    found = await check(migrated)
    assert found.outcome == "failed"
    assert [row["wallet"] for row in found.examples] == [f"0x{WALLETS['changed']}"]


@pytest.mark.parametrize(("answer", "advice"), [("not served", "serve"), (None, "was not read")])
async def test_without_a_figure_nothing_is_compared(
    migrated: client.Store, answer: str | None, advice: str
) -> None:
    if answer is not None:
        row = {"wallet_address": WALLETS["equal"], "answer": answer}
        await migrated.insert("api_user_stat_rows", lines([row]), rows=1)
    found = await check(migrated)
    assert found.outcome == "skipped"
    assert advice in found.advice
