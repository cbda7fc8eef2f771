"""`run --dry-run` fetches and reports like a run, and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

Tree = dict[str, tuple[int, int]]


@pytest.fixture
def bare(new_desk: NewDesk, sandbox: harness.Sandbox) -> desks.Desk:
    """A desk in an empty folder: no data, no checkpoints; temporary files would lie in it too."""
    made = new_desk()
    made.data = made.folder / "data"
    made.set(data_dir=made.data)
    (made.folder / "tmp").mkdir()
    made.environment["TMPDIR"] = str(made.folder / "tmp")
    return made


def _written(desk: desks.Desk) -> tuple[Tree, Tree, list[object]]:
    """All a run writes: files below its folders, its log and status, the tables."""
    name = desk.run_name
    shared = {path: seen for path, seen in desks.tree(desk.data).items() if Path(path).stem == name}
    tables: list[object] = [desk.state(), desk.plan_of("wallet"), desk.plan_of("condition")]
    return desks.tree(desk.folder), shared, tables


def test_typed_keys_need_no_data_folder(bare: desks.Desk, sandbox: harness.Sandbox) -> None:
    wallets, conditions = sandbox.wallets[:3], sandbox.conditions[:3]
    words = ("--wallet", ",".join(wallets), "--condition-id", ",".join(conditions), "--dry-run")
    report = bare.json("run", *words)
    assert set(desks.tree(bare.folder)) == {"tmp"}
    assert report["dry_run"] is True
    assert report["exit_code"] == 0
    assert report["parts"]["wallets"]["done"] == 3
    # Rows are counted as they come: what both walks reach is counted by both.
    apart = [sandbox.truth(wallets, []), sandbox.truth([], conditions)]
    assert report["rows"]["external_trades_landing"] == sum(t["trades"]["rows"] for t in apart)
    assert report["rows"]["wallet_activity_landing"] == sum(t["activity"]["rows"] for t in apart)


def test_the_plan_needs_a_store(bare: desks.Desk, sandbox: harness.Sandbox) -> None:
    told = bare.call("run", "conditions", "wallets", "--dry-run", code=errors.EXIT_CONFIG)
    assert "there is no store" in told.err
    assert "polybackfill init" in told.err
    assert set(desks.tree(bare.folder)) == {"tmp"}
    assert sandbox.requests() == 0


def test_the_plan_is_fetched_and_nothing_changes(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Seed 001, connector: a dry run fetches and reports but writes nothing."""
    wallets, conditions = sandbox.wallets[:4], sandbox.conditions[:4]
    desk.plan_keys(*wallets, *conditions)
    desk.call("run", "wallets", "--limit", 1)
    before = _written(desk)
    sandbox.reset()
    told = desk.call("run", "conditions", "wallets", "--dry-run").out
    assert _written(desk) == before
    assert sandbox.pages() >= 4, "it fetches"
    apart = [sandbox.truth(wallets[1:], []), sandbox.truth([], conditions)]
    rows = sum(t[name]["rows"] for t in apart for name in ("trades", "activity"))
    assert f"{rows:,} rows would be stored" in told
    desk.call("run", "conditions", "wallets")
    desk.prove(sandbox, wallets, conditions)


def test_an_error_is_reported_and_not_recorded(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 001, worker: --dry-run; an error is one here too."""
    wallets = sandbox.wallets[:3]
    desk.plan_keys(*wallets)
    before = _written(desk)
    sandbox.faults({"kind": "400", "route": "activity", "match": wallets[1]})
    told = desk.call("run", "wallets", "--dry-run", code=errors.EXIT_UNITS_IN_ERROR)
    assert "1 in error" in told.out
    assert _written(desk) == before


def test_bad_rows_are_counted_and_not_set_aside(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    desk.plan_keys(sandbox.wallets[0])
    sandbox.faults({"kind": "bad_row", "route": "activity", "count": 1})
    told = desk.call("run", "wallets", "--dry-run", code=errors.EXIT_UNITS_IN_ERROR).out
    assert re.search(r"\b1 rows? set aside", told)
    assert desk.value("SELECT count() FROM quarantine") == 0


def test_a_dry_run_leaves_the_limits_to_a_real_one(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """It asks as much as a real one, and two programs on one address would pass its limits."""
    desk.plan_keys(*sandbox.wallets[:6])
    sandbox.faults(
        {"kind": "429_json", "route": "data", "after": 3, "count": 1, "retry_after_s": 2}
    )
    real = desk.start("run", "wallets")
    harness.until(lambda: sandbox.fired()["429_json"], "the real run at work")
    told = desk.call("run", "wallets", "--dry-run", code=errors.EXIT_UNAVAILABLE).err
    assert f"a run spends the limits of this address (process {real.pid}" in told
    ended = real.end()
    ended.expect(0)
    desk.prove(sandbox, sandbox.wallets[:6], [])
    desk.call("run", "wallets", "--dry-run")
