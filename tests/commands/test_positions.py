"""`run positions`: killed in the middle and started again, its counts and shares stay true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

WALLETS = 40


def told(desk: desks.Desk) -> list[dict[str, Any]]:
    """Every line of progress in the log of the desk's runs."""
    lines = (desk.data / "log" / f"{desk.run_name}.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "part.progress"]


def checkpoint(desk: desks.Desk) -> dict[str, Any]:
    """What the last fold wrote of the positions, over all its segments."""
    state = json.loads((desk.checkpoint / "state.json").read_bytes())
    found = [one["totals"]["positions"] for one in state["segments"]]
    return {
        "keys": sum(one["keys"] for one in found),
        "rows": sum(one["rows"] for one in found),
        **{name: found[-1][name] for name in ("last_key", "last_at")},
    }


@pytest.mark.long
def test_progress_and_checkpoint_survive_a_kill(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    """Seed 002, api_positions_staging + wallet backfill: progress every 10, checkpoint every 500
    (configurable); checkpoint fields of §3.3; percentages correct after resume; new wallets found
    on the next run.
    """
    desk = new_desk(workers=1, fold_every=8, batch_rows=1)
    wallets = desks.bare(sandbox.wallets[:WALLETS])
    desk.plan_keys(*wallets)
    # Two lists a wallet: its last event is no news, the sandbox's present being a day long past.
    sandbox.faults({"kind": "429_json", "route": "positions", "after": 54, "retry_after_s": 60})
    daemon = desk.start("run", "positions")
    harness.until(lambda: sandbox.fired()["429_json"], "the middle of the run")
    harness.until(lambda: len(told(desk)) == 2, "twenty wallets")
    daemon.kill()
    sandbox.reset()

    before = desk.json("check", "progress")["parts"]["positions"]
    done = before["done"]
    assert 20 <= done <= WALLETS - 10
    assert before["share"] == done / WALLETS
    assert before["last_key"] == wallets[done - 1], "lastProcessedWallet"
    assert before["rows"] > 0, "positionsInserted"
    assert before["last_at"].endswith("Z"), "timestamp"
    folded = checkpoint(desk)
    assert done - 8 < folded["keys"] <= done, "walletsProcessed, at most a fold behind"
    assert folded["last_key"].startswith(wallets[folded["keys"] - 1])
    assert 0 < folded["rows"] <= before["rows"]
    first = told(desk)
    assert [event["done"] for event in first] == list(range(10, done + 1, 10))

    desk.call("run", "positions")
    after = desk.json("check", "progress")["parts"]["positions"]
    assert (after["done"], after["share"]) == (WALLETS, 1)
    second = told(desk)[len(first) :]
    assert [event["done"] for event in second] == list(range(done + 10, WALLETS + 1, 10))
    for event in (*first, *second):
        assert (event["part"], event["of"], event["error"]) == ("positions", WALLETS, 0)
        assert event["share"] == round(event["done"] / WALLETS, 4)
    receipts = desk.json("check", "receipts", "positions", "--limit", 1000)["receipts"]
    assert [one["keys"][0][2:] for one in receipts] == wallets, "each once, none passed over"
    assert after["rows"] == sum(one["rows"] for one in receipts)

    late = desks.bare(sandbox.wallets[WALLETS : WALLETS + 3])
    desk.plan_keys(*late)
    desk.call("run", "positions")
    receipts = desk.json("check", "receipts", "positions", "--limit", 1000)["receipts"]
    assert sorted(one["keys"][0][2:] for one in receipts) == sorted([*wallets, *late])
