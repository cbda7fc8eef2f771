"""`plan build`: who is ranked, by what, and that nobody is ever planned twice."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors
from polybackfill.polymarket import contracts

from .conftest import NewDesk

A, B, C, D, E = (letter * 40 for letter in "abcde")
EXCHANGES = list(contracts.CONTRACTS)


@pytest.fixture
def ready(desk: desks.Desk) -> desks.Desk:
    """A desk with empty tables."""
    desk.call("init")
    return desk


def _pm_trades(desk: desks.Desk, *rows: tuple[str, float]) -> None:
    values = ", ".join(f"('{wallet}', {amount})" for wallet, amount in rows)
    desk.call("sql", f"INSERT INTO pm_trades (wallet_address, collateral_amount) VALUES {values}")


def _ranking(desk: desks.Desk) -> list[tuple[int, str, int, float]]:
    return [
        (row["priority_rank"], wallet, row["trade_count"], round(row["notional"], 6))
        for wallet, row in desk.plan_of().items()
    ]


def test_rank_by_total_absolute_notional(ready: desks.Desk) -> None:
    """Seed 001, plan build: ranks by total absolute notional."""
    _pm_trades(ready, (A, 10), (A, -15), (B, 30), (C, -26), (D, 0), ("", 10**9))
    report = ready.json("plan", "build")
    assert report["wallets"]["found"] == report["wallets"]["added"] == 4
    assert report["wallets"]["by_status"] == {"pending": 4, "in_progress": 0, "done": 0, "error": 0}
    assert _ranking(ready) == [(1, B, 1, 30), (2, C, 1, 26), (3, A, 2, 25), (4, D, 1, 0)]
    assert {row["source"] for row in ready.plan_of().values()} == {"pm_trades"}
    assert {row["last_run_at"] for row in ready.plan_of().values()} == {None}


def test_spellings_of_a_wallet_are_one_wallet(ready: desks.Desk) -> None:
    _pm_trades(ready, (A, 1), (f"0x{A}", 1), (f"0X{A.upper()}", 1), (B, 2))
    ready.call("plan", "build", "--from", "pm_trades")
    assert _ranking(ready) == [(1, A, 3, 3), (2, B, 1, 2)]


def test_ties_go_by_address_whatever_the_order_of_addition(ready: desks.Desk) -> None:
    """Seed 001, plan build: deterministic ties."""
    # Added up as they stand, B's floats come to a little more than the others' 0.6.
    _pm_trades(ready, (C, 0.6), (B, 0.1), (B, 0.2), (B, 0.3))
    _pm_trades(ready, (A, 0.3), (A, 0.2), (A, 0.1))
    ready.call("plan", "build")
    assert _ranking(ready) == [(1, A, 3, 0.6), (2, B, 3, 0.6), (3, C, 1, 0.6)]


def test_an_amount_that_is_no_number_ranks_nobody_first(ready: desks.Desk) -> None:
    _pm_trades(ready, (A, math.nan), (A, 1), (B, 2), (C, math.inf), (C, 3))
    ready.call("plan", "build")
    assert _ranking(ready) == [(1, C, 2, 3), (2, B, 1, 2), (3, A, 2, 1)]


def test_contracts_are_nobody(ready: desks.Desk) -> None:
    """Seed 001, plan build: contract addresses are left out."""
    rows = [(f"0x{contract}", 1e9 + n) for n, contract in enumerate(EXCHANGES)]
    _pm_trades(ready, *rows, (EXCHANGES[1].upper(), 5e9), (A, 2), (B, 1))
    report = ready.json("plan", "build", "--top", 1)
    assert report["wallets"]["found"] == 1
    assert set(ready.plan_of()) == {A}


def test_top(ready: desks.Desk) -> None:
    """Seed 001, plan build: --top N."""
    _pm_trades(ready, *((letter * 40, n) for n, letter in enumerate("0123456789abcdef")))
    ready.call("plan", "build", "--top", 3)
    assert [row[1][0] for row in _ranking(ready)] == ["f", "e", "d"]
    ready.call("plan", "build", "--top", 5)
    assert [row[1][0] for row in _ranking(ready)] == ["f", "e", "d", "c", "b"]
    for nonsense in ("0", "-3", "many"):
        assert "--top" in ready.call("plan", "build", "--top", nonsense, code=78).err


def test_the_canonical_view_of_the_user_is_used_as_it_is(bare_desk: desks.Desk) -> None:
    bare_desk.call(
        "sql",
        "CREATE TABLE mine (who String, usd Float64) ENGINE = MergeTree ORDER BY tuple()",
    )
    bare_desk.call(
        "sql", f"INSERT INTO mine VALUES ('0x{A}', 2), ('0x{B}', -5), ('{EXCHANGES[2]}', 9)"
    )
    view = "SELECT who AS wallet_address, usd AS usd_value FROM mine"
    bare_desk.call("sql", f"CREATE VIEW vw_trades_canonical AS {view}")
    before = bare_desk.sql("SHOW CREATE TABLE vw_trades_canonical")
    bare_desk.call("plan", "build", "--from", "vw_trades_canonical")
    assert _ranking(bare_desk) == [(1, B, 1, 5), (2, A, 1, 2)]
    assert bare_desk.sql("SHOW CREATE TABLE vw_trades_canonical") == before


def test_wallets_found_through_conditions(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk()
    conditions = sandbox.conditions[:10]
    desk.call("run", "--condition-id", ",".join(conditions))
    spent: dict[str, float] = defaultdict(float)
    rows = desk.sql("SELECT wallet_address AS w, cash_value AS usd FROM external_trades_raw")
    for row in rows:
        spent[row["w"]] += row["usd"]
    assert set(spent) & set(EXCHANGES), "the largest there are contracts"
    people = {wallet: usd for wallet, usd in spent.items() if wallet not in EXCHANGES}
    desk.call("plan", "build", "--from", "external_trades_raw", "--top", 12)
    wanted = sorted(people, key=lambda wallet: (-people[wallet], wallet))[:12]
    assert list(desk.plan_of()) == wanted
    assert _ranking(desk)[0][3] == pytest.approx(people[wanted[0]])


def test_a_file_of_wallets_and_conditions(bare_desk: desks.Desk) -> None:
    lines = [
        "# wallets, largest first",
        f"0x{B.upper()}, 12, 340.5",
        A,
        f'"0x{B}"',
        f"0x{EXCHANGES[3]},1,1",
        "",
        f"0x{'1' * 64},7",
        f"{'2' * 64}   # the second",
    ]
    report = bare_desk.json("plan", "build", "--from", bare_desk.file("mine.csv", lines))
    assert report["excluded"] == [EXCHANGES[3]]
    assert _ranking(bare_desk) == [(1, B, 12, 340.5), (2, A, 0, 0)]
    conditions = bare_desk.plan_of("condition")
    assert list(conditions) == ["1" * 64, "2" * 64]
    assert conditions["1" * 64]["trade_count"] == 7


def test_a_second_build_adds_and_changes_nothing_else(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Seed 001, plan build: merges when rows exist, never duplicates a wallet."""
    old, new = sandbox.wallets[5:8], sandbox.wallets[8:10]
    desk.plan_keys(*old)
    desk.call("run", "wallets", "--limit", 2)
    before = desk.plan_of()
    desk.plan_keys(*reversed(old))
    assert desk.plan_of() == before
    desk.plan_keys(new[0], *old, new[1])
    after = desk.plan_of()
    assert {key: after[key] for key in before} == before
    added = {key: row for key, row in after.items() if key not in before}
    assert set(added) == set(desks.bare(new))
    assert {row["status"] for row in added.values()} == {"pending"}


