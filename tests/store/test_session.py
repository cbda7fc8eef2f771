"""What is stored and read does not depend on the zone of a server or the profile of its user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import harness, small_api
from tests.store.conftest import lines, trade

from polybackfill.store import client

LATE, EARLY = 1_780_270_200, 1_780_273_800  # 2026-05-31 23:30 and 2026-06-01 00:30, UTC

# As a profile might set them; each changes what some statement means or how its result looks.
PROFILE = {
    "session_timezone": "Asia/Tokyo",
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": "1",
    "join_use_nulls": "1",
    "join_default_strictness": "ANY",
    "group_by_use_nulls": "1",
    "prefer_column_name_to_alias": "1",
    "aggregate_functions_null_for_empty": "1",
    "empty_result_for_aggregation_by_empty_set": "1",
    "max_result_rows": "1",
    "result_overflow_mode": "break",
    "limit": "1",
    "async_insert": "1",
    "wait_for_async_insert": "0",
}


@pytest.mark.parametrize("name", PROFILE)
def test_every_statement_says_what_a_profile_could_change(name: str) -> None:
    for sent in (client.QUERY_SETTINGS, client._INSERT_SETTINGS):
        if name != "wait_for_async_insert":  # means nothing where async_insert is 0
            assert sent.get(name, PROFILE[name]) != PROFILE[name], name


async def test_times_are_utc_in_a_store_of_any_zone(migrated: client.Store) -> None:
    rows = [trade(number, trade_timestamp=at) for number, at in enumerate((LATE, EARLY))]
    await migrated.insert("external_trades_raw", lines(rows), rows=len(rows))
    found: list[dict[str, Any]] = await migrated.rows(
        "SELECT trade_timestamp, toStartOfMonth(trade_timestamp) AS month, timezone() AS zone "
        "FROM external_trades_raw ORDER BY trade_timestamp"
    )
    assert [(row["trade_timestamp"], row["month"], row["zone"]) for row in found] == [
        ("2026-05-31 23:30:00", "2026-05-01", "UTC"),
        ("2026-06-01 00:30:00", "2026-06-01", "UTC"),
    ]


async def test_every_time_column_says_its_zone(migrated: client.Store) -> None:
    """Also to a client that knows nothing of ours."""
    naive = await migrated.rows(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() "
        "AND type LIKE '%DateTime%' AND type NOT LIKE '%UTC%' AND table NOT LIKE '.%'"
    )
    assert naive == []


def test_a_run_in_another_zone_is_the_same(tmp_path: Path, prepared: harness.PreparedStore) -> None:
    """Store and program in Tokyo: months, plan times and reports are of UTC."""
    api = small_api.SmallApi(
        activity=[small_api.trade("w", "m", 0, "BUY", 1.0, 0.5, at) for at in (LATE, EARLY)]
    )
    with small_api.serving(api), harness.ground(tmp_path, api.url, prepared=prepared) as ground:
        ground.environment["TZ"] = "Asia/Tokyo"
        ground.run("run", "--wallet", small_api.wallet_of("w")).expect(0)
        assert ground.sql(
            "SELECT trade_timestamp AS at, formatDateTime(trade_timestamp, '%Y-%m') AS month "
            "FROM external_trades_raw ORDER BY at"
        ) == [
            {"at": "2026-05-31 23:30:00", "month": "2026-05"},
            {"at": "2026-06-01 00:30:00", "month": "2026-06"},
        ]
