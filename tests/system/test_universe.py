"""`run` without arguments: everything there is, found from the lists, stored once, proven."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.commands import lists

from polybackfill.views import digest

KINDS = ("clob", "markets", "events", "lookups", "conditions", "wallets", "positions")
KINDS = (*KINDS, "resolutions")
KEYS = {
    "api_markets_staging": "condition_id",
    "api_events_staging": "event_id",
    "api_positions_staging": "(wallet_address, condition_id, outcome, asset_id)",
    "api_resolutions": "condition_id",
    "external_trades_raw": "external_trade_id",
    "wallet_activity_raw": "activity_id",
    "wallet_backfill_plan": "wallet_address",
    "condition_backfill_plan": "condition_id",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    """A small universe with everything in it."""
    with harness.sandbox(trades=12_000, wallets=80, markets=80, latency_ms=20) as running:
        yield running


def markets(sandbox: harness.Sandbox) -> list[dict[str, Any]]:
    """All markets there are, by the sandbox."""
    return lists.ndjson(f"{sandbox.url}/_sandbox/markets")


def prove(ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    """Every table holds what the sandbox has, and no key twice to a plain SELECT."""
    truth = sandbox.ask("truth")
    for name, sql in digest.TABLES.items():
        (found,) = ground.sql(sql)
        expected = truth[name]
        counted = expected.get("rows", expected.get("count"))
        assert (name, found["rows"], found["digest"]) == (name, counted, expected["digest"])
    for table, key in KEYS.items():
        found = ground.sql(f"SELECT {key} AS k FROM {table} GROUP BY k HAVING count() > 1")
        assert (table, found) == (table, [])
    numbered = ground.sql("SELECT DISTINCT condition_id, market_id FROM external_trades_raw")
    numbers = {lists.bare(one["condition_id"]): one["market_id"] for one in markets(sandbox)}
    assert {row["condition_id"]: row["market_id"] for row in numbered} == {
        row["condition_id"]: numbers[row["condition_id"]] for row in numbered
    }
    for table in ("wallet_backfill_plan", "condition_backfill_plan"):
        pending = ground.sql(f"SELECT count() AS n FROM {table} WHERE status != 'done'")
        assert (table, pending) == (table, [{"n": 0}])


def picture(ended: harness.Finished) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ended.out)
    return document


@pytest.mark.timeout(300)
def test_a_run_from_nothing_holds_the_whole_universe_and_so_does_a_second_one(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    """Seed 002: open and closed both present, one row per condition after two runs; all pages per
    wallet, dust included, a re-run replaces."""
    with harness.ground(tmp_path, sandbox.url) as ground:
        for number in range(2):
            ended = ground.run("run", "--json", within_s=120)
            ended.expect(0)
            prove(ground, sandbox)
            for kind in KINDS:
                part = picture(ended)["parts"][kind]
                assert (kind, part["error"], part["done"]) == (kind, 0, part["units"])
            if number == 0:
                assert "hours at the limit" in ended.err
                assert "ends last" in ended.err


@pytest.mark.timeout(300)
def test_a_run_of_everything_killed_again_and_again_ends_the_same(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    rng, pause = random.Random(7), threading.Event()
    with harness.ground(tmp_path, sandbox.url, batch_rows=2_000) as ground:
        for _ in range(8):
            daemon = ground.start("run")
            pause.wait(rng.uniform(0.5, 3.0))
            daemon.kill()
        ended = ground.run("run", within_s=120)
        ended.expect(0)
        prove(ground, sandbox)
        assert ground.open_units() == 0
