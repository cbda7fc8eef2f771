"""`sql`: any statement, any format, errors for a script; and a client of others beside a run."""

from __future__ import annotations

import csv
import io
import json
import signal

import clickhouse_connect
import pytest
from tests import harness, holds
from tests.commands import desk as desks

from chdb_http import endpoint_file
from polybackfill import errors

from .conftest import NewDesk

TWO = "SELECT number AS n, concat('a', toString(number)) AS t FROM numbers(2)"


def test_formats(desk: desks.Desk) -> None:
    assert desk.call("sql", TWO).out == "n\tt\n0\ta0\n1\ta1\n", "names first where nobody watches"
    assert desk.call("sql", TWO, "--format", "TSV").out == "0\ta0\n1\ta1\n"
    lines = desk.call("sql", TWO, "--format", "JSONEachRow").out.splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 0, "t": "a0"}, {"n": 1, "t": "a1"}]
    rows = list(csv.reader(io.StringIO(desk.call("sql", TWO, "--format", "CSV").out)))
    assert rows == [["0", "a0"], ["1", "a1"]]
    assert desk.call("sql", f"{TWO} FORMAT CSV").out == '0,"a0"\n1,"a1"\n'


def test_a_statement_that_returns_nothing_prints_nothing(desk: desks.Desk) -> None:
    assert desk.call("sql", "CREATE TABLE mine (n UInt8) ENGINE = Memory").out == ""
    assert desk.call("sql", "INSERT INTO mine VALUES (1), (2)").out == ""
    assert desk.value("SELECT sum(n) FROM mine") == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("SELEC 1",), "Syntax error"),
        (("SELECT * FROM nowhere",), "polybackfill init"),
        (("SELECT * FROM nowhere",), "SHOW TABLES"),
        (("SELECT * FROM nowhere.here",), "no database 'nowhere'"),
        ((" ",), "the statement is empty"),
        (("SELECT no_such_column FROM system.one",), "no_such_column"),
        (("SELECT 1", "--format", "Nonsense"), "Nonsense"),
    ],
)
def test_a_statement_the_store_refuses(words: tuple[str, ...], said: str, desk: desks.Desk) -> None:
    told = desk.call("sql", *words, code=errors.EXIT_CONFIG)
    assert said in told.err
    assert told.out == ""
    assert "CLICKHOUSE_DATABASE" not in told.err, "the statement is at fault, not the settings"
    assert "Expected one of" not in told.err, "which goes on for a screen"


def test_an_error_in_the_middle_of_an_answer_is_an_error(desk: desks.Desk) -> None:
    statement = "SELECT throwIf(number = 5000000) FROM numbers(10000000)"
    told = desk.call("sql", statement, "--format", "TSV", code=errors.EXIT_UNAVAILABLE)
    assert "broke off" in told.err
    assert "throwIf" in told.out, "where a ClickHouse server says it, behind the rows"


def test_the_makers_client_reads_beside_a_run(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(workers=3, plan_refresh_s=0.2)
    desk.plan_keys(*sandbox.wallets, *sandbox.conditions)
    sandbox.faults({"kind": "429_json", "route": "data", "after": 40, "retry_after_s": 60})
    daemon = desk.start("run", "conditions", "wallets")
    harness.until(lambda: sandbox.fired()["429_json"], "the middle of the run")
    harness.until(lambda: desk.statuses().get("done"), "some wallets done")
    endpoint = endpoint_file.read(desk.store)
    assert endpoint is not None
    client = clickhouse_connect.get_client(
        host=endpoint.host,
        port=endpoint.port,
        password=holds.password_of(desk.store),
        database=desk.database,
    )
    rows, ids = client.query(
        "SELECT count(), uniqExact(external_trade_id) FROM external_trades_raw"
    ).result_rows[0]
    assert rows == ids > 0
    statuses = client.query(
        "SELECT toString(status), count() FROM wallet_backfill_plan GROUP BY status"
    )
    assert sum(count for _, count in statuses.result_rows) == len(sandbox.wallets)
    assert daemon.running
    sandbox.reset()
    daemon.signal(signal.SIGTERM)
    stopped = daemon.end()
    stopped.expect(0)
    desk.call("run", "conditions", "wallets")
    desk.prove(sandbox)
    named = client.query("SELECT wallet_address, shares, trade_timestamp FROM external_trades_raw")
    assert len(named.result_rows) == sandbox.truth()["trades"]["rows"]
    client.close()
