"""`report wallet`, `report market` and the check of official figures, over a run of everything."""

from __future__ import annotations

from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

from polybackfill.reports import market_figures


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """Everything fetched, profits computed, and Polymarket's figures of all but a few wallets."""
    shared_sandbox.reset()
    desk = new_desk(official_wallets=40)
    desk.call("run", within_s=120)
    desk.call("dims", "build")
    desk.call("report", "categories")
    return desk


def test_the_first_wallets_of_the_plan_have_polymarkets_figure(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    rows = filled.sql(
        "SELECT wallet_address AS wallet, economic_pnl, fees, trade_count, answer "
        "FROM api_user_stats"
    )
    first = filled.sql(
        "SELECT wallet_address AS wallet FROM wallet_backfill_plan "
        "ORDER BY priority_rank, wallet LIMIT 40"
    )
    assert {row["wallet"] for row in rows} == {row["wallet"] for row in first}
    truth = {row["wallet"]: row for row in shared_sandbox.lines("profit")}
    for row in rows:
        said = truth[f"0x{row['wallet']}"]
        assert row["answer"] == "figures"
        assert row["economic_pnl"] == pytest.approx(said["official_pnl_usd"], abs=0.005)
        assert row["fees"] == pytest.approx(said["fees_usd"], abs=0.005)
    receipts = filled.json("check", "receipts", "user-stats", "--limit", 100)
    assert receipts["found"] == 40
    assert {one["rows"] for one in receipts["receipts"]} == {1}


def verdict(desk: desks.Desk, name: str, *words: str, code: int = 0) -> dict[str, Any]:
    """What one check of `validate` says."""
    (check,) = desk.json("validate", "--only", name, *words, code=code)["checks"]
    found: dict[str, Any] = check
    return found


def test_official_figures_agree_and_one_that_was_changed_by_2_usd_is_found(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """The figures that a run reads: those of wallets whose history is closed all agree."""
    before = verdict(filled, "official-pnl")
    assert before["outcome"] == "passed", before
    exact = {row["wallet"] for row in shared_sandbox.lines("profit") if row["exact"]}
    assert before["evidence"]["differing"] == 0
    assert before["evidence"]["share_within"] == 1
    listed = {row["wallet"]: row for row in before["examples"]}
    assert all(row["reason"] for row in listed.values())
    stored = filled.sql("SELECT concat('0x', wallet_address) AS wallet FROM api_user_stats")
    compared = [row["wallet"] for row in stored if row["wallet"] not in listed]
    assert len(compared) == before["evidence"]["compared"] > 10
    assert set(compared) <= exact
    changed = compared[0]
    shared_sandbox.ask("official", {"wallet": changed, "usd": 2})
    try:
        filled.call("run", "user-stats", "--wallet", changed)
        found = verdict(filled, "official-pnl", code=3)
    finally:
        shared_sandbox.ask("official", {"wallet": changed, "usd": -2})
        filled.call("run", "user-stats")
    wrong = [row for row in found["examples"] if row["outcome"] == "differs"]
    assert [row["wallet"] for row in wrong] == [changed]
    assert wrong[0]["difference"] == pytest.approx(-2, abs=0.01)
    assert wrong[0]["trades"] == pytest.approx(-2, abs=0.01)
    assert wrong[0]["reason"]


def test_live_volume_agrees_and_a_fill_that_is_gone_is_missed(filled: desks.Desk) -> None:
    """Every event in requests of twenty; Gamma's figure is the second witness."""
    found = verdict(filled, "live-volume")
    assert found["outcome"] == "passed", found
    assert found["evidence"]["events"] > 5
    assert found["evidence"]["markets"] > 20
    assert verdict(filled, "live-volume", "--offline")["outcome"] == "skipped"


def test_the_report_of_a_wallet_tells_all_of_it(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """Both profits, Polymarket's figure and the difference; per market and per category."""
    truth = max(
        (row for row in shared_sandbox.lines("profit") if row["exact"]),
        key=lambda row: row["markets"],
    )
    told = filled.json("report", "wallet", truth["wallet"])
    parts = {part["name"]: part for part in told["parts"]}
    assert parts["profit"]["ours"] == pytest.approx(truth["economic_pnl_usd"], abs=0.005)
    assert parts["profit"]["official"] == pytest.approx(truth["official_pnl_usd"], abs=0.005)
    assert parts["profit"]["difference"] == pytest.approx(0, abs=0.01)
    assert parts["fees"]["ours"] == pytest.approx(truth["fees_usd"], abs=0.005)
    totals = told["totals"]
    for name in ("held_to_resolution_pnl_usd", "bought_usd", "sold_usd", "redeemed_usd"):
        assert totals[name] == pytest.approx(truth[name], abs=0.005), name
    markets = {row["condition_id"]: row for row in shared_sandbox.lines("profit/markets")
               if row["wallet"] == truth["wallet"]}  # fmt: skip
    for row in told["markets"]:
        said = markets[row["condition"]]["economic_pnl_usd"]
        assert row["economic_pnl_usd"] == pytest.approx(said, abs=0.005)
    listed = sum(row["economic_pnl_usd"] for row in told["categories"])
    assert listed == pytest.approx(truth["economic_pnl_usd"], abs=0.01)
    assert told["curve"][-1][1] == pytest.approx(truth["official_pnl_usd"], abs=0.005)
    text, page = (filled.folder.joinpath(name).read_text() for name in told["files"])
    shown = f"{truth['economic_pnl_usd']:+,.2f}"
    assert text.count(shown) >= 2
    assert f"<b>{shown}</b>" in page
    assert page.count("<polyline") == 1
    assert "<script" not in page


def test_what_is_not_known_of_a_wallet_is_seen_to_be_unknown(
    filled: desks.Desk, shared_sandbox: harness.Sandbox, new_desk: NewDesk
) -> None:
    inexact = next(
        row for row in shared_sandbox.lines("profit") if not row["exact"] and row["markets"]
    )
    offline = filled.json("report", "wallet", inexact["wallet"], "--offline")
    assert offline["parts"][0]["ours"] is None
    assert offline["totals"]["inexact_reasons"]
    text, page = (filled.folder.joinpath(name).read_text() for name in offline["files"])
    assert "Economic profit unknown" in text
    assert "The curve is unknown: --offline" in text
    assert '<span class="unknown">unknown</span>' in page
    nobody = f"0x{'ab' * 20}"
    refused = filled.call("report", "wallet", nobody, code=78).err
    assert (
        f"nothing is stored about {nobody}; fetch it: polybackfill run wallets --wallet {nobody}"
        in refused
    )
    assert "is not a wallet" in filled.call("report", "wallet", "0x12", code=78).err
    unasked = filled.call("report", "wallet", "@nobody", "--offline", code=78).err
    assert "the store does not know nobody, and the API is not asked: give the address" in unasked
    assert new_desk().call("report", "wallet", nobody, code=78).err


def test_a_wallet_that_a_run_was_told_to_read_is_read(
    shared_sandbox: harness.Sandbox, new_desk: NewDesk
) -> None:
    """No plan names it, and what the words of a run named is no list for the next run."""
    desk, wallet = new_desk(shared_sandbox.url), shared_sandbox.wallets[5]
    desk.call("run", "wallets", "--wallet", wallet)
    desk.call("report", "categories")
    told = desk.json("report", "wallet", wallet, "--offline")
    assert "unread history" not in told["totals"]["inexact_reasons"]
    (row,) = desk.plan_of().values()
    assert (row["status"], row["source"]) == ("done", "found in the words of a run")
    assert "fetches everything" in desk.call("validate", "--offline", code=None).out
    shared_sandbox.reset()
    desk.call("run", "wallets", "--wallet", wallet)
    assert shared_sandbox.asked() == {}
    other = shared_sandbox.wallets[6]
    desk.call("run", "wallets", "--wallet", other, "--since", "2026-01-01")
    assert set(desk.plan_of()) == {wallet[2:]}, "of a window nothing is known but the window"
    nobody = f"0x{'ab' * 20}"
    desk.call("run", "wallets", "--wallet", nobody)
    (receipt,) = desk.json("report", "wallet", nobody, "--offline")["receipts"]
    assert (receipt["state"], receipt["rows"]) == ("done", 0), "read, and it has no trade"


def test_a_wallet_is_named_by_its_profile_too(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    known = {row["wallet"] for row in shared_sandbox.lines("profit")}
    search = f"{shared_sandbox.url}/gamma/public-search?search_profiles=true&limit_per_type=50&q=a"
    found = [row for row in harness.ask(search)["profiles"] if row["name"].isalnum()]
    names = [row["name"].casefold() for row in found]
    rows = [
        row
        for row in found
        if row["proxyWallet"] in known and names.count(row["name"].casefold()) == 1
    ]
    named = filled.folder / "one.md"
    for name in (f"@{rows[0]['name']}", f"https://polymarket.com/@{rows[0]['name']}"):
        told = filled.json("report", "wallet", name, "--output", named)
        assert told["wallet"] == rows[0]["proxyWallet"]
        assert told["files"] == [str(named), str(named.with_suffix(".html"))]
    refused = filled.call("report", "wallet", name, "--output", "x.html", code=78).err
    assert "name the Markdown file" in refused


def test_the_report_of_a_market_tells_all_of_it(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """Fills, three volumes that agree, who traded, receipts, and every candle."""
    busiest = shared_sandbox.ask("conditions?top=1&by=rows")[0]
    (truth,) = (
        row
        for row in shared_sandbox.lines("markets")
        if row["condition_id"] == busiest["condition_id"]
    )
    told = filled.json("report", "market", truth["slug"])
    assert told["condition"] == busiest["condition_id"]
    assert told["fills"]["fills"] == busiest["rows"]
    ours = told["fills"]["shares"]
    assert told["market"]["volume"] == pytest.approx(ours, abs=1)
    assert told["live"]["shares"] == pytest.approx(ours, abs=0.01)
    assert told["live"]["unknown"] == ""
    assert {one["token_id"] for one in told["outcomes"]} <= set(truth["token_ids"])
    assert sum(one["fills"] for one in told["outcomes"]) == busiest["rows"]
    assert [one["kind"] for one in told["receipts"]].count("conditions") == 1
    aside = filled.checkpoint.with_name("aside")
    filled.checkpoint.rename(aside)
    without = filled.json("report", "market", truth["slug"], "--offline")
    aside.rename(filled.checkpoint)
    assert without["receipts"] == told["receipts"], "they do not need the checkpoint"
    earned = {
        row["wallet"]: row
        for row in shared_sandbox.lines("profit/markets")
        if row["condition_id"] == truth["condition_id"]
    }
    known = [one for one in told["wallets"] if one["economic_pnl_usd"] is not None]
    for one in known:
        said = earned[one["wallet"]]["economic_pnl_usd"]
        assert one["economic_pnl_usd"] == pytest.approx(said, abs=0.005)
    assert len(known) > len(told["wallets"]) / 2
    stored = filled.sql(
        "SELECT token_id AS token, count() AS candles FROM trade_candles WHERE condition_id = "
        f"'{truth['condition_id'][2:]}' AND interval_s = {told['candle_s']} GROUP BY token"
    )
    assert {token: len(points) for token, points in told["candles"].items()} == {
        row["token"]: min(row["candles"], market_figures.MOST_CANDLES) for row in stored
    }
    text, page = (filled.folder.joinpath(name).read_text() for name in told["files"])
    assert f"{busiest['rows']:,} fills of " in text
    assert page.count('<svg viewBox="0 0 720 170"') == len(stored) > 0
    assert page.count("<rect ") == sum(map(len, told["candles"].values()))


def test_what_a_market_is_called_is_text_and_what_is_not_known_is_seen(
    filled: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    (market,) = (
        row for row in shared_sandbox.lines("markets") if row["question"].startswith("<script>")
    )
    told = filled.json("report", "market", market["condition_id"], "--offline")
    assert told["market"]["question"] == market["question"]
    assert told["live"] == {"shares": None, "unknown": "--offline: the API was not asked"}
    text, page = (filled.folder.joinpath(name).read_text() for name in told["files"])
    assert "\\<script\\>alert" in text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert '<span class="unknown">unknown</span>' in page
    nothing = f"0x{'ab' * 32}"
    refused = filled.call("report", "market", nothing, "--offline", code=78).err
    assert f"nothing is stored about {nothing}; fetch it: polybackfill run conditions" in refused
    assert "is not a condition id" in filled.call("report", "market", "@x", code=78).err
