"""A universe holds every hard case, at every size, and depends on its seed alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from polymarket_sandbox import (
    list_truth,
    official,
    options,
    positions,
    rows,
    truth,
    universe,
    universe_builder,
)

YEAR = 365 * 86_400
PRINT_TRUTH = (
    "import json\n"
    "from polymarket_sandbox import list_truth, official, options, positions, truth\n"
    "from polymarket_sandbox import universe_builder\n"
    "world = universe_builder.build(options.SandboxOptions(seed=5, trades=9_000))\n"
    "held = positions.Positions(world, 5)\n"
    "held = truth.Truth(world, held, official.Official(world, held, lambda: world.now))\n"
    "print(json.dumps(held.everything(world.now)))\n"
)


def world_of(**asked: int) -> universe.Universe:
    return universe_builder.build(options.SandboxOptions(**asked))


def truth_of(world: universe.Universe) -> dict[str, object]:
    held = positions.Positions(world, 1)
    said = official.Official(world, held, lambda: world.now)
    return truth.Truth(world, held, said).everything(world.now)


def wallet_rows(world: universe.Universe, name: str) -> rows.SmallInts:
    return world.by_wallet.rows_of(world.wallet_number[world.special[name]])


def condition_rows(world: universe.Universe, name: str) -> rows.SmallInts:
    return world.by_condition.rows_of(world.condition_number[world.special[name]])


def line_of(world: universe.Universe, number: int) -> tuple[int, ...]:
    """What makes two rows equal."""
    table = world.table
    columns = (table.tx, table.wallet, table.token, table.side, table.micro, table.ts)
    return tuple(int(column[number]) for column in columns)


def test_same_seed_same_truth_in_another_process() -> None:
    command = [sys.executable, "-c", PRINT_TRUTH]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert json.loads(printed) == truth_of(world_of(seed=5, trades=9_000))


def test_another_seed_another_truth() -> None:
    first, second = (truth_of(world_of(seed=seed, trades=6_000)) for seed in (5, 6))
    assert first["trades"] != second["trades"]


@pytest.mark.parametrize("trades", [0, 20_000])
def test_special_wallets_have_the_rows_their_names_promise(trades: int) -> None:
    world = world_of(trades=trades)
    counts = {
        name: len(wallet_rows(world, name)) for name in world.special if name.startswith("wallet")
    }
    assert counts["wallet_empty"] == 0
    assert counts["wallet_one_row"] == 1
    assert counts["wallet_full_page"] == 1000
    assert counts["wallet_tx_cut"] == 2000
    for name in ("wallet_full_page", "wallet_tx_cut", "wallet_one_row"):
        assert world.table.is_trade[wallet_rows(world, name)].all()
        assert (world.table.ts[wallet_rows(world, name)] > world.now - 3 * YEAR).all()


def test_trades_of_the_options_are_the_listed_ones() -> None:
    for asked in (10_000, 20_000, 50_000):
        world = world_of(trades=asked)
        listed = int((world.table.is_trade & world.table.listed).sum())
        assert asked - 60 < listed <= asked


def test_one_wallet_is_above_100_000_rows_from_300_000_on() -> None:
    world = world_of(trades=300_000)
    mine = wallet_rows(world, "wallet_big")
    assert int(world.table.is_trade[mine].sum()) > 100_000


@pytest.mark.parametrize("name", ["wallet_tx_cut", "market_busy_second"])
def test_twins_stand_on_both_sides_of_a_page_boundary(name: str) -> None:
    world = world_of()
    newest_first = (wallet_rows if name.startswith("wallet") else condition_rows)(world, name)[::-1]
    before, after = int(newest_first[999]), int(newest_first[1000])
    assert line_of(world, before) == line_of(world, after)
    assert world.table.tx[newest_first[998]] == world.table.tx[before]


def test_twins_stand_on_the_boundary_of_the_ascending_walk_too() -> None:
    world = world_of()
    oldest_first = wallet_rows(world, "wallet_tx_cut")
    assert line_of(world, int(oldest_first[999])) == line_of(world, int(oldest_first[1000]))


def test_one_second_of_a_market_is_longer_than_a_page() -> None:
    world = world_of()
    seconds = Counter(world.table.ts[condition_rows(world, "market_busy_second")].tolist())
    assert seconds.most_common(1)[0][1] > 1000


def test_old_trades_lie_beyond_three_years() -> None:
    world = world_of()
    for name in ("market_old", "market_old_tied"):
        old = world.table.ts[condition_rows(world, name)]
        assert len(old) > 100
        assert (old < world.now - 3 * YEAR).all()
    mine = world.table.ts[wallet_rows(world, "wallet_old")]
    assert (mine < world.now - 3 * YEAR).any()
    assert (mine > world.now - 3 * YEAR).any()


def test_makers_of_a_transaction_sum_to_its_takers() -> None:
    table = world_of().table
    signs = np.where(table.taker, table.micro, -table.micro)
    sums = np.bincount(table.tx[table.is_trade], weights=signs[table.is_trade])
    assert np.abs(sums).max() == 0
    seconds = [np.full(len(sums), fill) for fill in (np.iinfo(np.int64).max, 0)]
    np.minimum.at(seconds[0], table.tx[table.is_trade], table.ts[table.is_trade])
    np.maximum.at(seconds[1], table.tx[table.is_trade], table.ts[table.is_trade])
    met = seconds[1] > 0
    assert (seconds[0][met] == seconds[1][met]).all(), "a transaction has one second"


def test_every_kind_of_row_is_there_in_every_shape() -> None:
    world = world_of()
    table = world.table
    kinds = set(table.kind.tolist())
    assert kinds == set(range(len(rows.KINDS)))
    redeems = (table.kind == rows.KIND["REDEEM"]) & ~table.combo
    assert (table.token[redeems] >= 0).any(), "one row per outcome, since August 2026"
    assert (table.token[redeems] < 0).any(), "one combined row, before"
    assert table.combo.any()
    assert (~table.listed).sum() >= 20, "dust exists and is hidden"
    assert {rows.BUY, rows.SELL} <= set(table.side[table.is_trade].tolist())


def test_contracts_rank_among_the_largest_wallets() -> None:
    world = world_of()
    top = truth.ranking(world, "wallets", by="rows", top=30)
    assert sum(bool(row["contract"]) for row in top) == 2


def test_rows_of_a_transaction_are_not_always_adjacent() -> None:
    table = world_of().table
    tx = table.tx[table.is_trade]
    runs = 1 + int((tx[1:] != tx[:-1]).sum())
    assert 0 < runs - len(np.unique(tx)) < 500


def test_hidden_order_is_strict() -> None:
    table = world_of().table
    assert (np.diff(table.ts) >= 0).all()
    assert (np.diff(table.seq) > 0).all()


def test_markets_come_in_all_their_odd_forms() -> None:
    lists = world_of().lists
    bodies = [lists.market_body(market) for market in lists.markets]
    assert any(body.get("conditionId") == "" for body in bodies)
    assert any("conditionId" not in body for body in bodies)
    assert any(body.get("clobTokenIds") is None and body.get("positionIds") for body in bodies)
    assert any("volumeNum" not in body for body in bodies)
    assert any("endDate" not in body for body in bodies)
    assert any(len(json.loads(str(body["outcomes"]))) == 3 for body in bodies)
    assert sum(not market.listed for market in lists.markets) == 1
    assert any(market.closed and not market.active for market in lists.markets)
    assert any(market.archived for market in lists.markets)
    texts = "".join(market.question for market in lists.markets)
    assert "🔥" in texts
    assert '"' in texts
    assert "\x01" in texts
    assert "\x00" not in texts


def test_options_are_refused_with_their_name() -> None:
    wrong = {
        "trades": -1,
        "markets": 3,
        "wallets": 3,
        "port": 70_000,
        "events": 3,
        "now": 1_795_219_200_000,
    }
    for name, value in wrong.items():
        with pytest.raises(options.OptionsError, match=name):
            options.SandboxOptions(**{name: value})


@pytest.mark.parametrize(("events", "count"), [(25, 200), (80, 200), (195, 200), (1_000, 5_000)])
def test_the_number_of_events_can_be_chosen(events: int, count: int) -> None:
    lists = world_of(events=events, markets=count, trades=0).lists
    assert len(lists.markets) == count
    assert len(lists.events) == pytest.approx(events, abs=3)
    assert max(len(event.market_ids) for event in lists.events) >= count // events
    assert all(lists.event(n) for market in lists.markets for n in market.event_ids or ())


def test_payouts_take_all_shapes_and_some_lists_disagree() -> None:
    world = world_of(markets=2_000, trades=0)
    shapes = {tuple(sorted(market.payouts)) for market in world.lists.markets}
    assert {(), (0, 1_000_000), (500_000, 500_000), (300_000, 700_000)} <= shapes
    differing = list_truth.resolutions(world.lists, None, {})["disagreements"]
    names = [f"market_{who}_disagrees" for who in ("gamma", "clob", "resolution")]
    assert differing == sorted(world.special[name] for name in names)


def test_events_carry_the_categories() -> None:
    lists = world_of(markets=2_000, trades=0).lists
    labels = Counter(lists.index.tag_by_id[n].label for event in lists.events for n in event.tags)
    assert {"Politics", "Sports", "Crypto", "Earnings", "Weather"} <= set(labels)
    assert all(event.tags for event in lists.events)
    tagged = [bool(market.tags) for market in lists.markets]
    assert 0.5 < sum(tagged) / len(tagged) < 0.8, "many markets have tags through events alone"


def test_token_ids_are_derived_when_asked_for_alone() -> None:
    world = world_of(markets=3_000, trades=0)
    assert sum(market.token_ids is None for market in world.lists.markets) > 2_000
