"""`watchlist`: the switch, the rules, the fields, with and without dimensions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

SWITCH = "AUTONOMOUS_TRADING_ENABLED"


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """A desk with trades, lists and a breakdown, but without dimensions; nothing is watched."""
    shared_sandbox.reset()
    desk = new_desk()
    desk.move_out()
    desk.plan_keys(*shared_sandbox.wallets)
    desk.call("run", "wallets", "markets", "events", "resolutions")
    desk.call("report", "categories")
    return desk


@pytest.fixture
def desk_with_wallets(filled: desks.Desk) -> desks.Desk:
    """The same with an empty watchlist, switched on."""
    for name in ("watchlist.json", "markets_dim_seed.json", "events_dim_seed.json"):
        (filled.data / name).unlink(missing_ok=True)
    (filled.data / "runtime" / "watchlist_events.log").unlink(missing_ok=True)
    filled.environment[SWITCH] = "true"
    return filled


def log(desk: desks.Desk) -> list[dict[str, Any]]:
    text = (desk.data / "runtime" / "watchlist_events.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


def auto(desk: desks.Desk, *words: object) -> Any:
    return desk.json("watchlist", "auto", "--since", "2015-01-01", *words)


@pytest.mark.parametrize("given", [None, "", "True", "TRUE", "1", "yes", "true "])
def test_only_exactly_true_switches_it_on(desk_with_wallets: desks.Desk, given: str | None) -> None:
    """Seed 004, watchlist: disabled unless the switch is exactly true."""
    desk = desk_with_wallets
    del desk.environment[SWITCH]
    if given is not None:
        desk.environment[SWITCH] = given
    told = desk.call("watchlist", "auto", "--since", "2015-01-01", "--json")
    assert json.loads(told.out) == {"enabled": False, "added": []}
    assert "only 'true' switches this on" in told.err
    assert not (desk.data / "watchlist.json").exists()


def test_what_wallets_with_a_figure_bought(desk_with_wallets: desks.Desk) -> None:
    """Seed 004, watchlist: coverage of 2 % or more; exits do nothing; one entry per strategy and
    market; fields of the entry and the audit line."""
    desk = desk_with_wallets
    desk.call("dims", "build")
    report = auto(desk, "--strategy", "s1", "--strategy-name", "First")
    expected = desk.sql(
        "SELECT DISTINCT condition_id AS c FROM external_trades_raw "
        "WHERE side = 'BUY' AND wallet_address IN "
        "(SELECT wallet_address FROM wallet_pnl WHERE coverage_pct >= 2) "
        "AND condition_id NOT IN (SELECT condition_id FROM market_payouts)"
    )
    added = report["added"]
    assert {one["condition_id"] for one in added} == {f"0x{row['c']}" for row in expected}
    assert len(added) == len(expected) > 5
    figures = {f"0x{row['wallet_address']}": row for row in desk.sql("SELECT * FROM wallet_pnl")}
    markets = {row["condition_id"]: row for row in read(desk, "markets_dim_seed.json")}
    for one in added:
        metadata, market = one["metadata"], markets[one["condition_id"]]
        wallet = figures[metadata["triggered_by_wallet"]]
        assert one["strategy_id"] == "s1"
        assert one["status"] == "watching"
        assert one["side"] in {"YES", "NO", None}
        for name in ("market_id", "category", "event_id"):
            assert one[name] == market[name]
        assert metadata["category"] == market["category"]
        assert set(one["tags"]) == set(metadata["tags"]) >= set(market["tags"])
        assert metadata["market_title"] == market["question"]
        assert metadata["auto_added"] is True
        assert metadata["wallet_rank"] == int(wallet["rank"]) > 0
        assert metadata["wallet_coverage_pct"] == round(wallet["coverage_pct"], 2) >= 2
        assert metadata["wallet_realized_pnl_usd"] == pytest.approx(wallet["realized_pnl_usd"])
        assert bool(metadata["event_title"]) == bool(one["event_id"])
    lines = log(desk)
    assert [line["condition_id"] for line in lines] == [one["condition_id"] for one in added]
    assert {line["strategy_name"] for line in lines} == {"First"}
    assert all(
        line["wallet"] == one["metadata"]["triggered_by_wallet"]
        for line, one in zip(lines, added, strict=True)
    )
    assert all(
        line["canonical_category"] == one["category"]
        for line, one in zip(lines, added, strict=True)
    )
    # again: nothing; another strategy: all of them
    assert auto(desk, "--strategy", "s1")["added"] == []
    assert len(auto(desk, "--strategy", "s2")["added"]) == len(added)
    shown = desk.json("watchlist", "list")
    assert shown["statistics"]["total"] == shown["statistics"]["autoAdded"] == 2 * len(added)
    assert shown["statistics"]["manualAdded"] == 0
    assert sum(shown["statistics"]["triggeredByWallets"].values()) == 2 * len(added)
    assert len(desk.json("watchlist", "list", "--strategy", "s2")["entries"]) == len(added)
    assert f"{2 * len(added)} entries" in desk.call("watchlist", "list").out


def test_the_side_is_the_outcome_bought_first(desk_with_wallets: desks.Desk) -> None:
    for one in auto(desk_with_wallets)["added"]:
        (first,) = desk_with_wallets.sql(
            "SELECT groupUniqArray(outcome_index) AS outcomes FROM external_trades_raw "
            f"WHERE condition_id = '{one['condition_id'][2:]}' AND side = 'BUY' "
            f"AND wallet_address = '{one['metadata']['triggered_by_wallet'][2:]}'"
        )
        # the third outcome has no side, nor has one that is unknown
        assert {"YES": {0}, "NO": {1}, None: {2, -1}}[one["side"]] & set(first["outcomes"])


def test_without_dimensions_it_works_with_nulls_and_one_warning(
    desk_with_wallets: desks.Desk,
) -> None:
    """Seed 004, watchlist: missing dimension file → works with nulls and one warning."""
    told = desk_with_wallets.call("watchlist", "auto", "--since", "2015-01-01", "--json")
    added = json.loads(told.out)["added"]
    assert len(added) > 5
    assert told.err.count("markets_dim_seed.json and events_dim_seed.json not found") == 1
    for one in added:
        assert one["market_id"] is one["category"] is one["event_id"] is None
        assert one["metadata"]["market_title"] is one["metadata"]["event_title"] is None
        assert one["tags"] == []
        assert one["condition_id"]


def test_few_resolutions_are_said(desk_with_wallets: desks.Desk) -> None:
    told = desk_with_wallets.call("watchlist", "auto")
    assert "markets have a resolution, fewer than 3,000" in told.err


def test_by_hand(desk_with_wallets: desks.Desk) -> None:
    desk = desk_with_wallets
    desk.call("dims", "build")
    desk.environment.pop(SWITCH)
    first, second = [row for row in read(desk, "markets_dim_seed.json") if row["market_id"]][:2]
    (one,) = desk.json("watchlist", "add", first["market_id"], "--side", "no", "--reason", "x")[
        "added"
    ]
    assert (one["condition_id"], one["side"], one["reason"]) == (first["condition_id"], "NO", "x")
    assert one["category"] == first["category"]
    assert one["metadata"]["auto_added"] is False
    bare = second["condition_id"][2:].upper()
    words = ("watchlist", "add", first["condition_id"], bare)
    (other,) = desk.json(*words)["added"]
    assert other["market_id"] == second["market_id"]
    assert "watched already" in desk.call(*words).out
    assert desk.json("watchlist", "list")["statistics"]["manualAdded"] == 2
    assert desk.json("watchlist", "remove", "7", "--strategy", "other") == {"removed": []}
    (gone,) = desk.json("watchlist", "remove", bare)["removed"]
    assert gone == other
    assert "not on the list" in desk.call("watchlist", "remove", bare).out
    assert [line["action"] for line in log(desk)] == ["added", "added", "removed"]
    unknown = desk.call("watchlist", "add", "987654321", first["market_id"])
    assert "added" in unknown.out
    assert "the dimensions know no market 987654321" in unknown.err
    assert first["market_id"] not in unknown.err
    refused = desk.call("watchlist", "add", "0x12", code=errors.EXIT_CONFIG)
    assert "0x12" in refused.err


def test_wrapped_files_and_tag_objects_are_read(desk_with_wallets: desks.Desk) -> None:
    """Seed 004, watchlist: files as objects fill the maps; the category comes from the tags."""
    desk = desk_with_wallets
    condition = "0x" + "ab" * 32
    markets = [{"condition_id": condition, "market_id": "7", "event_id": "a-slug", "question": "?"}]
    events = [
        {
            "event_id": "a-slug",
            "title": "T",
            "category": None,
            "tags": [{"label": "Fed Rates", "slug": "fed-rates"}],
        }
    ]
    (desk.data / "markets_dim_seed.json").write_text(json.dumps({"markets": markets}))
    (desk.data / "events_dim_seed.json").write_text(json.dumps({"events": events}))
    (one,) = desk.json("watchlist", "add", condition)["added"]
    assert (one["market_id"], one["category"], one["tags"]) == (
        "7",
        "Macro / Economy",
        ["Fed Rates"],
    )
    assert one["metadata"]["event_title"] == "T"


def test_default_markets_when_no_wallet_has_a_figure(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    desk.move_out()
    desk.environment |= {
        SWITCH: "true",
        "DEFAULT_MARKET_ID": "12",
        "DEFAULT_CONDITION_IDS": ",".join(sandbox.conditions[:3]),
        "FALLBACK_WATCHLIST_SIZE": "2",
    }
    told = desk.call("watchlist", "auto", "--json")
    assert "the default markets are watched instead" in told.err
    added = json.loads(told.out)["added"]
    assert [one["condition_id"] for one in added] == sandbox.conditions[:2]
    assert {one["side"] for one in added} == {None}
    for name in ("DEFAULT_MARKET_ID", "DEFAULT_CONDITION_IDS"):
        del desk.environment[name]
    told = desk.call("watchlist", "auto", "--json")
    assert "no market is added" in told.err
    assert json.loads(told.out)["added"] == []


def read(desk: desks.Desk, name: str) -> Any:
    return json.loads((desk.data / name).read_bytes())
