"""The union views and the reconciliation: one fill once, trades with trades only."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.conftest import empty, insert, trade
from tests.store.test_universe import end, market, position, put

from polybackfill.checks import sql_partitions, temporary_table, union_counts
from polybackfill.store import client, definitions, inflation, migrate

TX = "cd" * 32
CONDITION = "ab" * 32
WALLET = "12" * 20
COLUMNS = [
    "fill_id",
    "block_time",
    "block_number",
    "tx_hash",
    "asset_id_decimal",
    "condition_id",
    "outcome_index",
    "outcome_label",
    "question",
    "wallet_address",
    "operator_address",
    "is_proxy_trade",
    "side",
    "price",
    "shares",
    "collateral_amount",
    "fee_amount",
    "data_source",
]


def fill(number: int, **changes: Any) -> dict[str, Any]:
    """An external fill of the one wallet, market and transaction of these tests."""
    same = {"wallet_address": WALLET, "condition_id": CONDITION, "tx_hash": TX, "token_id": "7"}
    return trade(number, **(same | changes))


def internal(number: int, **changes: Any) -> dict[str, Any]:
    """A row of pm_trades, by default the same fill as `fill(0)`."""
    return {
        "fill_id": f"clob-{number}",
        "block_time": 1_700_000_000,
        "block_number": 5,
        "tx_hash": TX,
        "asset_id_decimal": "7",
        "condition_id": CONDITION,
        "outcome_index": 0,
        "outcome_label": "Yes",
        "question": "?",
        "wallet_address": WALLET,
        "operator_address": "",
        "is_proxy_trade": 1,
        "side": "BUY",
        "price": 0.4,
        "shares": 2.5,
        "collateral_amount": 1.0,
        "fee_amount": 0.0,
        "data_source": "clob_fills",
    } | changes


def chain(**changes: Any) -> dict[str, Any]:
    """A row of vw_trades_canonical, by default the same fill as `fill(0)`."""
    return {
        "wallet_address": f"0x{WALLET}",
        "condition_id_norm": CONDITION,
        "timestamp": 1_700_000_000,
        "side": "BUY",
        "outcome_index": 0,
        "outcomes": ["Yes", "No"],
        "shares": 2.5,
        "usd_value": 1.0,
        "transaction_hash": f"0x{TX}",
    } | changes


async def sources(store: client.Store) -> dict[str, int]:
    rows = await store.rows(
        "SELECT data_source, count() AS n FROM pm_trades_with_external GROUP BY data_source"
    )
    return {row["data_source"]: row["n"] for row in rows}


async def unified(store: client.Store) -> dict[str, int]:
    rows = await store.rows("SELECT source, count() AS n FROM vw_trades_unified GROUP BY source")
    return {row["source"]: row["n"] for row in rows}


async def suspects(store: client.Store) -> int:
    rows = await store.rows("SELECT count() AS n FROM trade_overlap_suspects")
    return int(rows[0]["n"])


async def test_the_columns_of_the_seed_in_their_order(migrated: client.Store) -> None:
    """Seed 001, pm_trades_with_external: outcome_label holds an outcome, never BUY or SELL."""
    await insert(migrated, [fill(0), fill(1, outcome="No", outcome_index=1, side="SELL")])
    rows = await migrated.rows("SELECT * FROM pm_trades_with_external ORDER BY outcome_index")
    assert [list(row) for row in rows] == [COLUMNS, COLUMNS]
    assert [row["outcome_label"] for row in rows] == ["Yes", "No"]
    assert [row["side"] for row in rows] == ["BUY", "SELL"]
    assert {row["data_source"] for row in rows} == {"polymarket_data_api"}
    assert rows[0]["asset_id_decimal"] == "7"
    assert rows[0]["collateral_amount"] == 1.0


async def test_a_fill_of_both_sources_is_counted_once(migrated: client.Store) -> None:
    """Seed 001, pm_trades_with_external: rows = internal + external - overlap."""
    await put(migrated, "pm_trades", internal(0), internal(1, tx_hash="ee" * 32))
    await insert(migrated, [fill(0), fill(1, tx_hash="ff" * 32)])
    assert await sources(migrated) == {"clob_fills": 2, "polymarket_data_api": 1}
    assert await suspects(migrated) == 0


async def test_ids_in_any_form_are_the_same_fill(migrated: client.Store) -> None:
    """Seed 001, pm_trades_with_external: ids with 0x or in capitals hide no overlap."""
    written = {"wallet_address": f"0x{WALLET.upper()}", "tx_hash": f"0x{TX}", "side": "buy"}
    await put(migrated, "pm_trades", internal(0, **written))
    await insert(migrated, [fill(0)])
    assert await sources(migrated) == {"clob_fills": 1}
    found = await migrated.rows(
        "SELECT count() AS n FROM pm_trades_with_external WHERE wallet_address = {w:String}",
        parameters={"w": WALLET},
    )
    assert found[0]["n"] == 1


async def test_identical_fills_are_matched_one_by_one(migrated: client.Store) -> None:
    """Seed 001, pm_trades_with_external: of three equal fills the internal source lost one, and the
    union has all three.
    """
    await put(migrated, "pm_trades", internal(0), internal(1))
    await insert(migrated, [fill(0), fill(1), fill(2)])
    assert await sources(migrated) == {"clob_fills": 2, "polymarket_data_api": 1}
    assert await suspects(migrated) == 0  # the internal source merely lacks one


async def test_the_view_is_counted_in_parts(
    migrated: client.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 001, pm_trades_with_external: the parts a count is made in leave no market out."""
    monkeypatch.setattr(sql_partitions, "ROWS", 1)
    markets = ["", "00" * 32, "7f" * 32, "80" * 32, "ff" * 32, "no hex"]
    await put(migrated, "pm_trades", *(internal(n, condition_id=c) for n, c in enumerate(markets)))
    await insert(migrated, [fill(n, condition_id=c) for n, c in enumerate(markets[:3])])
    assert len(sql_partitions.list_conditions(len(markets))) == 7
    assert await union_counts.count_fills(migrated) == {"internal": 6, "external": 3, "view": 6}


