"""`report coverage`: all sections in order, figures that are true, and a page a browser shows."""

from __future__ import annotations

import html.parser
import re
import time

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

from polybackfill.kinds import registry
from polybackfill.polymarket import contracts
from polybackfill.run import run_request

SECTIONS = [
    "External coverage status",
    "Executive Summary",
    "What Is Proven",
    "Wallet-Level Coverage",
    "Market-Level Coverage",
    "UNION View Validation",
    "For the P&L Consumer",
    "Next Steps",
]


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """Half the wallets and all conditions fetched, some fills in pm_trades, one unknown wallet."""
    desk = new_desk()
    shared_sandbox.reset()
    desk.plan_keys(*shared_sandbox.wallets, *shared_sandbox.conditions)
    desk.call("run", "wallets", "conditions", "--limit", "20")
    desk.sql(
        "INSERT INTO pm_trades SELECT * REPLACE ('clob_fills' AS data_source) "
        "FROM pm_trades_with_external ORDER BY fill_id LIMIT 500"
    )
    desk.sql(
        "INSERT INTO pm_trades (fill_id, wallet_address, condition_id, tx_hash, side, shares, "
        f"collateral_amount, question) VALUES ('own', '{'ab' * 20}', '{'cd' * 32}', 'ee', 'BUY', "
        "10, 5, 'A | question <b>with</b> *marks*')"
    )
    return desk


def report(desk: desks.Desk, name: str = "status.md") -> str:
    desk.call("report", "coverage", "--output", name)
    return (desk.folder / name).read_text()


def test_all_sections_in_order(filled: desks.Desk) -> None:
    """Seed 001, coverage report: all sections of the archived report, in its order."""
    text = report(filled)
    assert re.findall(r"^#{1,2} (.+)$", text, re.MULTILINE) == SECTIONS
    page = (filled.folder / "status.html").read_text()
    assert re.findall(r"<h[12]>(.+?)</h[12]>", page) == [
        name.replace("&", "&amp;") for name in SECTIONS
    ]


def test_the_figures_are_those_of_the_tables(filled: desks.Desk) -> None:
    """Seed 001, coverage report: counts not capped, the equation verified, duplicates by id,
    the share over all wallets.
    """
    found = filled.json("report", "coverage")
    count = filled.value
    external = count("SELECT count() AS n FROM external_trades_raw")
    assert found["union"]["overlap"] == 500
    assert found["union"]["internal"] == 501
    assert found["union"]["view"] == external + 1
    assert found["union"]["holds"]
    assert found["duplicates"]["ids"] == 0
    wallets = count("SELECT uniqExact(wallet_address) AS n FROM pm_trades_with_external")
    assert found["totals"]["wallets"] == wallets > len(found["wallets"]) == 25
    assert found["totals"]["external_trades"] == external - 500
    usd = count("SELECT sum(cash_value) AS n FROM external_trades_raw") + 5
    both = found["totals"]["internal_usd"] + found["totals"]["external_usd"]
    assert both == pytest.approx(usd)
    assert 0 < found["totals"]["external_share"] < 1
    assert found["markets"]["internal_only"] == 1
    assert (
        found["markets"]["markets"]
        == found["markets"]["external_only"] + 1 + (found["markets"]["both"])
    )
    assert sum(row["trades"] for row in found["months"]) == external


def test_wallets_carry_their_name_and_their_status(filled: desks.Desk) -> None:
    """Seed 001, coverage report: wallet shown in recognisable form; status from the plan."""
    found = filled.json("report", "coverage")
    statuses = filled.plan_of()
    for row in found["wallets"]:
        planned = statuses.get(row["wallet"].removeprefix("0x"))
        if row["wallet"].removeprefix("0x") in contracts.CONTRACTS:
            assert row["status"] == "contract"
            continue
        assert row["status"] == (planned["status"] if planned else "not planned")
    assert "done" in {row["status"] for row in found["wallets"]}
    text = report(filled)
    assert found["wallets"][0]["wallet"] in text
    done = sum(row["status"] == "done" for row in statuses.values())
    assert f"{done} of {len(statuses)} planned wallets are fetched whole" in text


