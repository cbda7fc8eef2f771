"""`run` without arguments: everything there is, found from the lists, stored once, proven."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.kinds import registry


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    """A small universe with everything in it."""
    with harness.sandbox(trades=10_000, wallets=60, markets=60) as running:
        yield running


def markets(sandbox: harness.Sandbox) -> list[dict[str, Any]]:
    """All markets there are, by the sandbox."""
    return sandbox.lines("markets")


def picture(ended: harness.Finished) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ended.out)
    return document


@pytest.mark.timeout(300)
def test_a_run_from_nothing_holds_the_whole_universe(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    """Seed 002, api_markets_staging + markets backfill: open and closed both present; Seed 002,
    api_positions_staging + wallet backfill: all pages per wallet, dust included.
    """
    with harness.ground(tmp_path, sandbox.url) as ground:
        ended = ground.run("run", "--json", within_s=120)
        ended.expect(0)
        ground.prove_everything(sandbox)
        for kind in [one.name for one in registry.ALL if not one.is_followed]:
            part = picture(ended)["parts"][kind]
            assert (kind, part["error"], part["done"]) == (kind, 0, part["units"])
        assert "at its limit" in ended.err
        assert "ends last" in ended.err


@pytest.mark.long
def test_what_a_killed_run_began_is_finished_though_nothing_names_it_any_more(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    """A market that was to be looked up is in a list by now; its unit must not stay open."""
    with harness.ground(tmp_path, sandbox.url, prepared=prepared) as ground:
        sandbox.faults({"kind": "hang", "route": "events"})
        daemon = ground.start("run")
        harness.until(lambda: ground.acknowledged_pages() > 2, "some pages", 60)
        daemon.kill()
        sandbox.reset()
        sweep = json.loads((ground.checkpoint / "sweeps.json").read_bytes())["sweeps"]["lookups"][
            "name"
        ]
        listed = next(one["condition_id"] for one in markets(sandbox) if one["condition_id"])
        book = run_checkpoint.Checkpoint.open(ground.checkpoint)
        book.begin(units.Unit("lookups", (f"{listed.removeprefix('0x')}@{sweep}",)))
        book.close()
        ground.run("run", within_s=100).expect(0)
        ground.prove_everything(sandbox)


LEFT_BEHIND = (
    "markets_dim_seed.json",
    "events_dim_seed.json",
    "dimension_coverage_report.json",
    "wallet_category_breakdown.json",
    "EXTERNAL_COVERAGE_STATUS.md",
    "EXTERNAL_COVERAGE_STATUS.html",
    "MORNING_REPORT.txt",
    "MORNING_REPORT.html",
    "MORNING_REPORT.json",
)


def test_a_whole_run_leaves_its_reports_behind(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    """Dimensions, P&L by category, the watchlist where it is switched on, and what is proven; a
    stop signal in the middle costs a report, and no row, and a kill does not pass for the end.
    """
    with harness.ground(tmp_path, sandbox.url, prepared=prepared, reports="true") as ground:
        ground.environment["AUTONOMOUS_TRADING_ENABLED"] = "true"
        daemon = ground.start("run")
        harness.until(lambda: "run.last_step" in daemon.err(), "the last steps", 60)
        daemon.signal(signal.SIGTERM)
        ended = daemon.end()
        ended.expect(0)
        assert "not made: polybackfill report coverage" in ended.out
        assert "not made: polybackfill report morning" in ended.out
        ground.prove_everything(sandbox)

        daemon = ground.start("run")
        harness.until(lambda: "'dims build'" in daemon.err(), "the reports", 60)
        daemon.kill()
        words = ground.run("status").out
        assert "ended without notice" in words
        assert "start it again to continue" in words

        told = ground.run("run", within_s=60)
        told.expect(0)
        assert "Every part is proven complete." in told.out
        assert "markets added to the watchlist" in told.out
        assert [name for name in LEFT_BEHIND if not (ground.data / name).is_file()] == []
        (counts,) = ground.sql(
            "SELECT (SELECT count() FROM markets_dim) AS markets, "
            "(SELECT uniqExact(wallet_address) FROM wallet_category_pnl) AS wallets"
        )
        assert counts["markets"] == len([one for one in markets(sandbox) if one["condition_id"]])
        assert counts["wallets"] > 50
        ground.prove_everything(sandbox)

        ground.set(reports="false")
        told = ground.run("plan", "estimate", "--json")
        estimated = {part["kind"]: part["requests"] for part in json.loads(told.out)["parts"]}
        again = picture(ground.run("run", "--json", within_s=60))
        for kind in ("markets", "events", "positions"):
            pages = again["parts"][kind]["pages"]
            assert pages / 2 < estimated[kind] < pages * 2, (kind, pages, estimated[kind])
