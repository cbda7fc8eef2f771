"""Data in forms nobody documented is read or said to be missing, and one bad value costs itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness, small_api

Row = dict[str, Any]
NOW = int(time.time())
SETTLED = NOW - 4 * 86_400


def _text(row: Row, *names: str) -> None:
    row.update({name: str(row[name]) for name in names if name in row})


def all_as_text(path: str, row: Row) -> None:
    """Every number, id and flag in another type than documented."""
    _text(row, "size", "price", "usdc_size", "timestamp", "outcome_index", "is_combo")
    _text(row, "current_size", "avg_price", "realized_pnl", "last_event_at")
    if "closed" in row:
        row.update(closed=str(row["closed"]).lower(), id=int(row["id"]), events=row["events"][0])
    if "token_id" in row and path.startswith("/data"):
        row["token_id"] = int(row["token_id"])
    if "side" in row:
        row.update(side=row["side"].lower(), type=row.get("type", "trade").lower())
    if row.get("payouts"):
        row.update(payouts=[str(one) for one in row["payouts"]], status="Resolved")


def milliseconds(_path: str, row: Row) -> None:
    """Instants in milliseconds."""
    row.update({name: row[name] * 1000 for name in ("timestamp", "last_event_at") if name in row})


def without_size(path: str, row: Row) -> None:
    """A field without which nothing can be stored."""
    if "size" in row and path == "/data/v2/activity":
        row["size"] = None


def poisoned(_path: str, row: Row) -> None:
    """Numbers no figure can be, in every field that a row can do without."""
    for name in ("usdc_size", "volumeNum", "liquidityNum", "avg_price", "total_size"):
        if name in row:
            row[name] = 1e308
    for name in ("current_price", "current_value", "realized_pnl", "unrealized_pnl"):
        if name in row:
            row[name] = -1e308


@pytest.fixture
def api() -> Iterator[small_api.SmallApi]:
    """Three fills of a wallet in a market that has paid."""
    made = small_api.SmallApi(
        activity=[
            small_api.trade("w", "m", 0, "BUY", 10.0, 0.4, SETTLED + number) for number in range(3)
        ],
        markets=[small_api.market(600, "m", ["1", "0"], closed=True, start=SETTLED - 86_400)],
        positions=[small_api.position("w", "m", 0, 30.0, SETTLED + 2)],
        resolutions=[small_api.resolution("m", [1_000_000, 0])],
    )
    made.markets[0]["volumeNum"] = 15.0
    with small_api.serving(made) as running:
        yield running


def spoil(api: small_api.SmallApi, change: Callable[[str, Row], None]) -> None:
    """Every row that is served from now on."""

    def spoilt(path: str, body: Row) -> Row:
        body = json.loads(json.dumps(body))
        for name in ("data", "markets", "events"):
            rows = body.get(name)
            for row in rows if isinstance(rows, list) else ():
                change(path, row)
        return body

    api.spoil = spoilt


STORED = """
SELECT (SELECT count() FROM external_trades_raw) AS trades,
    (SELECT sum(shares) FROM external_trades_raw) AS shares,
    (SELECT count() FROM quarantine) AS set_aside,
    (SELECT groupArray((closed, market_id)) FROM api_markets_staging) AS markets,
    (SELECT groupArray((size, toUnixTimestamp(last_event_at))) FROM api_positions_staging)
        AS positions,
    (SELECT groupArray((status, payouts)) FROM api_resolutions) AS resolutions