async def test_a_fill_of_another_size_on_both_sides_is_suspect(migrated: client.Store) -> None:
    """Seed 001, validation: an overlap the filter cannot see is found."""
    await put(migrated, "pm_trades", internal(0, shares=2.49))
    await insert(migrated, [fill(0)])
    assert await sources(migrated) == {"clob_fills": 1, "polymarket_data_api": 1}
    assert await suspects(migrated) == 1


async def test_pm_trades_with_more_columns_stays_as_it_is(store: client.Store) -> None:
    """Seed 001, pm_trades_with_external: a view of the user's, with columns of his own."""
    await store.command(
        "CREATE VIEW pm_trades AS SELECT 'a' AS fill_id, now64(3) AS block_time, 0 AS block_number,"
        " '' AS tx_hash, toNullable('7') AS asset_id_decimal, 'c' AS condition_id, "
        "toUInt8(1) AS outcome_index, 'No' AS outcome_label, '' AS question, '0xAb' AS "
        "wallet_address, '' AS operator_address, 0 AS is_proxy_trade, 'BUY' AS side, "
        "toDecimal64(0.5, 4) AS price, 2 AS shares, 1 AS collateral_amount, 0 AS fee_amount, "
        "'clob_fills' AS data_source, 42 AS extra"
    )
    await migrate.up(store)
    (row,) = await store.rows("SELECT * FROM pm_trades_with_external")
    assert list(row) == COLUMNS
    assert (row["wallet_address"], row["price"]) == ("ab", 0.5)
    assert (await store.rows("SELECT extra FROM pm_trades"))[0]["extra"] == 42


async def test_a_view_that_was_dropped_is_made_again(migrated: client.Store) -> None:
    (views,) = [one for one in definitions.known() if one.name == "006_views.sql"]
    assert all(text.startswith("CREATE OR REPLACE VIEW") for text in views.statements(None))
    await migrated.command("DROP VIEW vw_trades_unified")
    assert await migrate.restore(migrated) == ["vw_trades_unified"]
    assert await migrate.missing(migrated) == []


