"""Figures of invented wallets, known to the cent, through the whole program."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests import harness, small_api
from tests.small_api import activity, book_row, condition_of, market, position, resolution, trade

BEGAN = int(time.time()) - 30 * small_api.DAY_S
MARKETS_BEGAN = BEGAN - small_api.DAY_S
SHARES = 1000.0


def gamma(
    number: int, name: str, prices: list[str], *, closed: bool = True, status: str | None = None
) -> small_api.Row:
    """A market of Gamma's list with a status of its own."""
    row = market(number, name, prices, closed=closed, start=MARKETS_BEGAN)
    return {**row, "umaResolutionStatus": status}


def test_payouts_come_from_what_is_resolved(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """A wallet for each market bought 1,000 shares at 0.40, the chain decided; the resolutions know
    two of the markets, and only by their status."""
    bought = {  # market: outcome, price, profit (None: not counted)
        "nearone": (0, 0.40, 600),
        "amm": (1, 0.40, 600),
        "stale": (0, 0.40, 600),
        "disputed": (0, 0.40, -400),
        "flipped": (0, 0.40, -400),
        "tie": (0, 0.40, 100),
        "plain": (0, 0.40, 600),
        "disputed-still": (0, 0.40, None),
        "thin": (0, 0.9997, 0.3),
    }
    api = small_api.SmallApi(
        activity=[
            trade(name, name, outcome, "BUY", SHARES, price, BEGAN)
            for name, (outcome, price, _) in bought.items()
        ],
        markets=[
            gamma(101, "nearone", ["0.9995", "0.0005"], status="resolved"),
            gamma(102, "amm", ["0", "0.999999"]),
            gamma(103, "stale", ["0.62", "0.38"], closed=False),
            gamma(104, "disputed", ["0.97", "0.03"], status="disputed"),
            gamma(106, "tie", ["0.5", "0.5"], status="resolved"),
            gamma(107, "plain", ["1", "0"], status="resolved"),
            gamma(109, "disputed-still", ["0.97", "0.03"], status="disputed"),
            gamma(110, "thin", ["0.9995", "0.0005"], status="resolved"),
        ],
        book=[
            *(book_row(name, 0, closed=True) for name in ("nearone", "stale", "plain", "thin")),
            *(book_row(name, 1, closed=True) for name in ("disputed", "disputed-still")),
            book_row("flipped", 1, closed=True, order=(1, 0)),
            book_row("tie", None, closed=True),
        ],
        resolutions=[
            resolution("disputed-still", None, "disputed"),
            {**resolution("thin", None, "resolved"), "resolved_at": None},
        ],
    )
    with (
        small_api.serving(api),
        harness.ground(tmp_path, api.url, prepared=prepared, reports="true") as ground,
    ):
        ground.run("run").expect(0)
        assert profits(ground, bought) == {name: profit for name, (_, _, profit) in bought.items()}
        listed = ground.sql("SELECT condition_id, disagreement FROM resolution_disagreements")
        assert {row["condition_id"]: row["disagreement"] for row in listed} == {
            small_api.condition_of(name)[2:]: what
            for name, what in (
                ("stale", "open"),
                ("disputed", "unresolved"),
                ("disputed-still", "unresolved"),
            )
        }


def profits(ground: harness.Ground, wallets: Any) -> dict[str, float | None]:
    """Profit of each wallet by name, None where none of its markets is resolved."""
    rows = ground.sql(
        "SELECT wallet_address, if(num_resolved_markets = 0, NULL, toFloat64(realized_pnl_usd)) "
        "AS profit FROM wallet_pnl"
    )
    by_wallet = {row["wallet_address"]: row["profit"] for row in rows}
    return {name: by_wallet[small_api.wallet_of(name)[2:]] for name in wallets}


FAMILY = "0x" + "fa" * 31 + "00"


def member(number: int, name: str, created: int, **more: Any) -> small_api.Row:
    """A market of a negative-risk event, open unless `more` says otherwise."""
    row = market(number, name, ["0.3", "0.7"], closed=False, start=MARKETS_BEGAN)
    event = [{"id": "77", "slug": "who"}]
    shown = {"negRisk": True, "negRiskMarketID": FAMILY, "events": event}
    return {**row, **shown, "createdAt": small_api.text_of(created), **more}


def test_positions_agree_after_conversions_and_redemptions(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """Wallets that convert two No by the negative-risk market or by each member, or one No before a
    market joined; that redeem in part, or once more after a late fill; and that hold what lost."""
    won = {"closed": True, "umaResolutionStatus": "resolved", "outcomePrices": '["1", "0"]'}
    rows = [
        *(trade(who, name, 1, "BUY", 100.0, 0.6, BEGAN) for who in "em" for name in "AB"),
        activity("CONVERSION", "e", FAMILY, 100.0, 100.0, BEGAN + 20),
        activity("CONVERSION", "m", condition_of("A"), 100.0, 100.0, BEGAN + 20, "both"),
        activity("CONVERSION", "m", condition_of("B"), 100.0, 100.0, BEGAN + 20, "both"),
        trade("l", "A", 1, "BUY", 100.0, 0.6, BEGAN),
        activity("CONVERSION", "l", condition_of("A"), 100.0, 0.0, BEGAN + 20),
        trade("w", "P", 0, "BUY", 100.0, 0.7, BEGAN),
        activity("REDEEM", "w", condition_of("P"), 40.0, 40.0, BEGAN + 100),
        trade("v", "P", 0, "BUY", 50.0, 0.7, BEGAN),
        activity("REDEEM", "v", condition_of("P"), 50.0, 50.0, BEGAN + 100),
        trade("v", "P", 0, "BUY", 7.0, 0.99, BEGAN + 200),
        trade("x", "P", 1, "BUY", 9.0, 0.3, BEGAN),
    ]
    held = [("e", "C", 100.0), ("m", "C", 100.0), ("l", "B", 100.0), ("l", "C", 100.0)]
    held += [("w", "P", 60.0), ("v", "P", 7.0)]
    early, late = BEGAN - 1000, BEGAN + 86_400
    api = small_api.SmallApi(
        activity=rows,
        markets=[
            *(member(number, name, early) for number, name in enumerate("ABC", 200)),
            member(209, "D", late),
            {**member(300, "P", early, **won), "negRiskMarketID": None, "events": []},
        ],
        positions=[position(who, name, 0, size, BEGAN + 20) for who, name, size in held],
        resolutions=[resolution("P", [1_000_000, 0])],
        events=[
            {
                "id": "77",
                "slug": "who",
                "closed": False,
                "startDate": small_api.text_of(MARKETS_BEGAN),
                "tags": [{"id": "1", "label": "Soccer", "slug": "soccer"}],
            }
        ],
    )
    with small_api.serving(api), harness.ground(tmp_path, api.url, prepared=prepared) as ground:
        ground.run("run").expect(0)
        found = ground.sql(
            "SELECT wallet_address AS wallet, condition_id AS market, token_id, net_shares, status "
            "FROM vw_positions_reconciled WHERE net_shares != 0 OR status != 'equal'"
        )
        tokens = {
            small_api.token_of(name, index): (name, index) for name in "ABCP" for index in (0, 1)
        }
        wallets = {small_api.wallet_of(who)[2:]: who for who in "emlwvx"}
        shown = {
            (wallets[row["wallet"]], *tokens[row["token_id"]]): (row["net_shares"], row["status"])
            for row in found
        }
        expected = {(who, name, 0): (size, "equal") for who, name, size in held}
        assert shown == {**expected, ("x", "P", 1): (9.0, "lost")}
        explained = ground.run("dims", "explain", condition_of("A"))
        explained.expect(0)
        assert f"({condition_of('A')}): Sports" in explained.out
        assert "soccer" in explained.out.lower()


def paid(  # noqa: PLR0917  (a trade has so many parts)
    who: str, name: str, outcome: int, shares: float, price: float, second: int
) -> small_api.Row:
    """A purchase, or a sale of negative shares, by a maker, who pays no fee."""
    row = trade(who, name, outcome, "BUY" if shares > 0 else "SELL", abs(shares), price, second)
    return {**row, "usdc_size": round(abs(shares) * price, 6)}


def test_two_profits_each_named_for_what_it_is(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """What four wallets earned in an event of six markets of which two have resolved, both No: one
    converts and sells, one splits and sells, one makes a round trip, one holds."""
    names = [f"p{number}" for number in range(6)]
    ended = {"closed": True, "umaResolutionStatus": "resolved", "outcomePrices": '["0", "1"]'}
    priced = {"outcomePrices": '["0.05", "0.95"]'}
    early = BEGAN - 1000
    with_fee = {**paid("holds", "p0", 1, 1000, 0.8, BEGAN), "usdc_size": 804.0}
    sales = zip(names[1:], (0.40, 0.25, 0.15, 0.08, 0.05), strict=True)
    api = small_api.SmallApi(
        activity=[
            paid("converts", "p0", 1, 1000, 0.9, BEGAN),
            activity("CONVERSION", "converts", condition_of("p0"), 1000.0, 0.0, BEGAN + 10),
            *(paid("converts", name, 0, -1000, price, BEGAN + 20) for name, price in sales),
            activity("SPLIT", "splits", condition_of("p2"), 1000.0, 1000.0, BEGAN),
            paid("splits", "p2", 0, -1000, 0.28, BEGAN + 10),
            paid("splits", "p2", 1, -1000, 0.76, BEGAN + 20),
            activity("REWARD", "splits", "", 25.0, 25.0, BEGAN + 30),
            paid("trips", "p3", 0, 10_000, 0.10, BEGAN),
            paid("trips", "p3", 0, -10_000, 0.45, BEGAN + 10),
            with_fee,
            paid("holds", "p5", 0, 1000, 0.5, BEGAN),
        ],
        markets=[
            member(number, name, early, **(ended if name in {"p0", "p4"} else priced))
            for number, name in enumerate(names, 200)
        ],
        positions=[
            position("holds", "p0", 1, 1000.0, BEGAN, status="REDEEMABLE"),
            position("holds", "p5", 0, 1000.0, BEGAN),
        ],
        resolutions=[resolution(name, [0, 1_000_000]) for name in ("p0", "p4")],
        events=[
            {
                "id": "77",
                "slug": "who",
                "closed": False,
                "startDate": small_api.text_of(MARKETS_BEGAN),
                "tags": [{"id": "1", "label": "Soccer", "slug": "soccer"}],
            }
        ],
    )
    with (
        small_api.serving(api),
        harness.ground(tmp_path, api.url, prepared=prepared, reports="true") as ground,
    ):
        ground.run("run").expect(0)
        columns = (
            "economic_pnl_usd, held_to_resolution_pnl_usd, fees_usd, coverage_money_pct, "
            "coverage_pct, is_exact"
        )
        rows = ground.sql(f"SELECT wallet_address, {columns} FROM wallet_pnl")
        named = {
            small_api.wallet_of(who)[2:]: who for who in ("converts", "splits", "trips", "holds")
        }
        found = {named[row.pop("wallet_address")]: row for row in rows}
        shown = {who: [row[column] for column in columns.split(", ")] for who, row in found.items()}
        assert shown == {
            "converts": [30, 180, 0, 100, pytest.approx(100 / 3), True],
            "splits": [65, None, 0, None, 0, True],
            "trips": [3500, None, 0, 0, 0, True],
            "holds": [-254, 200, 4, pytest.approx(100 * 800 / 1300), 50, True],
        }
        markets = ground.sql(
            "SELECT condition_id, economic_pnl_usd, shares_held, value_usd FROM wallet_market_pnl "
            f"WHERE wallet_address = '{small_api.wallet_of('holds')[2:]}'"
        )
        by_market = {row.pop("condition_id"): list(row.values()) for row in markets}
        assert by_market == {
            condition_of("p0")[2:]: [196, [0, 1000], 1000],
            condition_of("p5")[2:]: [-450, [1000, 0], 50],
        }
        report = ground.run("report", "categories")
        report.expect(0)
        assert "held to resolution, before fees" in report.out
        assert "economic profit, after fees: $3,341.00 of 4 of 4 wallets" in report.out
        said = json.loads((ground.data / "wallet_category_breakdown.json").read_bytes())["wallets"]
        (holds,) = (one for one in said if one["address"] == small_api.wallet_of("holds"))
        assert holds["summary_text"].endswith(
            "That is held to resolution, before fees; the economic loss, after fees, is $254."
        )
        assert holds["overall_stats"]["realized_pnl_usd"] == 200
