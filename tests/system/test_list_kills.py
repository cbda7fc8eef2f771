"""A planned list is killed, and everything: each goes on where it stood, and ends right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness

from polybackfill.checkpoint import run_checkpoint, sweeps


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    """A small universe with everything in it."""
    with harness.sandbox(trades=3_000, wallets=40, markets=50, money_cases=True) as running:
        yield running


def plan_list(ground: harness.Ground, keys: list[str]) -> None:
    file = ground.folder / "list.txt"
    file.write_text("\n".join(keys) + "\n", encoding="utf-8")
    ground.run("plan", "build", "--from", str(file)).expect(0)


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
    found: dict[str, Any] = json.loads((ground.checkpoint / sweeps.FILE).read_bytes())["sweeps"]
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
    state = run_checkpoint.Checkpoint.view(ground.checkpoint)
    left = [held.unit.id for held in state.open_units() if "-listed" in held.unit.id]
    assert left == []


@pytest.mark.timeout(300)
def test_a_list_is_right_after_kills_and_no_sweep_counts_for_the_other(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    """Everything is begun and killed, then a list, twice; at last everything is complete."""
    with harness.ground(tmp_path, sandbox.url, prepared=prepared, reports="true") as ground:
        ground.serve()
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
        ground.set(reports="false")
        ground.run("run", "--everything").expect(0)
        ground.prove_everything(sandbox)
        assert "positions-listed" not in known_sweeps(ground)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_everything_after_a_killed_list_is_everything(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    """Of conditions, then also of wallets."""
    with harness.ground(tmp_path, sandbox.url) as ground:
        ground.serve()
        ground.run("init").expect(0)
        plan_list(ground, sandbox.conditions[:3])
        ground.run("run").expect(0)
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