async def test_wallets_in_one_other_and_both_sources(migrated: client.Store) -> None:
    """Seed 002, vw_trades_unified: columns, and no wallet counted twice."""
    other, both = "34" * 20, "56" * 20
    await put(
        migrated,
        "vw_trades_canonical",
        chain(),
        chain(wallet_address=both),
        chain(wallet_address=both, shares=9, usd_value=3),
    )
    await put(migrated, "pm_trades", internal(0, wallet_address=both))
    await insert(
        migrated,
        [fill(0, wallet_address=other), fill(1, wallet_address=both), fill(2, shares=4.0)],
    )
    assert await unified(migrated) == {"blockchain": 3, "polymarket_data_api": 2}
    rows = await migrated.rows("SELECT * FROM vw_trades_unified ORDER BY wallet, shares")
    assert set(rows[0]) >= {"wallet", "market", "outcome", "shares", "price", "source"}
    assert [(row["wallet"], row["shares"]) for row in rows] == [
        (WALLET, 2.5),
        (WALLET, 4.0),
        (other, 2.5),
        (both, 2.5),
        (both, 9.0),
    ]
    assert {row["outcome"] for row in rows} == {"Yes"}
    assert {row["market"] for row in rows} == {CONDITION}


async def test_positions_are_no_trades(migrated: client.Store) -> None:
    """Seed 002, vw_trades_unified: a position beside its trades changes nothing."""
    await insert(migrated, [fill(0)])
    await put(migrated, "api_positions_landing", position(1, 0, size=2.5), end(1))
    assert await unified(migrated) == {"polymarket_data_api": 1}


def activity(number: int, kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "source": "polymarket_data_api",
        "activity_id": f"{number:032x}",
        "wallet_address": WALLET,
        "condition_id": CONDITION,
        "activity_type": kind,
        "shares": 1.0,
        "price": 0.0,
        "activity_timestamp": 1_700_000_000 + number,
        "fetched_at": 1_790_000_000,
    } | changes


async def reconciled(store: client.Store) -> dict[str, tuple[float, float, str]]:
    rows = await store.rows("SELECT * FROM vw_positions_reconciled ORDER BY token_id")
    return {row["token_id"]: (row["net_shares"], row["api_shares"], row["status"]) for row in rows}


async def hold(store: client.Store, **sizes: float) -> None:
    """What the API says the wallet holds: token=shares."""
    held = [
        position(1, number, asset_id=token.removeprefix("t"), size=size)
        for number, (token, size) in enumerate(sizes.items())
    ]
    await put(store, "api_positions_landing", *held, end(1))


async def test_splits_merges_and_trades_add_up_to_the_position(migrated: client.Store) -> None:
    """Seed 002, vw_trades_unified: net of trades against the position, per wallet and token."""
    await put(migrated, "api_market_rows", market("gamma", token_ids=["7", "8"]))
    await insert(migrated, [fill(0), fill(1, side="SELL", token_id="8", shares=3.0)])
    await put(
        migrated, "wallet_activity_raw", activity(1, "SPLIT", shares=5.0), activity(2, "MERGE")
    )
    await hold(migrated, t7=6.5, t8=1.0)
    assert await reconciled(migrated) == {"7": (6.5, 6.5, "equal"), "8": (1.0, 1.0, "equal")}


async def test_a_redemption_ends_the_holding_in_both_its_shapes(migrated: client.Store) -> None:
    """Seed 002, vw_trades_unified: REDEEM as one row without a token, and as a row per winning
    outcome since 2026.
    """
    bought = [fill(0, shares=2.0), fill(1, token_id="8", shares=3.0)]
    await insert(migrated, bought)
    await put(migrated, "wallet_activity_raw", activity(1, "REDEEM", shares=2.0))
    assert await reconciled(migrated) == {"7": (0, 0, "equal"), "8": (0, 0, "equal")}
    await empty(migrated, "wallet_activity_raw")
    await put(migrated, "wallet_activity_raw", activity(1, "REDEEM", shares=2.0, token_id="7"))
    assert await reconciled(migrated) == {"7": (0, 0, "equal"), "8": (0, 0, "equal")}


