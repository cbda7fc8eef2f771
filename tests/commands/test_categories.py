"""Dimensions and P&L by category against the sandbox's truth, computed here a second time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors
from polybackfill.polymarket import contracts

from .conftest import NewDesk

# The sandbox's tags, in the order of priority of docs/analytics.md; the others mean nothing.
BUCKETS = {
    "Politics / Geopolitics": {"Politics", "Geopolitics", "World", "Elections"},
    "Macro / Economy": {"Economy", "Fed Rates"},
    "Earnings / Business": {"Tech", "Earnings", "Finance"},
    "Crypto / DeFi": {"Crypto"},
    "Sports": {"Sports", "Esports", "Soccer", "Basketball", "Tennis"},
    "Pop Culture / Media": {"Culture", "Movies"},
    "Weather / Disaster": {"Weather"},
}
NONE = "Uncategorized"


def bucket(tags: Iterable[str]) -> str:
    return next((name for name, known in BUCKETS.items() if known & set(tags)), NONE)


@dataclass
class Held:
    """A wallet in a market."""

    cash: Fraction = Fraction(0)
    spent: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    net: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    bought: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def side(self) -> str:
        for sizes in (self.net, self.bought):
            if sizes[0] != sizes[1]:
                return "YES" if sizes[0] > sizes[1] else "NO"
        return ""


@dataclass
class Sum:
    """A wallet in a category."""

    markets: int = 0
    resolved: int = 0
    wins: int = 0
    losses: int = 0
    pnl: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    spent: Fraction = Fraction(0)
    sides: list[str] = field(default_factory=list)


def truth(sandbox: harness.Sandbox) -> dict[str, dict[str, Sum]]:
    """Wallet → category → figures, from the sandbox's checkpoint and markets alone."""
    markets = {row["condition_id"]: row for row in sandbox.lines("markets")}
    books: dict[tuple[str, str], Held] = defaultdict(Held)
    for row in sandbox.lines("ledger"):
        if row["combo"] or row["wallet"].removeprefix("0x") in contracts.CONTRACTS:
            continue
        book = books[row["wallet"], row["condition_id"]]
        usd = Fraction(row["micro"], 1_000_000) * Fraction(str(row["price"]))
        sign = 1 if row["side"] == "BUY" else -1
        book.cash -= sign * usd
        book.fees += Fraction(str(row["fee"]))
        book.net[row["outcome_index"]] += sign * row["micro"]
        if sign > 0:
            book.spent += usd
            book.bought[row["outcome_index"]] += row["micro"]
    found: dict[str, dict[str, Sum]] = defaultdict(lambda: defaultdict(Sum))
    for (wallet, condition), book in books.items():
        market = markets.get(condition, {"tags": [], "payouts": []})
        one = found[wallet][bucket(market["tags"])]
        one.markets += 1
        if sum(market["payouts"]) == 0:
            continue
        pnl = book.cash + sum(
            Fraction(net * market["payouts"][outcome], 10**12) for outcome, net in book.net.items()
        )
        one.resolved += 1
        one.wins += pnl > Fraction(1, 10**6)
        one.losses += pnl < -Fraction(1, 10**6)
        one.pnl += pnl
        one.fees += book.fees
        one.spent += book.spent
        one.sides.append(book.side())
    return found


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """A desk with all trades and lists of the sandbox, dimensions and breakdown built."""
    shared_sandbox.reset()
    desk = new_desk()
    desk.move_out()
    desk.plan_keys(*shared_sandbox.wallets, *shared_sandbox.conditions)
    # A market's feed lacks the USD that changed hands, and with it the fee.
    desk.call("run", "wallets")
    desk.call("run", "--everything", within_s=120)
    desk.call("dims", "build")
    desk.call("report", "categories")
    return desk


def read(desk: desks.Desk, name: str) -> Any:
    return json.loads((desk.data / name).read_bytes())


