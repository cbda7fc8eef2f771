"""`run` without arguments: everything there is, found from the lists, stored once, proven."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import harness

PARTS = (
    "clob",
    "markets",
    "events",
    "lookups",
    "conditions",
    "wallets",
    "positions",
    "resolutions",
)


@pytest.mark.timeout(300)
def test_a_run_from_nothing_holds_the_whole_universe(tmp_path: Path) -> None:
    with (
        harness.sandbox(trades=12_000, wallets=80, markets=80) as sandbox,
        harness.ground(tmp_path, sandbox.url) as ground,
    ):
        ended = ground.run("run", "--json", within_s=200)
        ended.expect(0)
        truth = sandbox.ask("truth")
        (trades,) = ground.sql(
            "SELECT count() AS n, uniqExact(external_trade_id) AS ids FROM external_trades_raw"
        )
        assert trades["n"] == trades["ids"] == truth["trades"]["rows"]
        picture = ended.json()
        for kind in PARTS:
            part = picture["parts"][kind]
            assert part["error"] == 0, kind
            assert part["done"] == part["units"], kind
