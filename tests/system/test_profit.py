"""Profits, fees and what is held, against the sandbox's own ledger of balances, to the cent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests import harness

from polybackfill.polymarket import contracts

CENT = 0.005
# seed → what is read before everything; nothing: all at once, killed on the way.
FIRST: dict[int, tuple[str, ...]] = {1: ("wallets",), 2: ("markets", "events", "conditions"), 3: ()}
KILLED_AFTER_PAGES = (20, 60, 120)


@pytest.fixture(scope="module", params=[1, 2, pytest.param(3, marks=pytest.mark.long)])
def told(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    prepared: harness.PreparedStore,
) -> Iterator[tuple[harness.Sandbox, harness.Ground]]:
    """A universe of every shape with its reports: read wallets first, markets first, or mixed."""
    seed, folder = request.param, tmp_path_factory.mktemp("profit")
    size = {"trades": 5_000, "wallets": 40, "markets": 50}
    with (
        harness.sandbox(seed=seed, money_cases=True, **size) as sandbox,
        harness.ground(folder, sandbox.url, prepared=prepared, reports="true") as ground,
    ):
        ground.plan(sandbox)
        if FIRST[seed]:
            ground.run("run", *FIRST[seed]).expect(0)
        else:
            _killed_on_the_way(ground)
        ground.run("run", "--everything").expect(0)
        yield sandbox, ground


def _killed_on_the_way(ground: harness.Ground) -> None:
    for pages in KILLED_AFTER_PAGES:
        daemon = ground.start("run", "--everything")
        harness.until(lambda pages=pages: ground.acknowledged_pages() >= pages, f"{pages} pages")
        assert daemon.running, daemon.err()[-3000:]
        daemon.kill()


def by_wallet(ground: harness.Ground) -> dict[str, dict[str, Any]]:
    """wallet_pnl by wallet, with 0x."""
    return {f"0x{row['wallet_address']}": row for row in ground.sql("SELECT * FROM wallet_pnl")}


def differ(mine: float | None, true: float | None) -> bool:
    """More than half a cent apart, or only one of them known."""
    if mine is None or true is None:
        return mine is not true
    return abs(mine - true) > CENT


def test_every_wallet_equals_the_truth(told: tuple[harness.Sandbox, harness.Ground]) -> None:
    sandbox, ground = told
    truth, mine = {row["wallet"]: row for row in sandbox.lines("profit")}, by_wallet(ground)
    assert set(mine) == set(truth)
    wrong = {}
    for wallet, known in truth.items():
        row = mine[wallet]
        # Where sources dispute a result, both to count it and not to count it is right.
        disputed = "disputed" in known["reasons"]
        pairs = {
            "exact": (row["is_exact"], known["exact"]),
            "economic": (row["economic_pnl_usd"], known["economic_pnl_usd"]),
            "fees": (row["all_fees_usd"], known["fees_usd"]),
            "bought": (row["bought_usd"], known["bought_usd"]),
            "markets": (row["num_markets"], known["markets"]),
        }
        if not disputed:
            pairs["contract"] = (
                row["held_to_resolution_pnl_usd"] or 0,
                known["held_to_resolution_pnl_usd"],
            )
            pairs["resolved"] = (row["num_resolved_markets"], known["resolved_markets"])
            money = known["resolved_bought_usd"], known["bought_usd"]
            share = 100 * money[0] / money[1] if money[1] else None
            pairs["coverage"] = (row["coverage_money_pct"], share)
        if known["exact"]:
            pairs["value"] = (row["value_usd"], known["value_usd"])
        wrong |= {(wallet, name): pair for name, pair in pairs.items() if differ(*pair)}
    assert wrong == {}
    assert 30 < sum(row["exact"] for row in truth.values()) < len(truth)


def test_shares_held_equal_the_truth(told: tuple[harness.Sandbox, harness.Ground]) -> None:
    """Also those of wallets whose history is not closed, but for what no feed shows."""
    sandbox, ground = told
    exact = {row["wallet"][2:] for row in sandbox.lines("profit") if row["exact"]}
    true = {
        (row["wallet"][2:], row["condition_id"][2:], one["outcome_index"]): one["shares"]
        for row in sandbox.lines("profit/markets")
        for one in row["held"]
    }
    rows = ground.sql("SELECT wallet_address, condition_id, shares_held FROM wallet_market_pnl")
    mine = {
        (row["wallet_address"], row["condition_id"], outcome): shares
        for row in rows
        for outcome, shares in enumerate(row["shares_held"])
    }
    pairs = {key: (mine.get(key, 0), true.get(key, 0)) for key in {*mine, *true} if key[0] in exact}
    assert {key: pair for key, pair in pairs.items() if differ(*pair)} == {}
    assert len([key for key in true if key[0] in exact]) > 100
    reconciled = ground.sql(
        "SELECT wallet_address, condition_id, token_id, net_shares FROM vw_positions_reconciled "
        "WHERE net_shares != 0"
    )
    tokens = {
        row["condition_id"]: row["token_ids"]
        for row in ground.sql("SELECT condition_id, token_ids FROM market_tokens")
    }
    other = {
        (
            row["wallet_address"],
            row["condition_id"],
            tokens[row["condition_id"]].index(row["token_id"]),
        ): row["net_shares"]
        for row in reconciled
        if row["wallet_address"] not in contracts.CONTRACTS
    }
    pairs = {key: (mine.get(key, 0), other.get(key, 0)) for key in {*mine, *other}}
    assert {key: pair for key, pair in pairs.items() if differ(*pair)} == {}


def test_an_inexact_wallet_says_why(told: tuple[harness.Sandbox, harness.Ground]) -> None:
    sandbox, ground = told
    special, mine = sandbox.ask("universe")["special"], by_wallet(ground)
    reasons = {
        "wallet_transfer_in": ["position differs", "transfer"],
        "wallet_conv_unmatched": ["position differs", "transfer"],
        "wallet_stale_disputed_everywhere": ["disputed result"],
    }
    assert {name: mine[special[name]]["inexact_reasons"] for name in reasons} == reasons
    assert {bool(row["inexact_reasons"]) for row in mine.values() if row["is_exact"]} == {False}
    ranked = [row for row in mine.values() if row["economic_rank"]]
    assert all(row["is_exact"] for row in ranked)
    ranked.sort(key=lambda row: row["economic_rank"])
    assert ranked == sorted(ranked, key=lambda row: -row["economic_pnl_usd"])


def test_markets_add_up(told: tuple[harness.Sandbox, harness.Ground]) -> None:
    _, ground = told
    (row,) = ground.sql(
        "SELECT (SELECT sum(economic_pnl_usd) FROM wallet_market_pnl WHERE wallet_address IN "
        "(SELECT wallet_address FROM wallet_pnl WHERE is_exact)) AS markets, "
        "(SELECT sum(economic_pnl_usd) FROM wallet_pnl) AS wallets, "
        "(SELECT sum(held_to_resolution_pnl_usd) FROM wallet_market_pnl) AS contract_of_markets, "
        "(SELECT sum(realized_pnl_usd) FROM wallet_category_pnl) AS contract_of_categories"
    )
    assert row["markets"] == row["wallets"]
    assert row["contract_of_markets"] == row["contract_of_categories"]
