"""`init` and `doctor`: what is missing is made once, and named."""

from __future__ import annotations

import socket

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

TABLES = {
    "external_trades_raw",
    "wallet_activity_raw",
    "wallet_backfill_plan",
    "condition_backfill_plan",
    "quarantine",
    "pm_trades",
    "trades_raw",
    "vw_trades_canonical",
}
# system.tables and system.columns, by what a statement could change.
SCHEMA = (
    "SELECT name, uuid, engine_full, total_rows, metadata_modification_time FROM system.tables "
    "WHERE database = currentDatabase() ORDER BY name"
)


def _findings(desk: desks.Desk, code: int) -> dict[str, dict[str, object]]:
    return {one["check"]: one for one in desk.json("doctor", code=code)["findings"]}


def test_a_second_init_changes_nothing(bare_desk: desks.Desk) -> None:
    """Seed 001, setup / tables: creates all tables; a second run changes nothing."""
    first = bare_desk.json("init")
    assert len(first["applied"]) >= 4
    before = bare_desk.sql(SCHEMA)
    assert {row["name"] for row in before} > TABLES
    assert bare_desk.json("init")["applied"] == []
    assert "there was nothing to do" in bare_desk.call("init").out
    assert bare_desk.sql(SCHEMA) == before


def test_tables_of_the_user_are_left_as_they_are(bare_desk: desks.Desk) -> None:
    mine = (
        "CREATE TABLE pm_trades (wallet_address String, collateral_amount Float64, mine UInt8) "
        "ENGINE = MergeTree ORDER BY mine"
    )
    bare_desk.call("sql", mine)
    bare_desk.call("sql", "INSERT INTO pm_trades VALUES ('ab', 1, 7)")
    before = bare_desk.sql(f"SELECT * FROM ({SCHEMA}) WHERE name = 'pm_trades'")
    bare_desk.call("init")
    assert bare_desk.sql(f"SELECT * FROM ({SCHEMA}) WHERE name = 'pm_trades'") == before
    assert bare_desk.value("SELECT mine FROM pm_trades") == 7


def test_all_is_well(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    desk.call("init")
    findings = _findings(desk, 0)
    assert list(findings) == [
        *("versions", "folders", "disk", "store", "checkpoint"),
        *("upstream data", "upstream gamma", "upstream clob"),
    ]
    assert {one["exit_code"] for one in findings.values()} == {0}
    desk.call("run", "--wallet", sandbox.wallets[0])
    said = desk.call("doctor").out
    assert "WRONG" not in said
    assert "all tables there" in " ".join(said.split())
    assert "free" in said


def test_missing_tables_are_named(bare_desk: desks.Desk) -> None:
    """Seed 001, setup / tables: missing tables reported by name."""
    text = str(_findings(bare_desk, errors.EXIT_CONFIG)["store"]["text"])
    assert all(table in text for table in TABLES)
    assert "polybackfill init" in text
    bare_desk.call("init")
    bare_desk.call("sql", "DROP TABLE trades_raw")
    bare_desk.call("sql", "DROP TABLE quarantine_landing_mv")
    text = str(_findings(bare_desk, errors.EXIT_CONFIG)["store"]["text"])
    assert "lacks quarantine_landing_mv, trades_raw; create them: polybackfill init" in text
    assert bare_desk.json("init")["restored"] == ["quarantine_landing_mv", "trades_raw"]
    assert "WRONG" not in bare_desk.call("doctor").out


def test_upstream_is_down(new_desk: NewDesk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        desk = new_desk(f"http://127.0.0.1:{taken.getsockname()[1]}")
        desk.call("init")
        findings = _findings(desk, errors.EXIT_UNAVAILABLE)
    for host in ("data", "gamma", "clob"):
        found = findings[f"upstream {host}"]
        assert found["exit_code"] == errors.EXIT_UNAVAILABLE
        assert str(taken_port(desk)) in str(found["text"])
        assert f"or correct BACKFILL_{host.upper()}_URL" in str(found["text"])
    assert findings["store"]["exit_code"] == 0, "the others are looked at all the same"


def taken_port(desk: desks.Desk) -> str:
    """The port of the data API in the settings."""
    return desk.environment["BACKFILL_DATA_URL"].split(":")[2].split("/")[0]


@pytest.mark.parametrize("kind", ["403_html", "503"])
def test_upstream_refuses(kind: str, desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    desk.call("init")
    sandbox.faults({"kind": kind, "route": "gamma"})
    findings = _findings(desk, errors.EXIT_UNAVAILABLE)
    assert kind[:3] in str(findings["upstream gamma"]["text"])
    assert findings["upstream data"]["exit_code"] == 0


def test_the_store_is_not_there(desk: desks.Desk) -> None:
    """Seed 002, setup / tables: a connection that fails, with a clear message and non-zero exit."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        desk.use_server(port, "default")
        findings = _findings(desk, errors.EXIT_UNAVAILABLE)
        for words in (("init",), ("sql", "SELECT 1"), ("check", "trades"), ("plan", "show")):
            ended = desk.call(*words, code=errors.EXIT_UNAVAILABLE)
            assert f"127.0.0.1:{port}" in ended.err
            assert "CLICKHOUSE_HOST" in ended.err
    assert f"127.0.0.1:{port}" in str(findings["store"]["text"])
    assert findings["upstream data"]["exit_code"] == 0


def test_the_owner_of_the_checkpoint_is_named(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(request_deadline_s=60)
    desk.call("init")
    sandbox.faults({"kind": "hang", "route": "activity"})
    daemon = desk.start("run", "--wallet", sandbox.wallets[0])
    harness.until(lambda: sandbox.fired()["hang"], "the run at work")
    findings = _findings(desk, 0)
    assert f"held by process {daemon.pid}" in str(findings["checkpoint"]["text"])
    assert "not asked, a run spends the limits" in str(findings["upstream"]["text"])
    daemon.kill()
    assert "free" in str(_findings(desk, 0)["checkpoint"]["text"])


def test_passwords_are_not_shown(desk: desks.Desk) -> None:
    desk.environment["CLICKHOUSE_PASSWORD"] = "open sesame"
    ended = desk.call("doctor", "--json", code=None)
    assert "CLICKHOUSE_PASSWORD" in ended.out
    assert "sesame" not in ended.out + ended.err