async def test_a_conversion_makes_yes_of_the_rivals(migrated: client.Store) -> None:
    """Seed 002, vw_trades_unified: No of one market becomes Yes of the others of its event."""
    rival = {"condition_id": "cc" * 32, "token_ids": ["17", "18"], "market_id": "8"}
    await put(
        migrated,
        "api_market_rows",
        market("gamma", token_ids=["7", "8"], event_id="3"),
        market("gamma", event_id="3", **rival),
    )
    await insert(migrated, [fill(0, token_id="8", outcome_index=1)])
    await put(migrated, "wallet_activity_raw", activity(1, "CONVERSION"))
    assert await reconciled(migrated) == {
        "8": (1.5, 0, "differs"),
        "17": (1.0, 0, "differs"),
    }


async def test_what_the_api_does_not_list_is_no_difference(migrated: client.Store) -> None:
    """Seed 002, vw_trades_unified: dust and inactive markets are not listed; what was sold without
    a purchase is short.
    """
    hidden = {"condition_id": "cc" * 32, "market_id": "8", "active": False}
    await put(migrated, "api_market_rows", market("gamma", **hidden))
    await insert(
        migrated,
        [
            fill(0, shares=0.05),
            fill(1, token_id="17", condition_id="cc" * 32),
            fill(2, token_id="9", side="SELL"),
            fill(3, token_id="10", shares=0.5),
        ],
    )
    statuses = {token: row[2] for token, row in (await reconciled(migrated)).items()}
    assert statuses == {"7": "unlisted", "17": "unlisted", "9": "short", "10": "differs"}


async def test_combos_are_left_out(migrated: client.Store) -> None:
    await put(
        migrated,
        "wallet_activity_raw",
        activity(1, "REDEEM", is_combo=True, token_id="7"),
        activity(2, "TRADE", is_combo=True, token_id="7"),
    )
    assert await reconciled(migrated) == {}


async def test_scratch_tables_go_and_leftovers_with_them(migrated: client.Store) -> None:
    left = "scratch_1_abc"
    await migrated.command(f"CREATE TABLE {left} (key String) ENGINE = MergeTree ORDER BY key")
    async with (
        temporary_table.create(migrated, "AS SELECT '1' AS key") as first,
        temporary_table.create(migrated, "(key String)") as second,
    ):
        assert await migrated.rows(f"SELECT * FROM {first}") == [{"key": "1"}]
        assert await migrated.rows(f"SELECT * FROM {second}") == []
    rows = await migrated.rows("SELECT name FROM system.tables WHERE startsWith(name, 'scratch')")
    assert rows == []


@pytest.mark.parametrize(
    ("in_chain", "beside", "shown"),
    [
        # One fill; the outcome is known to the chain, to the API, or to neither.
        ([0], [-1], [0]),
        ([999], [0], [0]),
        ([-1], [-1], [-1]),
        # Two equal fills of one transaction, of one outcome or of two.
        ([0, 0], [0, -1], [0, 0]),
        ([0, 1], [-1, 0], [0, 1]),
        ([0, 1], [-1, -1], [0, 1]),
        ([1, 999], [0, 1], [0, 1]),
        # One side lacks a fill.
        ([0], [-1, -1], [-1, 0]),
        ([0], [0, -1], [-1, 0]),
        ([0, 0, 1], [-1], [0, 0, 1]),
        ([999], [0, 1], [0, 1]),
        ([], [0, -1], [-1, 0]),
    ],
)
async def test_the_chain_matches_where_an_outcome_is_unknown(
    migrated: client.Store, in_chain: list[int], beside: list[int], shown: list[int]
) -> None:
    """Case chain-unknown-outcome: each fill once, by transaction, side and size."""
    if in_chain:
        await put(migrated, "vw_trades_canonical", *(chain(outcome_index=one) for one in in_chain))
    fills = [fill(number, outcome_index=one) for number, one in enumerate(beside)]
    await insert(migrated, fills)
    rows = await migrated.rows(
        "SELECT source, outcome_index FROM vw_trades_unified ORDER BY outcome_index"
    )
    assert [row["outcome_index"] for row in rows] == shown
    assert sum(row["source"] == "blockchain" for row in rows) == len(in_chain)
    assert await suspects(migrated) == 0