@pytest.mark.parametrize("source", ["pm_trades", "vw_trades_canonical", "external_trades_raw"])
def test_nothing_to_rank(source: str, desk: desks.Desk) -> None:
    told = desk.call("plan", "build", "--from", source, code=errors.EXIT_CONFIG)
    assert f"{source} contains no trades" in told.err
    assert "--from FILE" in told.err
    assert desk.plan_of() == {}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "contains no wallet and no condition id"),
        (["# nothing"], "contains no wallet and no condition id"),
        ([f"{A},many"], "line 1: after the id come trade count and notional"),
        ([A, "0x12"], "line 2"),
    ],
)
def test_a_file_that_cannot_be_a_plan(lines: list[str], said: str, desk: desks.Desk) -> None:
    words: list[Any] = ["plan", "build", "--from", desk.file("plan.txt", lines)]
    assert said in " ".join(desk.call(*words, code=errors.EXIT_CONFIG).err.split())


def test_a_source_that_is_neither_table_nor_file(desk: desks.Desk) -> None:
    told = desk.call("plan", "build", "--from", "pm_trade", code=errors.EXIT_CONFIG)
    assert "neither a file nor one of external_trades_raw, pm_trades" in told.err


def test_show(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 001, check-wallet-backfill-plan: status breakdown with wallets, trades, notional; next
    pending; last error; machine-readable.
    """
    wallets = sandbox.wallets[5:9]
    weighed = [f"{wallet},{10 * n},{n}.5" for n, wallet in enumerate(wallets, 1)]
    desk.plan_keys(*weighed, *sandbox.conditions[:2])
    sandbox.faults({"kind": "400", "route": "activity", "match": wallets[1]})
    desk.call("run", "wallets", "--limit", 2, code=errors.EXIT_UNITS_IN_ERROR)
    for words in (("plan", "show"), ("check", "plan")):
        shown = desk.json(*words)["wallet_backfill_plan"]
        counts = {row["status"]: row["keys"] for row in shown["by_status"]}
        assert counts == {"pending": 2, "done": 1, "error": 1}
        sums = {row["status"]: (row["trades"], row["notional"]) for row in shown["by_status"]}
        assert sums == {"done": (10, 1.5), "error": (20, 2.5), "pending": (30 + 40, 3.5 + 4.5)}
        assert [row["key"] for row in shown["next"]] == wallets[2:]
        assert [row["key"] for row in shown["errors"]] == [wallets[1]]
        assert "400" in shown["errors"][0]["error_message"]
        text = desk.call(*words).out
        assert wallets[2] in text
        assert wallets[1] in text
        assert text.count("expected trades") == 4, "by status and what is next, of both plans"
        assert "trade_count" not in text
        assert re.search(r"^pending +2 +unknown +unknown$", text, re.M), "of the conditions"
        assert desk.json(*words)["condition_backfill_plan"]["next"][0]["trade_count"] is None
    one = desk.json("plan", "show", "--top", 1)["wallet_backfill_plan"]
    assert [row["key"] for row in one["next"]] == wallets[2:3]
    desk.call("plan", "show", "--top", 0, code=errors.EXIT_CONFIG)