def test_pnl_equals_the_truth_to_the_cent(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """Seed 004, P&L contract: resolved markets only, fractional payouts, fees reported separately.
    Seed 004, wallet category breakdown: wins per market, side from the outcome held, sum of
    categories = overall, coverage in every record and sentence.
    """
    wallets = read(filled, "wallet_category_breakdown.json")["wallets"]
    expected = truth(shared_sandbox)
    assert {one["address"] for one in wallets} == set(expected)
    assert len(wallets) > 50
    for one in wallets:
        sums, overall = expected[one["address"]], one["overall_stats"]
        assert {record["category"] for record in one["by_category"]} == set(sums)
        for record in one["by_category"]:
            known = sums[record["category"]]
            assert abs(record["realized_pnl_usd"] - known.pnl) < Fraction(1, 1000)
            assert abs(record["fees_usd"] - known.fees) < Fraction(1, 1000)
            assert abs(record["total_position_size_usd"] - known.spent) < Fraction(1, 1000)
            assert record["num_markets"] == known.markets
            assert record["num_resolved_markets"] == known.resolved
            assert record["num_winning_markets"] == known.wins
            assert record["num_losing_markets"] == known.losses
            assert record["yes_count"] == known.sides.count("YES")
            assert record["no_count"] == known.sides.count("NO")
            assert record["coverage_pct"] == 100 * 100 * known.resolved // known.markets / 100
            rate = known.wins / known.resolved if known.resolved else None
            assert record["win_rate"] == (None if rate is None else pytest.approx(rate, abs=1e-6))
        whole = sum(record["realized_pnl_usd"] for record in one["by_category"])
        assert overall["realized_pnl_usd"] == pytest.approx(whole, abs=1e-6)
        assert abs(overall["realized_pnl_usd"] - sum(s.pnl for s in sums.values())) < 0.005
        assert f"{overall['coverage_pct']:g}% coverage" in one["summary_text"]
        pnls = [record["realized_pnl_usd"] for record in one["by_category"]]
        assert pnls == sorted(pnls, reverse=True)
    assert any(one["overall_stats"]["coverage_pct"] < 100 for one in wallets)
    assert sum(len(one["by_category"]) for one in wallets) > 200


def test_ranks_and_metadata(filled: desks.Desk) -> None:
    content = read(filled, "wallet_category_breakdown.json")
    shown = [one["overall_stats"] for one in content["wallets"]]
    ranked = [one for one in shown if one["coverage_band"] != "none"]
    assert [one["rank"] for one in ranked] == list(range(1, len(ranked) + 1))
    assert ranked == sorted(ranked, key=lambda one: -one["realized_pnl_usd"])
    assert content["metadata"]["num_wallets"] == len(shown)
    assert content["metadata"]["data_source"] == "polymarket_data_api"
    assert content["metadata"]["markets_with_category"] > 20


def test_the_text_does_not_depend_on_the_day(filled: desks.Desk) -> None:
    """Seed 004, wallet category breakdown: summary text deterministic."""
    before = read(filled, "wallet_category_breakdown.json")["wallets"]
    told = filled.json("report", "categories")
    assert read(filled, "wallet_category_breakdown.json")["wallets"] == before
    assert told["samples"] == [one["summary_text"] for one in before[:5]]
    assert sum(told["bands"].values()) == told["num_wallets"] == len(before)
    assert "written: " in filled.call("report", "categories").out


def test_dimensions_equal_the_truth(filled: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    """Seed 004, dimension build: both JSON files with fields, category and tags; payout 0 stored
    as 0; category by tag map, Uncategorized as fallback."""
    markets = {
        row["condition_id"].lower().removeprefix("0x").ljust(64, "0"): row
        for row in shared_sandbox.lines("markets")
        if row["condition_id"]
    }
    seeds = {row["condition_id"]: row for row in read(filled, "markets_dim_seed.json")}
    assert set(seeds) == {f"0x{condition}" for condition in markets}
    for condition, known in markets.items():
        seed = seeds[f"0x{condition}"]
        assert set(seed["tags"]) - {"All"} == set(known["tags"]) - {"All"}
        assert seed["category"] == bucket(known["tags"])
        assert seed["event_id"] == known["event_id"]
        payouts = [payout / 1e6 for payout in known["payouts"]]
        assert seed["payouts"] == payouts
        if len(payouts) == 2:
            assert [seed["payout_yes"], seed["payout_no"]] == payouts
            paid_more = {True: "YES", False: "NO"}[payouts[0] > payouts[1]]
            assert seed["resolved_outcome"] == (None if payouts[0] == payouts[1] else paid_more)
        else:
            assert seed["payout_yes"] is seed["payout_no"] is seed["resolved_outcome"] is None
        if known["listed"]:
            assert seed["market_id"] == known["market_id"]
            assert seed["question"] == known["question"]
    assert {seed["payout_yes"] for seed in seeds.values()} >= {0, 1, 0.5, None}
    found = {seed["category"] for seed in seeds.values()}
    assert len(found) > 4
    assert found <= {*BUCKETS, NONE}


def test_events(filled: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    events = read(filled, "events_dim_seed.json")
    counts = shared_sandbox.truth()["events"]
    assert len(events) == len({row["event_id"] for row in events})
    statuses = [row["status"] for row in events]
    assert statuses.count("closed") == counts["closed"]
    assert len(events) == counts["open"] + counts["closed"]
    assert {row["category"] for row in events} <= {*BUCKETS, NONE}
    assert all(row["ends_at"] is None or row["ends_at"].endswith("Z") for row in events)
    assert all(row["category"] == bucket(row["tags"]) for row in events)


def test_coverage_report(filled: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    """Seed 004, dimension build: coverage report fields."""
    report = read(filled, "dimension_coverage_report.json")
    traded = filled.value("SELECT uniqExact(condition_id) FROM external_trades_raw")
    assert report["total_conditions_across_qualified_wallets"] == traded
    assert 0 < report["conditions_with_valid_market_id"] <= report["conditions_in_markets_dim"]
    assert report["markets_with_event_id"] <= report["conditions_in_markets_dim"] <= traded
    assert report["unique_events_in_events_dim"] == len(read(filled, "events_dim_seed.json"))
    # Rounded down: 100 % says that nothing is missing.
    shares = {
        "market_id": ("conditions_with_valid_market_id", traded),
        "event_id": ("markets_with_event_id", report["conditions_in_markets_dim"]),
        "category": ("events_with_category", report["unique_events_in_events_dim"]),
    }
    assert report["coverage_rates"] == {
        name: 100 * 100 * report[part] // whole / 100 for name, (part, whole) in shares.items()
    }
    built = filled.json("dims", "build")
    assert built["coverage_rates"] == report["coverage_rates"]
    lines = filled.call("dims", "build").out.splitlines()
    said = [
        line.split(maxsplit=1) for line in lines if line[:12].strip().replace(",", "").isdigit()
    ]
    assert sorted(int(count.replace(",", "")) for count, _ in said) == sorted(
        count for count in built.values() if isinstance(count, int)
    ), "all that the report counts"
    assert not any("_" in words for _, words in said)


def test_one_row_per_key_after_any_number_of_builds(filled: desks.Desk) -> None:
    """Seed 004, dimension build: tables; one row per key to a plain SELECT."""
    for table, key in (
        ("markets_dim", "condition_id"),
        ("events_dim", "event_id"),
        ("condition_market_map", "condition_id"),
    ):
        before = filled.sql(f"SELECT * EXCEPT ingested_at FROM {table} ORDER BY {key}")
        filled.call("dims", "build")
        assert filled.sql(f"SELECT * EXCEPT ingested_at FROM {table} ORDER BY {key}") == before
        assert len({row[key] for row in before}) == len(before) > 20
    leftovers = "SELECT name FROM system.tables WHERE name LIKE '%_fresh'"
    assert filled.sql(f"{leftovers} AND database = currentDatabase()") == []


def test_nothing_to_build_from(desk: desks.Desk) -> None:
    for words, remedy in (
        (("dims", "build"), "polybackfill run markets events"),
        (("report", "categories"), "no trade is stored yet"),
    ):
        told = desk.call(*words, code=errors.EXIT_CONFIG)
        assert remedy in told.err


def test_without_dimensions_everything_is_uncategorized(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    desk.move_out()
    desk.call("run", "--wallet", sandbox.wallets[0])
    told = desk.call("report", "categories")
    assert "there are no dimensions" in told.err
    (one,) = read(desk, "wallet_category_breakdown.json")["wallets"]
    assert [record["category"] for record in one["by_category"]] == [NONE]
    (record,) = one["by_category"]
    assert record["win_rate"] is record["avg_pnl_per_market"] is None
    assert record["coverage_pct"] == one["overall_stats"]["coverage_pct"] == 0
    short = f"{one['address'][:6]}…{one['address'][-4:]}"
    assert one["summary_text"] == (
        f"Wallet {short} has no resolved market and 0% coverage. "
        "The economic profit is unknown: unknown price."
    )
