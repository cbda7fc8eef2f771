"""A planned list and nothing else: `run` fetches what its profits need, whatever else is stored."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from tests import small_api
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk
from tests.small_api import book_row, condition_of, market, position, resolution, trade, wallet_of

BEGAN = int(time.time()) - 30 * small_api.DAY_S
# Two wallets and their market; strangers in one that is open, of which everything can change.
OWN, STRANGERS = ("w", "m"), ("x", "y")
FEES_AND_PROFITS = {"w": (0.138956, 19.583586), "m": (0.0, -19.9)}


def fill(  # noqa: PLR0917  (a trade has so many parts)
    wallet: str, name: str, outcome: int, side: str, size: float, price: float, usd: float, at: int
) -> small_api.Row:
    """A trade of which the wallet's own activity tells the USD."""
    return {**trade(wallet, name, outcome, side, size, price, BEGAN + at), "usdc_size": usd}


def universe() -> small_api.SmallApi:
    """41 shares ordered at 0.30: 12.30 USD paid, 40.54798 received; 10 sold at 0.12 for 1.19665."""
    return small_api.SmallApi(
        activity=[
            fill("w", "own", 0, "BUY", 40.54798, 0.3, 12.3, 0),
            fill("m", "own", 1, "BUY", 41, 0.7, 28.7, 0),
            fill("w", "own", 0, "SELL", 10, 0.12, 1.19665, 60),
            fill("m", "own", 0, "BUY", 10, 0.12, 1.2, 60),
            *(fill(who, "other", 0, "BUY", 5, 0.4, 2, 0) for who in STRANGERS),
        ],
        markets=[
            market(1, "own", ["1", "0"], closed=True, start=BEGAN - 9),
            market(2, "other", ["0.4", "0.6"], closed=False, start=BEGAN - 9),
        ],
        book=[book_row("own", 0, closed=True), book_row("other", None, closed=False)],
        positions=[
            position("w", "own", 0, 30.54798, BEGAN + 60, status="REDEEMABLE"),
            *(position(who, "other", 0, 5, BEGAN + 60) for who in STRANGERS),
        ],
        resolutions=[resolution("own", [1_000_000, 0]), resolution("other", None)],
    )


def figures(desk: desks.Desk) -> dict[str, tuple[float | None, float]]:
    """Fees and profit of the listed wallets, by name."""
    rows = desk.sql(
        "SELECT wallet_address, toFloat64(fees_usd) AS fees, "
        "toFloat64(realized_pnl_usd) AS profit FROM wallet_pnl"
    )
    found = {f"0x{row['wallet_address']}": (row["fees"], row["profit"]) for row in rows}
    return {name: found[wallet_of(name)] for name in OWN}


@pytest.fixture
def api() -> Iterator[small_api.SmallApi]:
    with small_api.serving(universe()) as running:
        yield running


@pytest.mark.parametrize("is_listed", [False, True], ids=["whole", "wallets-first"])
def test_fees_and_profit_do_not_depend_on_what_is_read_first(
    new_desk: NewDesk, api: small_api.SmallApi, *, is_listed: bool
) -> None:
    desk = new_desk(api.url, reports="true")
    desk.move_out()
    if is_listed:
        desk.plan_keys(*map(wallet_of, OWN))
        desk.call("run", "wallets")
    ended = desk.call("run")
    assert figures(desk) == FEES_AND_PROFITS
    (counted,) = desk.sql("SELECT count() AS wallets FROM wallet_pnl")
    assert counted["wallets"] == (2 if is_listed else 4)
    assert (desk.data / "wallet_category_breakdown.json").is_file()
    assert "profit and loss of" in ended.out
    said = "Not read: events, conditions." if is_listed else "Every part is proven complete."
    assert said in ended.out


