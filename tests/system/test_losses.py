"""Rows that the store acknowledged and no longer holds: the next run notices, and fetches them."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import harness

from polybackfill import settings
from polybackfill.checkpoint import run_checkpoint, store_state
from polybackfill.run import run_view
from polybackfill.store import definitions

Harm = Callable[[harness.Ground], None]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    with harness.sandbox(trades=3_000, wallets=60, markets=60) as running:
        yield running


@pytest.fixture(scope="module")
def stored(
    sandbox: harness.Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
    prepared: harness.PreparedStore,
) -> Path:
    """The folders of a run of wallets and conditions that ended cleanly."""
    folder = tmp_path_factory.mktemp("whole")
    with harness.ground(folder, sandbox.url, prepared=prepared, batch_rows=500) as ground:
        ground.run("init").expect(0)
        ground.plan(sandbox)
        ground.run("run", "conditions", "wallets").expect(0)
        ground.prove(sandbox)
        _until_stopped(ground)
    return folder


@pytest.fixture
def ground(stored: Path, sandbox: harness.Sandbox, tmp_path: Path) -> Iterator[harness.Ground]:
    """The same folders for each test."""
    for name in ("data", "checkpoints"):
        shutil.copytree(stored / name, tmp_path / name, symlinks=True)
    sandbox.reset()
    with harness.ground(tmp_path, sandbox.url, batch_rows=500) as made:
        yield made


def _until_stopped(ground: harness.Ground) -> None:
    """The child says that it ends before its engine has closed its files."""
    harness.until(lambda: ground.store_pid() is None, "the end of the store")
    status = ground.store / "engine" / "status"
    harness.until(lambda: not status.exists(), "the end of the engine")


def _sql(ground: harness.Ground, statement: str) -> None:
    ground.run("sql", statement).expect(0)


def _parts(ground: harness.Ground, table: str) -> list[Path]:
    """The folders of a table's parts, with the store stopped."""
    (row,) = ground.sql(f"SELECT data_paths[1] AS path FROM system.tables WHERE name = '{table}'")
    _until_stopped(ground)
    return sorted(Path(row["path"]).glob("all_*"))


def _drop(ground: harness.Ground) -> None:
    _sql(ground, "DROP TABLE external_trades_raw SYNC")


def _drop_and_init(ground: harness.Ground) -> None:
    _sql(ground, "DROP TABLE wallet_activity_raw SYNC")
    ground.run("init").expect(0)


def _replace(ground: harness.Ground) -> None:
    """A table of the same name and no rows, also when the run begins."""
    for statement in ("DROP TABLE external_trades_raw SYNC", *_creating("external_trades_raw")):
        _sql(ground, statement)


def _creating(table: str) -> list[str]:
    return definitions.creating(table, None)


def _truncate(ground: harness.Ground) -> None:
    _sql(ground, "TRUNCATE TABLE external_trades_raw")


def _delete_rows(ground: harness.Ground) -> None:
    _sql(
        ground,
        "ALTER TABLE external_trades_raw DELETE WHERE cityHash64(external_trade_id) % 97 = 1 "
        "SETTINGS mutations_sync = 2",
    )


def _lose_a_part(ground: harness.Ground) -> None:
    for part in _parts(ground, "external_trades_raw"):  # merged ones stand there for a while
        shutil.rmtree(part)


def _tear_a_part(ground: harness.Ground) -> None:
    for part in _parts(ground, "wallet_activity_raw"):
        for file in (file for file in part.iterdir() if file.is_file()):
            os.truncate(file, 0)


@pytest.mark.parametrize(
    "harm",
    [
        _drop,
        pytest.param(_drop_and_init, marks=pytest.mark.long),
        pytest.param(_replace, marks=pytest.mark.long),
        pytest.param(_truncate, marks=pytest.mark.long),
        pytest.param(_delete_rows, marks=pytest.mark.long),
        pytest.param(_lose_a_part, marks=pytest.mark.long),
        pytest.param(_tear_a_part, marks=pytest.mark.long),
    ],
)
def test_what_a_table_lost_is_fetched_again(
    ground: harness.Ground, sandbox: harness.Sandbox, harm: Harm
) -> None:
    """After a clean end too: a clean end says nothing of what befell the tables since."""
    harm(ground)
    told = ground.run("run", "conditions", "wallets", "--json")
    told.expect(0)
    assert "rows are missing and are fetched again" in told.err
    assert sandbox.pages() > 0
    ground.prove(sandbox)
    _until_stopped(ground)
    sandbox.reset()
    quiet = ground.run("run", "conditions", "wallets")
    quiet.expect(0)
    assert "comparing" not in quiet.err
    assert sandbox.pages() == 0


