"""Markets, positions and resolutions: one row per key to a plain SELECT, newest first."""

from __future__ import annotations

from typing import Any

import orjson
from tests.store.conftest import lines

from polybackfill.store import client

CONDITION = "ab" * 32
WALLET = "12" * 20


def market(source: str, **changes: Any) -> dict[str, Any]:
    return {
        "source": source,
        "condition_id": CONDITION,
        "market_id": "7" if source == "gamma" else "",
        "outcomes": ["Yes", "No"],
        "active": True,
        "closed": False,
        "archived": False,
        "resolved": False,
        "neg_risk": False,
        "tags": [],
        "outcome_prices": [],
        "token_ids": [],
        "fetched_at": 1_700_000_000,
        **changes,
    }


def position(version: int, outcome: int, **changes: Any) -> dict[str, Any]:
    return {
        "wallet_address": WALLET,
        "condition_id": CONDITION,
        "outcome": outcome,
        "asset_id": str(outcome),
        "size": 5.0,
        "timestamp": version,
        "version": version * 2 + 1,
        **changes,
    }


def end(version: int, wallet: str = WALLET) -> dict[str, Any]:
    return {
        "wallet_address": wallet,
        "timestamp": version,
        "version": version * 2 + 1,
        "is_end": True,
    }


async def held(store: client.Store) -> list[tuple[int, float]]:
    rows = await store.rows(
        "SELECT outcome, size FROM api_positions_staging ORDER BY wallet_address, outcome"
    )
    return [(row["outcome"], row["size"]) for row in rows]


async def put(store: client.Store, table: str, *rows: dict[str, Any]) -> None:
    await store.insert(table, lines(list(rows)), rows=len(rows))


async def test_two_lists_make_one_row_per_market(migrated: client.Store) -> None:
    for fetched_at in (1_700_000_000, 1_700_000_100):
        await put(
            migrated,
            "api_market_rows",
            market("clob", market_slug="clob-slug", token_ids=["1", "2"], winning_outcome=1),
            market("gamma", question="Will it?", volume=3.5, fetched_at=fetched_at),
        )
    await put(migrated, "api_market_rows", market("gamma", condition_id="", market_id="9"))
    (row,) = await migrated.rows("SELECT * FROM api_markets_staging")
    assert row["question"] == "Will it?"
    assert row["market_slug"] == "clob-slug"
    assert row["token_ids"] == ["1", "2"]
    assert (row["volume"], row["winning_outcome"], row["market_id"]) == (3.5, 1, "7")
    assert sorted(row["sources"]) == ["clob", "gamma"]
    (apart,) = await migrated.rows("SELECT market_id FROM api_markets_without_condition")
    assert apart == {"market_id": "9"}


async def test_a_complete_reading_of_a_wallet_replaces_the_one_before(
    migrated: client.Store,
) -> None:
    landing = "api_positions_landing"
    await put(migrated, landing, position(1_000, 0), position(1_000, 1), end(1_000))
    assert await held(migrated) == [(0, 5.0), (1, 5.0)]
    # a reading that is not complete deletes nothing
    await put(migrated, landing, position(2_000, 1, size=7.0))
    assert await held(migrated) == [(0, 5.0), (1, 7.0)]
    await put(migrated, landing, position(2_000, 1, size=7.0), end(2_000))
    await put(migrated, landing, position(2_000, 1, size=7.0), end(2_000))
    assert await held(migrated) == [(1, 7.0)]
    # what comes back is there again; another wallet's end touches nothing
    await put(migrated, landing, position(3_000, 0, size=2.0), end(3_000, wallet="34" * 20))
    assert await held(migrated) == [(0, 2.0), (1, 7.0)]
    await put(migrated, landing, end(4_000))
    assert await held(migrated) == []


async def test_payouts_and_disagreements(migrated: client.Store) -> None:
    others = ["cd" * 32, "ef" * 32]
    resolved = {"closed": True, "resolved": True, "outcome_prices": [1.0, 0.0]}
    await put(
        migrated,
        "api_market_rows",
        market("gamma", **resolved),
        market("gamma", condition_id=others[0], **resolved),
        market("gamma", condition_id=others[1], **{**resolved, "resolved": False}),
    )
    status = {"status": "resolved", "was_disputed": False}
    await put(
        migrated,
        "api_resolution_rows",
        {"condition_id": CONDITION, "payouts": [0.5, 0.5], **status},
    )
    found = await migrated.rows(
        "SELECT condition_id, payouts, payout_source FROM market_payouts ORDER BY condition_id"
    )
    assert [(row["payouts"], row["payout_source"]) for row in found] == [
        ([0.5, 0.5], "resolutions"),
        ([1.0, 0.0], "gamma"),
    ]
    (differing,) = await migrated.rows("SELECT * FROM resolution_disagreements")
    assert differing["condition_id"] == CONDITION
    assert orjson.dumps(differing["by_resolutions"]) == b"[0.5,0.5]"