def test_a_list_run_asks_about_its_own_alone(new_desk: NewDesk, api: small_api.SmallApi) -> None:
    """The store holds the whole exchange; nothing of it but the list is read."""
    desk = new_desk(api.url)
    desk.call("run")
    desk.plan_keys(wallet_of("w"))
    for name in (*STRANGERS, "m"):
        api.activity.append(fill(name, "other", 1, "BUY", 5, 0.4, 2, 3600))
    api.activity.append(fill("w", "new", 0, "BUY", 7, 0.4, 2.8, 3600))
    api.positions.append(position("w", "new", 0, 7, BEGAN + 3600))
    api.markets.append(market(3, "new", ["0.4", "0.6"], closed=False, start=BEGAN - 9))
    api.questions.clear()
    ended = desk.call("run")
    asked = [question.lower() for question in api.questions]
    own = {wallet_of("w"), *map(condition_of, ("own", "new"))}
    others = {*map(wallet_of, (*STRANGERS, "m")), condition_of("other")}
    assert [question for question in asked if any(key in question for key in others)] == []
    # How far the source lies behind, and a question that any source of positions answers.
    service = ("/v2/status", f"user=0x{1:040x}")
    strange = [
        question for question in asked if not any(part in question for part in (*own, *service))
    ]
    assert strange == [], "no list is read"
    paths = {question.partition("?")[0] for question in asked}
    assert {"/data/v2/activity", "/data/v2/positions", "/data/v2/user-stats"} <= paths
    of_new = f"WHERE condition_id = '{condition_of('new')[2:]}'"
    rows = desk.sql(f"SELECT sum(shares) AS shares FROM external_trades_raw {of_new}")
    assert rows == [{"shares": 7.0}]
    assert desk.value(f"SELECT count() FROM api_market_rows {of_new}") == 1
    assert "scope: the planned list (1 wallet, 0 of them open)" in ended.err

    api.questions.clear()
    desk.call("run", "--everything")
    assert any("/clob/markets" in question for question in api.questions)
    told = {question.partition("user=")[2].partition("&")[0] for question in api.questions}
    assert {wallet_of(name) for name in (*OWN, *STRANGERS)} <= told


def test_a_list_of_markets_brings_no_wallet(new_desk: NewDesk, api: small_api.SmallApi) -> None:
    desk = new_desk(api.url)
    desk.plan_keys(condition_of("own"))
    desk.call("run")
    of_wallets = ("/data/v2/activity", "/data/v2/positions", "/data/v2/user-stats")
    assert not set(of_wallets) & set(api.requests)
    assert not any("/clob/markets" in path or "/events/" in path for path in api.requests)
    for table, rows in (("external_trades_raw", 4), ("api_market_rows", 1), ("api_resolutions", 1)):
        assert desk.value(f"SELECT count() FROM {table}") == rows, table


def test_of_a_portion_all_is_fetched_and_no_report_is_made(
    new_desk: NewDesk, api: small_api.SmallApi
) -> None:
    """`--limit` counts wallets, not the markets that they lead to."""
    api.activity += [fill("w", f"more{n}", 0, "BUY", 5, 0.4, 2, n) for n in range(5)]
    api.markets += [
        market(10 + n, f"more{n}", ["0.4", "0.6"], closed=False, start=BEGAN) for n in range(5)
    ]
    desk = new_desk(api.url, reports="true")
    desk.move_out()
    desk.plan_keys(*map(wallet_of, OWN))
    for wallets, markets in ((1, 6), (2, 6)):
        ended = desk.call("run", "--limit", 1)
        assert "profit and loss of" not in ended.out
        (stored,) = desk.sql(
            "SELECT "
            "(SELECT count() FROM wallet_backfill_plan WHERE status = 'done') AS wallets, "
            "(SELECT uniqExact(wallet_address) FROM ingested_positions) AS read, "
            "(SELECT uniqExact(condition_id) FROM api_market_rows) AS markets"
        )
        assert stored == {"wallets": wallets, "read": wallets, "markets": markets}
    whole = desk.call("run").out
    assert "profit and loss of 2 wallets" in whole
    assert re.search(r"lookups +5 of 5 proven", whole), "each open market counts once"
