"""Setting up the schema: once, in order, never over what is not ours."""

from __future__ import annotations

import pytest

from polybackfill import errors
from polybackfill.store import client, definitions, migrate, ownership


async def test_a_second_run_changes_nothing(store: client.Store) -> None:
    applied = await migrate.up(store)
    assert applied == [migration.name for migration in definitions.known()]
    assert await migrate.up(store) == []


async def test_a_run_killed_half_way_is_completed(store: client.Store) -> None:
    first, *_ = definitions.known()
    await store.command(first.statements(None)[0])
    assert len(await migrate.up(store)) == len(definitions.known())


async def test_renamed_tables_keep_their_rows(
    store: client.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after any statement and begun again, a store of before comes to the same."""
    *before, renaming = [one for one in definitions.known() if one.number <= 12]
    with monkeypatch.context() as patched:
        patched.setattr(definitions, "known", lambda: before)
        await migrate.up(store)
    await store.command("INSERT INTO api_market_rows (source, condition_id) VALUES ('gamma', 'a')")
    await store.command("INSERT INTO market_id_applies (apply_id, action) VALUES (1, 'apply')")
    statements = renaming.statements(None)
    for end in range(len(statements)):
        for statement in statements[: end + 1]:
            await store.command(statement)
    await migrate.up(store)
    await store.command("INSERT INTO api_market_rows (source, condition_id) VALUES ('gamma', 'b')")
    assert await store.rows("SELECT key FROM ingested_keys ORDER BY key") == [
        {"key": "market gamma a  "}, {"key": "market gamma b  "},
    ]  # fmt: skip
    assert await store.rows("SELECT apply_id FROM market_id_apply_log") == [{"apply_id": 1}]
    names = {row["name"] for row in await store.rows("SHOW TABLES")}
    assert not [name for name in names if name.startswith("landed_")]
    assert not names & {"fills_compared", "market_id_applies"}
    assert await migrate.missing(store) == []


async def test_a_renamed_table_that_is_lost_is_made_under_its_new_name(
    migrated: client.Store,
) -> None:
    await migrated.command("DROP TABLE ingested_keys SYNC")
    assert await migrate.restore(migrated) == ["ingested_keys"]
    names = {row["name"] for row in await migrated.rows("SHOW TABLES")}
    assert "ingested_keys" in names
    assert not [name for name in names if name.startswith("landed_")]


async def test_the_tables_of_the_runbook_are_there(migrated: client.Store) -> None:
    names = {row["name"] for row in await migrated.rows("SHOW TABLES")}
    assert names >= {
        "external_trades_raw", "wallet_activity_raw", "quarantine", "wallet_backfill_plan",
        "condition_backfill_plan", "pm_trades", "trades_raw", "vw_trades_canonical",
    }  # fmt: skip


async def test_tables_and_views_of_the_user_stay_as_they_are(store: client.Store) -> None:
    await store.command("CREATE TABLE clob_fills (id UInt8) ENGINE = MergeTree ORDER BY id")
    await store.command("CREATE VIEW pm_trades AS SELECT id, 'mine' AS owner FROM clob_fills")
    await store.command("CREATE TABLE trades_raw (mine String) ENGINE = MergeTree ORDER BY mine")
    await store.command("INSERT INTO trades_raw VALUES ('kept')")
    await migrate.up(store)
    assert await store.rows("SELECT * FROM trades_raw") == [{"mine": "kept"}]
    described = await store.rows("DESCRIBE TABLE pm_trades")
    assert [column["name"] for column in described] == ["id", "owner"]
    with pytest.raises(errors.GiveUp, match="fill_id"):  # only the view that needs it says so
        await store.rows("SELECT count() FROM pm_trades_with_external")


async def test_a_store_of_a_newer_version_is_refused(migrated: client.Store) -> None:
    await migrated.command(
        "INSERT INTO schema_migrations (number, name, checksum) VALUES (900, '900_later.sql', 'x')"
    )
    with pytest.raises(errors.Stop, match=r"newer version.*900_later\.sql"):
        await migrate.up(migrated)


async def test_a_store_made_by_another_file_is_refused(migrated: client.Store) -> None:
    await migrated.command(
        "ALTER TABLE schema_migrations UPDATE checksum = 'other' WHERE number = 1"
    )
    with pytest.raises(errors.Stop, match=r"001_trades\.sql"):
        await migrate.up(migrated)


async def test_a_store_keeps_the_name_it_was_given(migrated: client.Store) -> None:
    name = await migrate.store_id(migrated)
    assert len(name) == 36
    assert await migrate.store_id(migrated) == name


def test_on_a_cluster_every_table_is_replicated() -> None:
    for migration in definitions.known():
        for statement in migration.statements("main"):
            assert "ON CLUSTER `main`" in statement
            assert "{" not in statement
            if "MergeTree" in statement:
                assert "ENGINE = Replicated" in statement


def test_numbers_are_unique_and_single_server_statements_are_plain() -> None:
    numbers = [migration.number for migration in definitions.known()]
    assert numbers == sorted(set(numbers))
    for migration in definitions.known():
        text = " ".join(migration.statements(None))
        assert "Replicated" not in text
        assert "CLUSTER" not in text
        repeatable = text.count("IF NOT EXISTS") + text.count("CREATE OR REPLACE VIEW")
        assert text.count("CREATE") == repeatable


# Each file as the first store got it that others may have by now.
_APPLIED = {
    "001_trades.sql": "235802094425",
    "002_activity.sql": "37ef13d17467",
    "003_plans.sql": "eeef5632f280",
    "004_internal.sql": "558d6bd5028e",
    "005_universe.sql": "b61c0e580929",
    "006_views.sql": "2699268d83da",
    "007_dimensions.sql": "0cdc5a2f795c",
    "008_market_ids.sql": "b12f9d09b584",
    "009_landed.sql": "60b3f000f6ba",
    "010_payouts.sql": "1c66bd7da711",
    "011_balances.sql": "c486d29b87c6",
    "012_renamed.sql": "d2ef32c07c93",
    "013_candles.sql": "a1fa50d57689",
    "015_receipts.sql": "d98bd27f6d17",
    "017_fills_once.sql": "8d12c47a9135",
    "018_candles_of_minutes.sql": "f5deec617584",
}


def test_a_file_that_a_store_may_have_applied_stays_as_it_is() -> None:
    """A store remembers what it was made by, and another text is refused: a change is a new file,
    whose sum is added here.
    """
    assert {one.name: one.checksum[:12] for one in definitions.known()} == _APPLIED


YOURS = {"pm_trades", "trades_raw", "vw_trades_canonical"}


async def test_every_table_of_ours_syncs_what_it_acknowledges(migrated: client.Store) -> None:
    """Parts, and what merges and mutations put in their place; of yours nothing is decided."""
    rows = await migrated.rows(
        "SELECT name, engine_full FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree%'"
    )
    settings = [pair.split(" = ")[0] for pair in definitions.SYNC_SETTINGS.split(", ")]
    assert "fsync_after_insert" in settings
    for row in rows:
        synced = all(f"{name} = 1" in row["engine_full"] for name in settings)
        assert synced == (row["name"] not in YOURS), row
    assert len(rows) > len(YOURS)


async def test_every_column_of_our_tables_says_what_it_holds(migrated: client.Store) -> None:
    """The engine itself tells it: DESCRIBE, or any tool that shows columns."""
    await migrated.command(definitions.filled(ownership._TABLE, None))
    rows = await migrated.rows(
        "SELECT table, name, columns.comment AS comment, tables.comment AS of_table "
        "FROM system.columns AS columns "
        "INNER JOIN system.tables AS tables USING (database, table) "
        "WHERE database = currentDatabase() AND tables.engine NOT LIKE '%View'"
    )
    ours = [row for row in rows if row["table"] not in YOURS]
    assert {"external_trades_raw", "schema_migrations", "backfill_owners"} <= {
        row["table"] for row in ours
    }
    assert [f"{row['table']}.{row['name']}" for row in ours if not row["comment"]] == []
    assert [row["table"] for row in ours if not row["of_table"]] == []
    assert [row["table"] for row in rows if row["table"] in YOURS and row["comment"]] == []


async def test_every_column_of_a_view_says_what_it_holds(migrated: client.Store) -> None:
    rows = await migrated.rows(
        "SELECT table, name, columns.comment AS comment FROM system.columns AS columns "
        "INNER JOIN system.tables AS tables USING (database, table) "
        "WHERE database = currentDatabase() AND tables.engine = 'View'"
    )
    assert {"pm_trades_with_external", "resolution_disagreements", "wallet_pnl"} <= {
        row["table"] for row in rows
    }
    assert [f"{row['table']}.{row['name']}" for row in rows if not row["comment"]] == []