"""
WHOLE = {
    "trades": 3,
    "shares": 30,
    "set_aside": 0,
    "markets": [[True, "600"]],
    "positions": [[30, SETTLED + 2]],
    "resolutions": [["resolved", [1, 0]]],
}


@pytest.mark.parametrize(
    "change", [all_as_text, pytest.param(milliseconds, marks=pytest.mark.long)]
)
def test_types_that_drift_are_read(
    api: small_api.SmallApi,
    tmp_path: Path,
    change: Callable[[str, Row], None],
    prepared: harness.PreparedStore,
) -> None:
    spoil(api, change)
    with harness.ground(tmp_path, api.url, prepared=prepared) as ground:
        ended = ground.run("run")
        ended.expect(0)
        assert ground.sql(STORED) == [WHOLE]
        spoil(api, lambda _path, _row: None)  # and back again: the same fills, none twice
        ground.run("run").expect(0)
        assert ground.sql(STORED) == [WHOLE]


def test_a_unit_most_of_whose_rows_are_set_aside_is_in_error(
    api: small_api.SmallApi, tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    spoil(api, without_size)
    with harness.ground(tmp_path, api.url, prepared=prepared) as ground:
        ended = ground.run("run", "--wallet", small_api.wallet_of("w"))
        ended.expect(3)
        assert "3 of 3 rows set aside: size: missing (3)" in ended.out
        assert "proven complete" not in ended.out.replace("0 of 1 proven complete", "")
        assert "3 rows set aside" in ground.run("status").out
        validated = ground.run("validate", "--offline")
        validated.expect(3)
        assert "3 rows set aside" in validated.out
        assert ground.sql("SELECT count() AS n FROM quarantine") == [{"n": 3}]


def test_one_bad_number_costs_itself(
    api: small_api.SmallApi, tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """A volume, a value or a profit of 1e308 is unknown; everything else goes on."""
    spoil(api, poisoned)
    with harness.ground(tmp_path, api.url, prepared=prepared) as ground:
        for reports in ("false", "true"):
            ground.set(reports=reports)
            ground.run("run").expect(0)
        assert ground.sql(STORED) == [WHOLE]
        unknown = (
            "SELECT (SELECT countIf(usdc_size IS NULL) FROM external_trades_raw) AS trades, "
            "(SELECT groupArray(isNull(volume)) FROM api_markets_staging) AS volumes, "
            "(SELECT groupArray(isNull(realized_pnl)) FROM api_positions_staging) AS profits"
        )
        assert ground.sql(unknown) == [{"trades": 3, "volumes": [1], "profits": [1]}]
        for words in (("report", "categories"), ("report", "coverage"), ("plan", "estimate")):
            ground.run(*words).expect(0)


def test_nothing_may_be_written_as_null(
    api: small_api.SmallApi, tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """A wallet nobody knows: data null with a sound pagination. Done, no rows, on every route."""

    def nothing(_path: str, body: Row) -> Row:
        return {name: None if value == [] else value for name, value in body.items()}

    api.spoil = nothing
    with harness.ground(tmp_path, api.url, prepared=prepared) as ground:
        unknown = small_api.wallet_of("nobody")
        ended = ground.run("run", "wallets", "positions", "--wallet", unknown)
        ended.expect(0)
        assert ": 0 rows acknowledged" in ended.out
        ground.run("run").expect(0)
        assert ground.sql(STORED) == [WHOLE]


AMOUNTS = (1e308, -1e308, "inf", "-inf", "nan", 9e17, -1.0)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_is_stored_already_breaks_nothing(
    api: small_api.SmallApi, tmp_path: Path, prepared: harness.PreparedStore
) -> None:
    """Numbers that an earlier version or a person has stored: every command still works."""
    with harness.ground(tmp_path, api.url, prepared=prepared, reports="true") as ground:
        ground.run("run").expect(0)
        with_numbers = ground.sql(
            "SELECT table, groupArray(name) AS names FROM system.columns "
            "WHERE database = currentDatabase() AND type LIKE '%Float64%' AND table IN "
            "('external_trades_raw', 'wallet_activity_raw', 'api_market_rows', 'api_event_rows', "
            "'api_position_rows', 'wallet_backfill_plan', 'condition_backfill_plan', 'pm_trades') "
            "AND type NOT LIKE '%Array%' GROUP BY table"
        )
        for table in with_numbers:
            rows = []
            for number in AMOUNTS:
                poison = f"toFloat64('{number}')"
                changed = ", ".join(f"{poison} AS {name}" for name in table["names"])
                rows.append(f"SELECT * REPLACE ({changed}) FROM {table['table']} LIMIT 1")
            statement = f"INSERT INTO {table['table']} {' UNION ALL '.join(rows)}"
            ground.run("sql", statement).expect(0)
        for words in (
            ("run",),
            ("report", "categories"),
            ("report", "coverage"),
            ("dims", "build"),
            ("plan", "estimate"),
            ("plan", "show"),
            ("status",),
            ("validate", "--offline"),
            ("check", "trades"),
            ("check", "progress"),
        ):
            ended = ground.run(*words)
            ended.expect(0, 3)
            assert "Traceback" not in ended.err, words
