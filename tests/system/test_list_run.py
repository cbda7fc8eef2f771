"""A planned list and nothing else: `run` fetches what its profits need, whatever else is stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness, small_api
from tests.small_api import book_row, condition_of, market, position, resolution, trade, wallet_of

from polybackfill.work import ledger, sweeps

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


def figures(ground: harness.Ground) -> dict[str, tuple[float | None, float]]:
    """Fees and profit of the listed wallets, by name."""
    rows = ground.sql(
        "SELECT wallet_address, toFloat64(fees_usd) AS fees, "
        "toFloat64(realized_pnl_usd) AS profit FROM wallet_pnl"
    )
    found = {f"0x{row['wallet_address']}": (row["fees"], row["profit"]) for row in rows}
    return {name: found[wallet_of(name)] for name in OWN}


def plan_list(ground: harness.Ground, keys: list[str]) -> None:
    file = ground.folder / "list.txt"
    file.write_text("\n".join(keys) + "\n", encoding="utf-8")
    ground.run("plan", "build", "--from", str(file)).expect(0)


@pytest.fixture
def api() -> Iterator[small_api.SmallApi]:
    with small_api.serving(universe()) as running:
        yield running


@pytest.mark.parametrize("is_listed", [False, True], ids=["whole", "wallets-first"])
def test_fees_and_profit_do_not_depend_on_what_is_read_first(
    tmp_path: Path, api: small_api.SmallApi, *, is_listed: bool
) -> None:
    with harness.ground(tmp_path, api.url, reports="true") as ground:
        ground.run("init").expect(0)
        if is_listed:
            plan_list(ground, [wallet_of(name) for name in OWN])
            ground.run("run", "wallets").expect(0)
        ended = ground.run("run")
        ended.expect(0)
        assert figures(ground) == FEES_AND_PROFITS
        (counted,) = ground.sql("SELECT count() AS wallets FROM wallet_pnl")
        assert counted["wallets"] == (2 if is_listed else 4)
        assert (ground.data / "wallet_category_breakdown.json").is_file()
        assert "profit and loss of" in ended.out
        assert "Every part is proven complete." in ended.out or is_listed


def test_a_list_run_asks_about_its_own_alone(tmp_path: Path, api: small_api.SmallApi) -> None:
    """The store holds the whole exchange; nothing of it but the list is read."""
    with harness.ground(tmp_path, api.url, reports="true") as ground:
        ground.run("run").expect(0)
        plan_list(ground, [wallet_of("w")])
        for name in (*STRANGERS, "m"):
            api.activity.append(fill(name, "other", 1, "BUY", 5, 0.4, 2, 3600))
        api.activity.append(fill("w", "new", 0, "BUY", 7, 0.4, 2.8, 3600))
        api.positions.append(position("w", "new", 0, 7, BEGAN + 3600))
        api.markets.append(market(3, "new", ["0.4", "0.6"], closed=False, start=BEGAN - 9))
        api.questions.clear()
        ended = ground.run("run")
        ended.expect(0)
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
        rows = ground.sql(
            "SELECT bought_shares FROM wallet_market_pnl WHERE "
            f"condition_id = '{condition_of('new')[2:]}'"
        )
        assert [row["bought_shares"] for row in rows] == [7.0]
        assert "scope: the planned list (1 wallets, 0 of them open)" in ended.err

        api.questions.clear()
        ground.run("run", "--everything").expect(0)
        assert any("/clob/markets" in question for question in api.questions)
        told = {question.partition("user=")[2].partition("&")[0] for question in api.questions}
        assert {wallet_of(name) for name in (*OWN, *STRANGERS)} <= told


def test_of_a_portion_all_is_fetched_and_no_report_is_made(
    tmp_path: Path, api: small_api.SmallApi
) -> None:
    """`--limit` counts wallets, not the markets that they lead to."""
    api.activity += [fill("w", f"more{n}", 0, "BUY", 5, 0.4, 2, n) for n in range(5)]
    api.markets += [
        market(10 + n, f"more{n}", ["0.4", "0.6"], closed=False, start=BEGAN) for n in range(5)
    ]
    with harness.ground(tmp_path, api.url, reports="true") as ground:
        ground.run("init").expect(0)
        plan_list(ground, [wallet_of(name) for name in OWN])
        for wallets, markets in ((1, 6), (2, 6)):
            ended = ground.run("run", "--limit", "1")
            ended.expect(0)
            assert "profit and loss of" not in ended.out
            (stored,) = ground.sql(
                "SELECT "
                "(SELECT count() FROM wallet_backfill_plan WHERE status = 'done') AS wallets, "
                "(SELECT uniqExact(wallet_address) FROM landed_positions) AS read, "
                "(SELECT uniqExact(condition_id) FROM api_market_rows) AS markets"
            )
            assert stored == {"wallets": wallets, "read": wallets, "markets": markets}
        api.questions.clear()
        assert "nothing to do" not in ground.run("run").out


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    """A small universe with everything in it."""
    with harness.sandbox(trades=4_000, wallets=40, markets=50, money_cases=True) as running:
        yield running


def kill_amid(
    ground: harness.Ground, sandbox: harness.Sandbox, route: str, after: int, *words: str
) -> None:
    """A run that is killed when a route has answered so often, and some of it is stored."""
    before = ground.acknowledged_pages()
    sandbox.faults({"kind": "hang", "route": route, "after": after})
    daemon = ground.start("run", *words)
    harness.until(lambda: sum(sandbox.fired().values()), f"{after} answers of {route}")
    harness.until(lambda: ground.acknowledged_pages() > before + after // 2, "pages stored")
    assert daemon.running, daemon.err()[-3000:]
    daemon.kill()
    sandbox.reset()


def known_sweeps(ground: harness.Ground) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ground.ledger / sweeps.FILE).read_bytes())["sweeps"]
    return found


def assert_profits(ground: harness.Ground, sandbox: harness.Sandbox, wallets: list[str]) -> None:
    """What is told of these wallets equals the sandbox's own ledger of balances, to the cent."""
    truth = {row["wallet"]: row for row in sandbox.lines("profit")}
    mine = {f"0x{row['wallet_address']}": row for row in ground.sql("SELECT * FROM wallet_pnl")}
    wrong = {}
    for wallet in wallets:
        known, row = truth[wallet], mine[wallet]
        pairs = {
            "exact": (row["is_exact"], known["exact"]),
            "economic": (row["economic_pnl_usd"], known["economic_pnl_usd"]),
            "fees": (row["all_fees_usd"], known["fees_usd"]),
            "bought": (row["bought_usd"], known["bought_usd"]),
        }
        differing = {
            name: pair
            for name, pair in pairs.items()
            if (None in pair and pair != (None, None))
            or (None not in pair and abs(pair[0] - pair[1]) > 0.005)
        }
        if differing:
            wrong[wallet] = {**differing, "reasons": (row["inexact_reasons"], known["reasons"])}
    assert wrong == {}