def test_what_is_proven_and_what_is_not(filled: desks.Desk) -> None:
    """Seed 001, coverage report: per part the proven share by receipts, and the list of what is
    not.
    """
    parts = {part["name"]: part for part in filled.json("report", "coverage")["parts"]}
    left_out = {one.name for one in registry.ALL if getattr(one.proof, "is_optional", False)}
    assert list(parts) == [part for part in registry.PARTS if part not in left_out]
    assert left_out == {"user-stats"}
    plan = filled.plan_of()
    assert parts["wallets"]["keys"] == len(plan)
    assert parts["wallets"]["proven"] == 20
    assert parts["wallets"]["share"] == pytest.approx(20 / len(plan))
    left = {one["key"].removeprefix("0x") for one in parts["wallets"]["unproven"]}
    assert len(left) == 20
    assert {plan[key]["status"] for key in left} == {"pending"}
    assert not parts["markets"]["complete"]
    text = report(filled)
    assert f"and {len(plan) - 40} more" in text


@pytest.fixture(scope="module")
def whole(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """A run of everything."""
    shared_sandbox.reset()
    desk = new_desk()
    desk.call("run", within_s=120)
    return desk


def test_every_unit_leaves_a_receipt(whole: desks.Desk) -> None:
    """Kind, key, window, pages, rows, first and last time, end of feed seen, rejected rows, and the
    source's own lag.
    """
    began = time.time() - 300
    parts = {part["name"]: part["counts"] for part in whole.json("report", "coverage")["parts"]}
    for kind, of_kind in registry.KINDS.items():
        if of_kind.is_followed:  # read by `--follow` alone
            continue
        told = whole.json("check", "receipts", kind, "--limit", 100_000)
        receipts = told["receipts"]
        assert told["found"] == len(receipts) > 0, kind
        assert {(one["kind"], one["state"], one["error"]) for one in receipts} == {
            (kind, "done", "")
        }
        assert all(one["keys"] and len(one["window"]) == 2 for one in receipts)
        assert all(one["pages"] > 0 and one["rejected"] == 0 for one in receipts)
        assert all(began < one["end_seen"] < time.time() for one in receipts)
        says_so = of_kind.route.host == "data"
        assert {one["lag_s"] for one in receipts} == {4.0 if says_so else None}
        timed = [one for one in receipts if one["first_second"] is not None]
        # The order book's rows carry no time, and what Gamma lists needs no look-up.
        assert timed or kind in ("clob", "lookups"), kind
        assert [one for one in timed if one["first_second"] > one["last_second"]] == []
        rows = sum(one["rows"] for one in receipts)
        part = parts.get(kind, parts["markets"])
        assert (
            part["rows"] == rows
            if kind not in run_request.PARTS["markets"]
            else part["rows"] >= rows
        )
        assert part["ends_seen"] == part["units"]
    (wallet,) = whole.json("check", "receipts", "wallets", "--limit", 1)["receipts"][0]["keys"]
    told = whole.json("check", "receipts", "--wallet", wallet)
    assert {one["kind"] for one in told["receipts"]} == {"wallets", "positions", "user-stats"}
    assert all(one["keys"] == [wallet] for one in told["receipts"])
    shown = whole.call("check", "receipts", "--wallet", wallet.upper().removeprefix("0X")).out
    assert shown.count(wallet) == 3
    assert "4 s" in shown
    refused = whole.call("check", "receipts", "trades", code=78)
    assert "no kind trades: the kinds are clob, markets" in refused.err


def test_after_a_run_of_everything_every_part_is_proven(whole: desks.Desk) -> None:
    """Seed 001, coverage report: every part of a whole run is 100 % proven, and says so."""
    desk = whole
    found = desk.json("report", "coverage")
    assert {part["name"]: part["share"] for part in found["parts"]} == dict.fromkeys(
        registry.PARTS, 1
    ), found["parts"]
    assert "Every part is proven complete." in report(desk)
    progress = desk.json("check", "progress")
    assert {kind: part["share"] for kind, part in progress["parts"].items()} == dict.fromkeys(
        progress["parts"], 1
    )
    assert desk.call("check", "progress").out.endswith("complete\n")


def test_a_receipt_and_not_a_status_is_a_proof(filled: desks.Desk) -> None:
    """Seed 001, worker: a row set to done by hand proves nothing."""
    (row,) = filled.sql(
        "SELECT wallet_address AS wallet FROM wallet_backfill_plan WHERE status = 'pending' "
        "ORDER BY priority_rank DESC LIMIT 1"
    )
    change = "ALTER TABLE wallet_backfill_plan UPDATE status = '{}' WHERE wallet_address = '{}' "
    change += "SETTINGS mutations_sync = 2"
    filled.sql(change.format("done", row["wallet"]))
    try:
        parts = {part["name"]: part for part in filled.json("report", "coverage")["parts"]}
    finally:
        filled.sql(change.format("pending", row["wallet"]))
    assert parts["wallets"]["proven"] == 20


def test_the_same_store_gives_the_same_text(filled: desks.Desk) -> None:
    """Seed 001, coverage report: Markdown deterministic apart from the time."""
    first, second = report(filled), report(filled, "again.md")
    stamp = re.compile(r"^\*\*Generated:\*\*.*$", re.MULTILINE)
    assert stamp.sub("", first) == stamp.sub("", second)
    assert len(stamp.findall(first)) == 1


def test_nothing_of_nothing_is_not_available(bare_desk: desks.Desk) -> None:
    """Seed 001, coverage report: 0/0 shows n/a, in a store that nobody has made yet."""
    bare_desk.call("report", "coverage")
    text = (bare_desk.data / "EXTERNAL_COVERAGE_STATUS.md").read_text()
    assert "| External share of volume | n/a |" in text
    assert "0 + 0 - 0 = 0 = 0: PASS" in text
    assert (bare_desk.data / "EXTERNAL_COVERAGE_STATUS.html").exists()


def test_questions_cannot_break_the_page(filled: desks.Desk) -> None:
    """Fetched text is text: no markup of its own in either file."""
    filled.sql(
        "INSERT INTO external_trades_raw (source, external_trade_id, wallet_address, condition_id, "
        "market_question, side, shares, price, cash_value, trade_timestamp) SELECT 'x', "
        f"toUUID('00000000-0000-0000-0000-0000000000ff'), '{'ab' * 20}', '{'00' * 32}', "
        "'<script>alert(1)</script> | [a](b)', 'BUY', 1, 1, 1, now() FROM numbers(5000) LIMIT 1"
    )
    try:
        report(filled)
        page = (filled.folder / "status.html").read_text()
    finally:
        filled.sql("DELETE FROM external_trades_raw WHERE source = 'x'")
    assert "<script" not in page
    Checker().feed(page)


class Checker(html.parser.HTMLParser):
    """Every tag that is opened is closed, in order; every chart says what it shows."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "src" not in dict(attrs), "self-contained: nothing is loaded"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_charts_are_accessible(filled: desks.Desk) -> None:
    report(filled)
    page = (filled.folder / "status.html").read_text()
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) >= 4
    for chart in charts:
        assert 'role="img"' in chart
        assert "<title>" in chart
        assert "<desc>" in chart
    assert "prefers-color-scheme: dark" in page


def test_bad_output_is_refused(filled: desks.Desk) -> None:
    told = filled.call("report", "coverage", "--output", "nowhere/status.md", code=78).err
    assert "nowhere/status.md" in told
    assert (
        "page goes beside"
        in filled.call("report", "coverage", "--output", "status.html", code=78).err
    )
