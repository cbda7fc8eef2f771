"""P&L by category in the store: hold to resolution, resolved markets only, 128 once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.store.conftest import insert, lines, trade
from tests.store.test_universe import market

from polybackfill import errors
from polybackfill.polymarket import contracts
from polybackfill.store import client, dimensions, pnl

WALLET, OTHER = "12" * 20, "34" * 20
NAMES = ("won", "lost", "tied", "split", "scalar", "open", "zeros", "three")
CONDITIONS = {name: f"{number:064x}" for number, name in enumerate(NAMES, start=1)}


async def markets(store: client.Store) -> None:
    """One market of each kind, all in the category of their tag."""
    resolved = {"closed": True, "resolved": True}
    shown: dict[str, dict[str, Any]] = {
        "won": {**resolved, "outcome_prices": [1, 0], "tags": ["Fed Rates"]},
        "lost": {**resolved, "outcome_prices": [0, 1], "tags": ["Fed Rates"]},
        "tied": {**resolved, "outcome_prices": [0.5, 0.5], "tags": ["Soccer"]},
        "split": {**resolved, "outcome_prices": [1, 0], "tags": ["Soccer"]},
        "scalar": {**resolved, "outcome_prices": [0.37, 0.63]},
        "open": {"outcome_prices": [0.9, 0.1], "tags": ["Soccer"]},
        "zeros": {**resolved, "outcome_prices": [0, 0], "tags": ["Soccer"]},
        "three": {**resolved, "outcomes": ["Win", "Draw", "Lose"], "outcome_prices": [0, 0, 1]},
    }
    rows = [
        market("gamma", condition_id=CONDITIONS[name], market_id=str(number), **changes)
        for number, (name, changes) in enumerate(shown.items(), start=1)
    ]
    await store.insert("api_market_rows", lines(rows), rows=len(rows))
    await dimensions.build(store)


def fill(number: int, name: str, shares: float, price: float, **changes: Any) -> dict[str, Any]:
    """A trade of `WALLET`: negative shares are a sale."""
    return trade(
        number,
        wallet_address=WALLET,
        condition_id=CONDITIONS[name],
        side="BUY" if shares > 0 else "SELL",
        shares=abs(shares),
        price=price,
        cash_value=abs(shares) * price,
        **changes,
    )


async def by_category(store: client.Store, wallet: str = WALLET) -> dict[str, dict[str, Any]]:
    rows = await store.rows(
        "SELECT * FROM wallet_category_pnl WHERE wallet_address = {wallet:String}",
        parameters={"wallet": wallet},
    )
    return {row["category"]: row for row in rows}


async def overall(store: client.Store, wallet: str = WALLET) -> dict[str, Any]:
    (row,) = await store.rows(
        "SELECT * FROM wallet_pnl WHERE wallet_address = {wallet:String}",
        parameters={"wallet": wallet},
    )
    return row


async def test_hold_to_resolution(migrated: client.Store) -> None:
    """Seed 004, P&L contract: resolved markets only, fractional payouts, fees apart; seed 004,
    wallet category breakdown: wins per market, side from the outcome held, categories add up."""
    await markets(migrated)
    await insert(
        migrated,
        [
            # 60 of 100 Yes kept: 60 - 40 + 40 * 0.7 = 48, in three trades that are one win
            fill(1, "won", 60, 0.4),
            fill(2, "won", 40, 0.4, usdc_size=16.5, fees=0.5),
            fill(3, "won", -40, 0.7),
            fill(4, "lost", 10, 0.35),  # -3.5
            fill(5, "tied", 10, 0.3, outcome_index=1),  # +2
            # sold out of a split: the pair cost 1 and No paid nothing, -100 + 60
            fill(6, "split", -100, 0.6),
            fill(7, "scalar", 10, 0.5),  # 3.7 - 5
            fill(8, "open", 10, 0.5),
            fill(9, "zeros", 10, 0.5),
            fill(10, "three", 10, 0.25, outcome_index=2),  # +7.5
        ],
    )
    await pnl.compute(migrated)
    found = await by_category(migrated)
    assert {name: Decimal(str(row["realized_pnl_usd"])) for name, row in found.items()} == {
        "Macro / Economy": Decimal("44.5"),
        "Sports": Decimal("-38"),
        "Uncategorized": Decimal("6.2"),
    }
    macro, sports = found["Macro / Economy"], found["Sports"]
    assert (macro["num_resolved_markets"], macro["num_winning_markets"]) == (2, 1)
    assert (macro["num_losing_markets"], macro["yes_count"], macro["no_count"]) == (1, 2, 0)
    assert (macro["fees_usd"], macro["total_position_size_usd"]) == (0.5, 43.5)
    # of four markets two have paid out; who sold Yes of a split holds No
    assert (sports["num_markets"], sports["num_resolved_markets"]) == (4, 2)
    assert (sports["yes_count"], sports["no_count"]) == (0, 2)
    assert found["Uncategorized"]["yes_count"] == 1
    whole = await overall(migrated)
    assert Decimal(str(whole["realized_pnl_usd"])) == Decimal("12.7")
    assert (whole["coverage_pct"], whole["band"], whole["rank"]) == (75.0, "high", 1)


async def test_a_second_time_gives_the_same_rows(migrated: client.Store) -> None:
    await markets(migrated)
    await insert(migrated, [fill(1, "won", 1, 0.5), trade(2, wallet_address=OTHER)])
    await pnl.compute(migrated)
    columns = "SELECT * EXCEPT computed_at FROM wallet_category_pnl ORDER BY ALL"
    first = await migrated.rows(columns)
    await pnl.compute(migrated)
    assert await migrated.rows(columns) == first
    assert len(first) == 2


async def test_bands_and_ranks(migrated: client.Store) -> None:
    """Seed 004, P&L contract: bands at 10, 5 and 2 percent; below 2 no rank."""
    await markets(migrated)
    number = 0
    for wallet, size, price in ((1, 10, 0.5), (2, 20, 0.5), (3, 40, 0.5), (4, 50, 0.1), (5, 51, 0)):
        rows = [fill(number + n, "open", 1, 0.5) for n in range(size)]
        for place, row in enumerate(rows):
            row["wallet_address"] = f"{wallet:040x}"
            row["condition_id"] = f"{place + 100:064x}"
        rows[0] |= {"condition_id": CONDITIONS["won"], "cash_value": price}
        number += size
        await insert(migrated, rows)
    await pnl.compute(migrated)
    found = await migrated.rows(
        "SELECT band, coverage_pct, rank FROM wallet_pnl ORDER BY wallet_address"
    )
    assert [(row["band"], row["rank"]) for row in found] == [
        ("high", 2),
        ("medium", 3),
        ("low", 4),
        ("low", 1),
        ("none", 0),
    ]
    assert [row["coverage_pct"] for row in found[:4]] == [10, 5, 2.5, 2]


async def test_inflated_shares_are_divided_once(migrated: client.Store) -> None:
    """Seed 004, P&L contract: division by 128 only for the flagged source and once."""
    await markets(migrated)
    columns = (
        "wallet_address, condition_id, tx_hash, outcome_index, side, shares, collateral_amount"
    )
    won = CONDITIONS["won"]
    await migrated.command(
        f"INSERT INTO pm_trades ({columns}, fee_amount, data_source) VALUES "
        f"('0x{WALLET}', '{won}', 'aa', 0, 'BUY', 1280, 512, 12.8, 'goldsky'), "
        f"('{OTHER}', '{won}', 'bb', 0, 'BUY', 1280, 512, 0, 'clob_fills')"
    )
    await migrated.command(
        "INSERT INTO vw_trades_canonical (wallet_address, condition_id_norm, timestamp, side, "
        "outcome_index, shares, usd_value, transaction_hash, outcomes) VALUES "
        f"('0x{WALLET}', '0x{CONDITIONS['lost']}', now(), 'BUY', 1, 1, 0.25, 'cc', ['Yes', 'No'])"
    )
    await insert(migrated, [fill(1, "lost", 128, 0.5)])
    await pnl.compute(migrated, inflated=["goldsky"])
    (macro,) = (await by_category(migrated)).values()
    assert Decimal(str(macro["realized_pnl_usd"])) == Decimal("0.75") + 10 - 4 - 64
    assert macro["fees_usd"] == 0.1
    assert (await overall(migrated, OTHER))["realized_pnl_usd"] == 768
    await pnl.compute(migrated)
    assert (await overall(migrated))["realized_pnl_usd"] == 768.75 - 64


@pytest.mark.parametrize("source", ["polymarket_data_api", "dome", "blockchain"])
async def test_external_trades_are_never_divided(migrated: client.Store, source: str) -> None:
    """Seed 004, P&L contract: never for Data API or on-chain data."""
    await insert(migrated, [trade(1, source="dome")])
    with pytest.raises(errors.Stop, match=f"BACKFILL_INFLATED_SOURCES names {source}"):
        await pnl.compute(migrated, inflated=["goldsky", source])


async def test_another_source_of_trades_is_one_statement_away(migrated: client.Store) -> None:
    await markets(migrated)
    await insert(migrated, [fill(1, "won", 1, 0.5), fill(2, "lost", 1, 0.5, source="other")])
    await migrated.command(
        "CREATE OR REPLACE VIEW trades_for_pnl AS SELECT source, wallet_address, condition_id, "
        "outcome_index, token_id, side, shares, cash_value AS usd, fees, trade_timestamp "
        "FROM external_trades_raw WHERE source = 'other'"
    )
    await pnl.compute(migrated)
    assert (await overall(migrated))["realized_pnl_usd"] == -0.5


async def test_an_outcome_the_api_did_not_know_yet_is_told_by_its_token(
    migrated: client.Store,
) -> None:
    tokens = {"token_ids": ["70", "71"], "resolved": True, "outcome_prices": [0, 1]}
    rows = [market("gamma", condition_id=CONDITIONS[name], **tokens) for name in ("won", "lost")]
    await migrated.insert("api_market_rows", lines(rows), rows=len(rows))
    fresh = {"outcome_index": -1}
    await insert(
        migrated,
        [
            fill(1, "won", 10, 0.5, token_id="71", **fresh),
            fill(2, "won", 10, 0.5, token_id="71", outcome_index=1),
            fill(3, "lost", 10, 0.5, token_id="99", **fresh),
        ],
    )
    await pnl.compute(migrated)
    whole = await overall(migrated)
    assert (whole["realized_pnl_usd"], whole["coverage_pct"]) == (10, 50)


async def test_contracts_are_nobody(migrated: client.Store) -> None:
    await markets(migrated)
    rows = [trade(n, wallet_address=wallet) for n, wallet in enumerate(contracts.CONTRACTS)]
    await insert(migrated, [*rows, fill(100, "won", 1, 0.5)])
    await pnl.compute(migrated)
    assert [row["wallet_address"] for row in await migrated.rows("SELECT * FROM wallet_pnl")] == [
        WALLET
    ]


async def test_entries_early_and_late(migrated: client.Store) -> None:
    start, day = 1_700_000_000, 86_400
    dates = {"start_date": start, "end_date": start + 300 * day, "closed_at": start + 100 * day}
    rows = [
        market(
            "gamma",
            condition_id=condition,
            resolved=True,
            outcome_prices=[1, 0],
            **(dates if name != "lost" else {}),
        )
        for name, condition in CONDITIONS.items()
    ]
    await migrated.insert("api_market_rows", lines(rows), rows=len(rows))
    await dimensions.build(migrated)
    entries = {"won": 25, "tied": 26, "split": 74, "scalar": 75, "lost": 1}
    await insert(
        migrated,
        [
            fill(n, name, 1, 0.5, trade_timestamp=start + days * day)
            for n, (name, days) in enumerate(entries.items())
        ],
    )
    await pnl.compute(migrated)
    (row,) = (await by_category(migrated)).values()
    assert (row["dated_markets"], row["early_entries"], row["late_entries"]) == (4, 1, 1)