def assert_nothing_open(ground: harness.Ground) -> None:
    """Of what the list's runs began nothing is left."""
    state = ledger.Ledger.view(ground.ledger)
    left = [held.unit.id for held in state.open_units() if "-listed" in held.unit.id]
    assert left == []


@pytest.mark.timeout(300)
def test_a_list_is_right_after_kills_and_no_sweep_counts_for_the_other(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    """Everything is begun and killed, then a list, twice; at last everything is complete."""
    with harness.ground(tmp_path, sandbox.url, reports="true") as ground:
        kill_amid(ground, sandbox, "positions", 30, "--everything")
        wallets = sorted(row["wallet"] for row in sandbox.lines("profit"))[::2]
        plan_list(ground, wallets)
        kill_amid(ground, sandbox, "positions", 20)
        kill_amid(ground, sandbox, "user-stats", 5)
        ground.run("run").expect(0)
        assert_nothing_open(ground)
        assert_profits(ground, sandbox, wallets)
        begun = known_sweeps(ground)
        assert begun["positions-listed"]["complete"]
        assert not begun.get("positions", {}).get("complete")
        ground.run("run", "--everything").expect(0)
        ground.prove_everything(sandbox)
        assert "positions-listed" not in known_sweeps(ground)


@pytest.mark.timeout(300)
def test_everything_after_a_list_is_everything(tmp_path: Path, sandbox: harness.Sandbox) -> None:
    """Also where the list was killed; and a list of conditions brings no wallet."""
    with harness.ground(tmp_path, sandbox.url, reports="true") as ground:
        ground.run("init").expect(0)
        plan_list(ground, sandbox.conditions[:3])
        ended = ground.run("run")
        ended.expect(0)
        (stored,) = ground.sql(
            "SELECT (SELECT uniqExact(condition_id) FROM external_trades_raw) AS traded, "
            "(SELECT uniqExact(condition_id) FROM api_market_rows) AS markets, "
            "(SELECT count() FROM api_position_rows) AS positions"
        )
        assert stored == {"traded": 3, "markets": 3, "positions": 0}
        plan_list(ground, sandbox.wallets[:20])
        kill_amid(ground, sandbox, "positions", 20)
        ground.run("run", "--everything").expect(0)
        ground.prove_everything(sandbox)
        assert "ETA unknown" not in ended.err