@pytest.mark.parametrize("harm", [None, _delete_rows])
def test_a_lost_checkpoint_is_made_of_the_receipts_in_the_store(
    ground: harness.Ground,
    sandbox: harness.Sandbox,
    harm: Harm | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And believed only after a comparison, as after an unclean end. The page shows them before."""
    for name, value in ground.environment.items():
        monkeypatch.setenv(name, value)
    view = run_view.RunView(settings.load())
    drawn = view.checkpoint({})["map"]
    shutil.rmtree(ground.checkpoints)
    lost = run_view.RunView(settings.load())
    assert lost.checkpoint({})["map"] == drawn != {}
    cell = {"kind": "wallets", "step": "1", "cell": "0"}
    assert lost.units(cell)["receipts"][0]["state"] == "done"
    if harm is not None:
        harm(ground)
    told = ground.run("run", "conditions", "wallets")
    told.expect(0)
    assert "no checkpoint in" in told.err
    assert "there is no record of how the last run ended" in told.err
    assert ("nothing is missing" in told.err) is (harm is None)
    assert (sandbox.pages() > 0) is (harm is not None)
    ground.prove(sandbox)


@pytest.mark.long
def test_a_torn_projection_is_made_anew_and_costs_no_request(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """It is what a power cut may tear of a part that is acknowledged: nothing but rows twice."""
    for part in _parts(ground, "external_trades_raw"):
        os.truncate(part / "trades_of_wallets.proj" / "data.bin", 0)
    broken = "SELECT count() AS n FROM system.projection_parts WHERE active AND is_broken"
    assert ground.sql(broken)[0]["n"] > 0
    ground.run("run", "conditions", "wallets").expect(0)
    assert ground.sql(broken) == [{"n": 0}]
    assert sandbox.pages() == 0
    ground.prove(sandbox)


@pytest.mark.long
@pytest.mark.parametrize("known", [pytest.param(True, id="unclean"), False])
def test_rows_that_later_rows_stand_for_are_missed(
    ground: harness.Ground, sandbox: harness.Sandbox, known: bool
) -> None:
    """A wallet has as many rows as its receipt counts, though one of them is gone."""
    wallet = sandbox.wallets[0].removeprefix("0x")
    for statement in (
        "INSERT INTO external_trades_raw SELECT * REPLACE (generateUUIDv4() AS external_trade_id, "
        "now() AS trade_timestamp) FROM external_trades_raw WHERE wallet_address = "
        f"'{wallet}' LIMIT 5",
        "ALTER TABLE external_trades_raw DELETE WHERE external_trade_id IN ("
        f"SELECT external_trade_id FROM external_trades_raw WHERE wallet_address = '{wallet}' "
        "ORDER BY trade_timestamp LIMIT 5) SETTINGS mutations_sync = 2",
    ):
        _sql(ground, statement)
    file = ground.checkpoint / store_state.FILE
    if known:
        before = store_state.read(ground.checkpoint)
        assert before is not None
        store_state.write(
            ground.checkpoint,
            store_state.StoreState(clean_stop="", boot=before.boot, tables=before.tables),
        )
    else:
        file.unlink()
    told = ground.run("run", "conditions", "wallets")
    told.expect(0)
    assert "rows are missing and are fetched again" in told.err
    _sql(
        ground,
        "ALTER TABLE external_trades_raw DELETE WHERE trade_timestamp > now() - 3600 "
        "SETTINGS mutations_sync = 2",
    )
    ground.prove(sandbox)


@pytest.mark.long
def test_a_plan_that_is_gone_is_put_back_as_far_as_it_is_known(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    for table in ("external_trades_raw", "wallet_backfill_plan", "backfill_meta"):
        _sql(ground, f"DROP TABLE {table} SYNC")
    ground.run("run", "conditions", "wallets").expect(0)
    assert 0 < sum(ground.statuses().values()) <= len(sandbox.wallets)
    ground.prove(sandbox)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_older_data_folder_under_a_newer_checkpoint(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    """And its reverse, which only costs requests."""
    sandbox.reset()
    with harness.ground(tmp_path, sandbox.url, prepared=prepared) as ground:
        ground.run("init").expect(0)
        ground.plan(sandbox)
        ground.run("run", "wallets", "--limit", "20").expect(0)
        _until_stopped(ground)
        older = {name: tmp_path / f"{name}.old" for name in ("data", "checkpoints")}
        for name, kept in older.items():
            shutil.copytree(tmp_path / name, kept, symlinks=True)
        ground.run("run", "conditions", "wallets").expect(0)
        _until_stopped(ground)
        shutil.rmtree(ground.data)
        shutil.copytree(older["data"], ground.data, symlinks=True)
        told = ground.run("run", "conditions", "wallets")
        told.expect(0)
        assert "the store is older than the checkpoint" in told.err
        ground.prove(sandbox)
        _until_stopped(ground)
        shutil.rmtree(ground.checkpoints)
        shutil.copytree(older["checkpoints"], ground.checkpoints)
        ground.run("run", "conditions", "wallets").expect(0)
        ground.prove(sandbox)


@pytest.mark.parametrize(
    "tables",
    [
        pytest.param(
            ("api_market_rows", "api_position_rows", "api_resolution_rows", "api_event_rows"),
            marks=pytest.mark.long,
        ),
        pytest.param(("ingested_keys", "ingested_positions", "quarantine"), marks=pytest.mark.long),
        pytest.param(("api_market_rows", "ingested_keys"), marks=pytest.mark.long),
        pytest.param(("api_position_rows", "ingested_positions"), marks=pytest.mark.long),
    ],
)
def test_lists_and_positions_that_are_lost_in_the_middle_are_read_again(
    tmp_path: Path,
    sandbox: harness.Sandbox,
    tables: tuple[str, ...],
    prepared: harness.PreparedStore,
) -> None:
    """Receipts of lists cannot be compared row by row: what is harmed is read anew."""
    sandbox.reset()
    rng = random.Random(1)
    with harness.ground(tmp_path, sandbox.url, prepared=prepared) as ground:
        daemon = ground.start("run")
        pages = rng.randint(60, 90)
        harness.until(
            lambda: ground.acknowledged_pages() >= pages or not daemon.running, "pages", 60
        )
        daemon.kill()
        for table in tables:
            _sql(ground, f"DROP TABLE {table} SYNC")
        ground.run("run", within_s=100).expect(0)
        ground.prove_everything(sandbox)
        checked = ground.run("validate", "--offline", "--json")
        assert checked.code == 0, checked.out[:5_000]


def test_a_landing_view_that_is_missing_and_goes_again_costs_no_row(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    """Before a run and in its middle: without the view an insert succeeds and stores nothing."""
    sandbox.reset()
    drop = "DROP VIEW IF EXISTS external_trades_landing_mv SYNC"
    with harness.ground(
        tmp_path, sandbox.url, prepared=prepared, batch_rows=300, sleep_ms=150
    ) as ground:
        ground.run("init").expect(0)
        ground.plan(sandbox)
        _sql(ground, drop)
        daemon = ground.start("run", "wallets")
        pages = len(sandbox.wallets) // 4
        harness.until(
            lambda: ground.acknowledged_pages() >= pages or not daemon.running, "pages", 60
        )
        assert daemon.running
        _sql(ground, drop)
        daemon.end().expect(0)
        assert ground.events("store.view_made_anew")
        ground.prove(sandbox, conditions=())


def test_two_runs_that_begin_at_once_on_a_new_store_agree_on_its_name(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    sandbox.reset()
    with harness.ground(tmp_path, sandbox.url) as ground:
        names = ("main", "second", "third")
        begun = [ground.start("run", "--run-name", name, "wallets") for name in names]
        for daemon in begun:
            assert daemon.end().code in (0, 75)  # one daemon for one database
        named = ground.sql("SELECT toString(store_id) AS id FROM backfill_meta")
        assert len(named) == 1
        for name in names:
            ground.run("run", "--run-name", name, "wallets").expect(0)
            run_checkpoint.Checkpoint.open(
                ground.checkpoints / name, store_id=named[0]["id"]
            ).close()
