"""A second run takes in what came after the first: trades of markets that are still open, and
everything of the wallets behind them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import harness

SERVE = """
import json, sys
from polymarket_sandbox import app, options
app.serve(options.SandboxOptions(**json.loads(sys.argv[1])))
"""
LATE_ROWS = 40
NEVER_S = 1e6


@contextmanager
def sandbox(late_after_s: float, now: int) -> Iterator[harness.Sandbox]:
    """The same universe every time, but for the moment in which its newest rows appear."""
    asked = {
        "trades": 8_000,
        "wallets": 60,
        "markets": 80,
        "latency_ms": 0,
        "limits": "off",
        "now": now,
        "late_rows": LATE_ROWS,
        "late_after_s": late_after_s,
    }
    command = [sys.executable, "-c", SERVE, json.dumps(asked)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield harness.Sandbox(process.stdout.readline().split()[-1].rstrip("/"))
        finally:
            process.kill()


def test_what_came_since_is_stored_by_the_next_run(
    tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """Seed 002, api_markets_staging + markets backfill: one row per condition after two runs; Seed
    002, api_positions_staging + wallet backfill: a re-run replaces, new rows and new wallets are
    found on the next run.
    """
    now = int(time.time())
    with (
        sandbox(NEVER_S, now) as evening,
        harness.ground(tmp_path, evening.url, prepared=prepared) as ground,
    ):
        ground.run("run", within_s=120).expect(0)
        stored = ground.state()["trades"]["rows"]
        known = sum(ground.statuses().values())
        with sandbox(0.0, now) as next_evening:
            ground.set(
                data_url=f"{next_evening.url}/data",
                gamma_url=f"{next_evening.url}/gamma",
                clob_url=f"{next_evening.url}/clob",
            )
            again = ground.run("run", "--json", within_s=120)
            again.expect(0)
            ground.prove_everything(next_evening)
        assert ground.state()["trades"]["rows"] == stored + LATE_ROWS
        assert sum(ground.statuses().values()) >= known
        # Only wallets with news are read again, and what is read again is counted once.
        parts = json.loads(again.out)["parts"]
        wallets = sum(ground.statuses().values())
        assert parts["wallets"]["done"] == parts["wallets"]["units"] == wallets
        (planned,) = ground.sql("SELECT count() AS n FROM condition_backfill_plan")
        assert parts["conditions"]["done"] == parts["conditions"]["units"] == planned["n"]
        assert 0 < parts["wallets"]["pages"] <= LATE_ROWS * 4
        assert_each_loss_is_missed(ground)


def assert_each_loss_is_missed(ground: harness.Ground) -> None:
    """Seed 001, validation: rows that came later hide no loss, neither of an old row nor of a new
    one; receipts of both readings count.
    """
    ground.serve()
    ground.query("CREATE TABLE kept AS external_trades_raw")
    ground.query("INSERT INTO kept SELECT * FROM external_trades_raw")
    assert ground.run("validate", "--only", "receipts").code == 0
    for order in ("ingested_at, trade_timestamp", "ingested_at DESC, trade_timestamp"):
        # Of markets whose newest row came with the second run.
        lost = (
            "external_trade_id = (SELECT external_trade_id FROM kept WHERE condition_id IN ("
            "SELECT condition_id FROM kept ORDER BY ingested_at DESC LIMIT 1) "
            # A fill that its market showed late, inside the time its wallet was read for, stands
            # for one that is gone: counts alone cannot tell them apart.
            "AND wallet_address NOT IN (SELECT wallet_address FROM kept WHERE isNull(usdc_size)) "
            f"ORDER BY {order}, external_trade_id LIMIT 1)"
        )
        ground.query(
            f"ALTER TABLE external_trades_raw DELETE WHERE {lost} SETTINGS mutations_sync=2"
        )
        told = ground.run("validate", "--only", "receipts", "--json")
        ground.query(f"INSERT INTO external_trades_raw SELECT * FROM kept WHERE {lost}")
        (check,) = json.loads(told.out)["checks"]
        assert (told.code, check["outcome"]) == (3, "failed"), (order, check)
        assert check["examples"][0]["counted"] == check["examples"][0]["found"] + 1
