"""An insert is acknowledged when its rows are in the table people read, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.store import conftest

from polybackfill import errors
from polybackfill.kinds import registry
from polybackfill.store import client, definitions

NOTED = [table for table in registry.TABLES if table.noted_key]
TRADES_VIEW = "external_trades_landing_mv"


async def _count(store: client.Store, table: str = "external_trades_raw") -> int:
    (row,) = await store.rows(f"SELECT count() AS n FROM {table}")
    return int(row["n"])


async def _patiently(store: client.Store, numbers: Sequence[int]) -> None:
    """As the writer does: again after a Retry."""
    for _ in range(3):
        try:
            return await conftest.insert(store, [conftest.trade(number) for number in numbers])
        except errors.Retry:
            continue
    raise AssertionError("never acknowledged")


def test_every_view_that_carries_rows_on_is_known_by_its_source() -> None:
    views = dict(definitions.views())
    noting = {table.inserted: views.pop(table.inserted) for table in NOTED}
    found = {source: [one.name for one in several] for source, several in views.items()}
    assert found == {
        "external_trades_landing": [TRADES_VIEW, "candle_marks_mv"],
        "external_trades_raw": ["candle_marks_raw_mv"],
        "external_trades_checked": ["external_trades_new_mv", "fill_costs_mv"],
        "wallet_activity_landing": ["wallet_activity_landing_mv"],
        "quarantine_landing": ["quarantine_landing_mv"],
        "api_positions_landing": [
            "api_positions_landing_mv", "api_positions_ended_mv", "ingested_positions_mv",
        ],
    }  # fmt: skip
    for source, several in noting.items():
        assert [view.target for view in several] == ["ingested_keys"], source
    assert definitions.views("main")["quarantine_landing"][0].target == "quarantine"


async def test_views_are_fed_by_the_tables_named_as_their_source(migrated: client.Store) -> None:
    for source, views in definitions.views().items():
        (row,) = await migrated.rows(
            "SELECT dependencies_table AS feeds FROM system.tables "
            "WHERE database = currentDatabase() AND name = {name:String}",
            parameters={"name": source},
        )
        assert sorted(row["feeds"]) == sorted(view.name for view in views)


PATH = [
    TRADES_VIEW, "external_trades_landing", "external_trades_checked", "external_trades_new_mv",
    "fill_costs_mv", "candle_marks_mv",
]  # fmt: skip


@pytest.mark.parametrize("lost", PATH)
async def test_a_path_that_is_missing_before_the_first_insert_is_made_anew(
    migrated: client.Store, lost: str
) -> None:
    await migrated.command(f"DROP TABLE {lost} SYNC")
    await _patiently(migrated, range(5))
    assert await _count(migrated) == 5


@pytest.mark.parametrize("lost", PATH)
async def test_a_path_that_goes_in_the_middle_costs_no_row(
    migrated: client.Store, lost: str
) -> None:
    await _patiently(migrated, range(5))
    await migrated.command(f"DROP TABLE {lost} SYNC")
    with pytest.raises(errors.Retry, match=lost):
        await conftest.insert(migrated, [conftest.trade(number) for number in range(3, 9)])
    await _patiently(migrated, range(3, 9))
    assert await _count(migrated) == 9


async def test_a_view_made_again_between_two_inserts_is_noticed(migrated: client.Store) -> None:
    """While it was gone, rows of the insert that was on its way may have passed."""
    await _patiently(migrated, range(5))
    view = definitions.views()["external_trades_landing"][0]
    await migrated.command(f"DROP TABLE {view.name} SYNC")
    await migrated.command(view.statement)
    with pytest.raises(errors.Retry, match=view.name):
        await conftest.insert(migrated, [conftest.trade(number) for number in range(5, 8)])
    await _patiently(migrated, range(5, 8))
    assert await _count(migrated) == 8


@pytest.mark.parametrize(
    "other",
    [
        "TO external_trades_raw AS SELECT * FROM external_trades_landing WHERE side = 'SELL'",
        "TO elsewhere AS SELECT external_trade_id FROM external_trades_landing",
    ],
)
async def test_a_view_that_does_something_else_is_replaced(
    migrated: client.Store, other: str
) -> None:
    await migrated.command("CREATE TABLE elsewhere (external_trade_id UUID) ENGINE = Memory")
    await migrated.command(f"DROP TABLE {TRADES_VIEW} SYNC")
    await migrated.command(f"CREATE MATERIALIZED VIEW {TRADES_VIEW} {other}")
    await _patiently(migrated, range(4))
    assert await _count(migrated) == 4


async def test_a_view_as_it_is_defined_stays(migrated: client.Store) -> None:
    named = f"SELECT toString(uuid) AS uuid FROM system.tables WHERE name = '{TRADES_VIEW}'"
    before = await migrated.rows(f"{named} AND database = currentDatabase()")
    await _patiently(migrated, range(4))
    assert await migrated.rows(f"{named} AND database = currentDatabase()") == before


@pytest.mark.parametrize("again", [False, True])
async def test_a_table_of_rows_that_goes_in_the_middle_stops_the_run(
    migrated: client.Store, again: bool
) -> None:
    await _patiently(migrated, range(5))
    await migrated.command("DROP TABLE external_trades_raw SYNC")
    if again:
        for statement in definitions.creating("external_trades_raw", None):
            await migrated.command(statement)
    with pytest.raises(errors.Stop, match=r"external_trades_raw was dropped or replaced") as caught:
        await conftest.insert(migrated, [conftest.trade(number) for number in range(5, 8)])
    assert caught.value.exit_code == errors.EXIT_UNAVAILABLE


@pytest.mark.parametrize(
    ("table", "lost", "row"),
    [
        ("api_market_rows", "ingested_markets_mv", {"source": "gamma", "condition_id": "a"}),
        ("api_resolution_rows", "ingested_resolutions_mv", {"condition_id": "a"}),
        ("api_event_rows", "ingested_events_mv", {"event_id": "a"}),
    ],
)
async def test_the_notes_of_what_was_stored_are_part_of_the_path(
    migrated: client.Store, table: str, lost: str, row: dict[str, str]
) -> None:
    await migrated.insert(table, conftest.lines([row]), rows=1)
    await migrated.command(f"DROP TABLE {lost} SYNC")
    other = [{key: f"{value}2" for key, value in row.items()}]
    with pytest.raises(errors.Retry, match=lost):
        await migrated.insert(table, conftest.lines(other), rows=1)
    await migrated.insert(table, conftest.lines(other), rows=1)
    assert await _count(migrated, "ingested_keys FINAL") == 2


async def test_two_programs_that_find_the_same_hole_both_store(migrated: client.Store) -> None:
    other = client.Store(migrated.address, clock=migrated._clock)
    await migrated.command(f"DROP TABLE {TRADES_VIEW} SYNC")
    try:
        await asyncio.gather(_patiently(migrated, range(5)), _patiently(other, range(5, 9)))
    finally:
        await other.close()
    assert await _count(migrated) == 9
