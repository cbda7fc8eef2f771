"""`report wallet` and the check of official figures, over a run of everything."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk



def profits(sandbox: harness.Sandbox, path: str = "") -> list[dict[str, Any]]:
    """The sandbox's truth of profit, line by line."""
    with urllib.request.urlopen(f"{sandbox.url}/_sandbox/profit{path}") as answer:
        return [json.loads(line) for line in answer]


@pytest.fixture(scope="module")
def filled(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """Everything fetched, profits computed, and Polymarket's figures of all but a few wallets."""
    shared_sandbox.reset()
    desk = new_desk(official_wallets=40)
    desk.call("run", within_s=120)
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
    truth = {row["wallet"]: row for row in profits(shared_sandbox)}
    for row in rows:
        said = truth[f"0x{row['wallet']}"]
        assert row["answer"] == "figures"
        assert row["economic_pnl"] == pytest.approx(said["official_pnl_usd"], abs=1e-5)
        assert row["fees"] == pytest.approx(said["fees_usd"], abs=1e-5)
    receipts = filled.json("check", "receipts", "user-stats", "--limit", 100)
    assert receipts["found"] == 40
    assert {one["rows"] for one in receipts["receipts"]} == {1}