async def test_a_token_shows_which_fill_of_the_chain_is_meant(migrated: client.Store) -> None:
    """The market's list of tokens knows what the feed did not know yet."""
    await put(
        migrated, "api_market_rows", market("gamma", condition_id=CONDITION, token_ids=["6", "7"])
    )
    await put(migrated, "vw_trades_canonical", chain(outcome_index=1))
    await insert(migrated, [fill(0, outcome_index=-1), fill(1, outcome_index=-1, token_id="6")])
    rows = await migrated.rows(
        "SELECT source, outcome_index, token_id FROM vw_trades_unified ORDER BY source"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("blockchain", 1, "7"),
        ("polymarket_data_api", 0, "6"),
    ]


async def test_the_chain_takes_the_fee_of_the_same_fill(migrated: client.Store) -> None:
    await put(migrated, "vw_trades_canonical", chain(), chain(shares=9, usd_value=3))
    await insert(migrated, [fill(0, usdc_size=1.1, fees=0.1)])
    rows = await migrated.rows("SELECT shares, fee_amount FROM vw_trades_unified ORDER BY shares")
    assert [row["fee_amount"] for row in rows] == [0.1, None]


async def test_maker_and_taker_of_a_transaction_are_two(migrated: client.Store) -> None:
    maker = {"wallet_address": "34" * 20, "side": "SELL"}
    await put(migrated, "vw_trades_canonical", chain(), chain(**maker))
    await insert(migrated, [fill(0), fill(1, **maker), fill(2, wallet_address="56" * 20)])
    assert await unified(migrated) == {"blockchain": 2, "polymarket_data_api": 1}


async def test_a_condition_of_62_digits_in_the_users_tables(migrated: client.Store) -> None:
    short = "01" + "ab" * 30
    await put(migrated, "vw_trades_canonical", chain(condition_id_norm="0x" + short))
    await put(migrated, "pm_trades", internal(0, condition_id=short))
    await insert(migrated, [fill(0, condition_id=short + "00")])
    assert await unified(migrated) == {"blockchain": 1}
    assert await sources(migrated) == {"clob_fills": 1}


INFLATED = {"shares": 320.0, "collateral_amount": 128.0, "fee_amount": 12.8}


async def test_inflated_shares_are_divided_before_anything_matches(migrated: client.Store) -> None:
    """Case inflated-overlap: one fill, of 2.5 shares; a row of another source stays as it is."""
    other = internal(1, tx_hash="ef" * 32, **INFLATED)
    await put(migrated, "pm_trades", internal(0, data_source="goldsky", **INFLATED), other)
    await insert(migrated, [fill(0)])
    rows = await migrated.rows(
        "SELECT shares, collateral_amount, round(fee_amount, 6) AS fee "
        "FROM pm_trades_with_external ORDER BY shares"
    )
    assert [tuple(row.values()) for row in rows] == [(2.5, 1.0, 0.1), (320.0, 128.0, 12.8)]
    assert await suspects(migrated) == 0
    await put(migrated, "vw_trades_canonical", chain())
    assert await unified(migrated) == {"blockchain": 1, "clob_fills": 1}


async def test_the_setting_says_which_sources_are_inflated(migrated: client.Store) -> None:
    await put(migrated, "pm_trades", internal(0, data_source="it's mine", **INFLATED))
    await insert(migrated, [fill(0)])
    assert await suspects(migrated) == 1, "so far this looks like another fill"
    await inflation.declare(migrated, ["it's mine", "goldsky"])
    assert await suspects(migrated) == 0
    assert await sources(migrated) == {"it's mine": 1}
    await inflation.declare(migrated, [])
    assert await sources(migrated) == {"it's mine": 1, "polymarket_data_api": 1}


async def test_the_overlap_check_covers_the_chain(migrated: client.Store) -> None:
    """Sizes rounded to two decimals in the chain's table: each fill would count twice."""
    await put(migrated, "vw_trades_canonical", chain(shares=2.49))
    await insert(migrated, [fill(0)])
    (row,) = await migrated.rows("SELECT * FROM trade_overlap_suspects")
    assert (row["internal_source"], row["internal_shares"], row["external_shares"]) == (
        "blockchain", 2.49, 2.5,
    )  # fmt: skip
