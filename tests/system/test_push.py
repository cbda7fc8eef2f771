"""`push`: the embedded store goes to a real server, and the run goes on there."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness, real_server
from tests.crash import pushkill

from polybackfill import errors

DRIVER = Path(pushkill.__file__)
MANY = 1_000_000
# Fills of a user's own sort: 20,000 markets, 30,000 wallets.
FILLS = f"""
INSERT INTO external_trades_raw
    (source, condition_id, wallet_address, token_id, side, outcome_index, price, shares, cash_value,
     trade_timestamp, tx_hash, external_trade_id)
SELECT 'polymarket_data_api', lower(hex(sipHash128(number % 20000))) || repeat('0', 32),
    substring(lower(hex(sipHash128(number % 30000, 'w'))) || repeat('0', 8), 1, 40),
    toString(number % 40000), number % 2 ? 'BUY' : 'SELL', number % 2, 0.5, number % 900, 1,
    toDateTime(1700000000 + number), lower(hex(sipHash128(number, 'x'))), generateUUIDv4(number)
FROM numbers({MANY})
"""
DIGEST = """
SELECT count() AS rows, sum(sipHash64(tuple(* EXCEPT (usdc_size, fees)))) AS digest
FROM external_trades_raw
"""


@pytest.fixture(scope="module")
def stored(
    shared_sandbox: harness.Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[harness.Ground]:
    """A laptop on which everything but a few wallets was fetched."""
    with harness.ground(tmp_path_factory.mktemp("laptop"), shared_sandbox.url) as ground:
        ground.run("init").expect(0)
        ground.plan(shared_sandbox)
        ground.run("run", "conditions").expect(0)
        ground.run("run", "wallets", "--limit", "20").expect(0)
        yield ground


def push(
    ground: harness.Ground, server: real_server.Server, database: str, *kill: str
) -> harness.Finished:
    to = f"http://127.0.0.1:{server.port}/{database}"
    driver = {"driver": DRIVER} if kill else {}
    return ground.run(*kill, "push", "--to", to, "--json", within_s=300, **driver)


def go_on(ground: harness.Ground, server: real_server.Server, folder: Path, told: str) -> None:
    """Settings of the server, as the push says them."""
    said = json.loads(told)
    ground.use_server(server.port, said["database"])
    ground.checkpoints = Path(said["checkpoint_dir"])
    ground.set(checkpoint_dir=said["checkpoint_dir"], data_dir=folder)


def test_a_push_killed_anywhere_goes_on_and_the_run_asks_for_nothing_again(
    stored: harness.Ground,
    sandbox: harness.Sandbox,
    clickhouse_server: real_server.Server,
    tmp_path: Path,
) -> None:
    database = clickhouse_server.database("pushed")
    for step, call in (("sending", "2"), ("sent", "2"), ("shown", "3"), ("copied", "1")):
        push(stored, clickhouse_server, database, step, call).expect(-signal.SIGKILL)
    pushed = push(stored, clickhouse_server, database)
    pushed.expect(0)
    here = stored.sql("SELECT count() AS rows FROM external_trades_raw")[0]["rows"]
    assert json.loads(pushed.out)["tables"]["external_trades_raw"]["rows"] == here > 1_000
    again = push(stored, clickhouse_server, database)
    again.expect(0)
    assert json.loads(again.out) == json.loads(pushed.out)
    left = clickhouse_server.sql(f"SHOW TABLES FROM {database} LIKE 'pushed%'")
    assert left == ""
    with harness.ground(tmp_path, sandbox.url) as there:
        go_on(there, clickhouse_server, tmp_path / "data", pushed.out)
        sandbox.reset()
        there.run("run", "conditions").expect(0)
        assert sandbox.pages() == 0
        there.run("run", "conditions", "wallets").expect(0)
        there.prove(sandbox)
        there.run("validate", "--offline").expect(0)
        # A store that has gone on is nobody's copy any more.
        refused = push(stored, clickhouse_server, database)
        refused.expect(errors.EXIT_CONFIG)
        assert "name a database that is empty" in refused.err


def test_a_push_to_a_server_that_holds_other_rows_is_refused(
    stored: harness.Ground, clickhouse_server: real_server.Server
) -> None:
    database = clickhouse_server.database("others")
    at = f"CLICKHOUSE_HOST=http://127.0.0.1:{clickhouse_server.port}/{database}"
    (stored.folder / "named").mkdir()
    with harness.ground(stored.folder / "named", "http://127.0.0.1:9") as there:
        there.use_server(clickhouse_server.port, database)
        there.run("init").expect(0)
        refused = there.run("push", "--to", at.partition("=")[2])
        refused.expect(errors.EXIT_CONFIG)
        assert "leave it unset" in " ".join(refused.err.split())
    refused = stored.run("push", "--to", at.partition("=")[2], "--run-name", "another")
    refused.expect(errors.EXIT_CONFIG)
    assert "that of run another is empty" in refused.err
    clickhouse_server.sql(
        f"INSERT INTO {database}.wallet_backfill_plan (wallet_address, priority_rank) "
        f"VALUES ('{'ab' * 20}', 1)"
    )
    refused = push(stored, clickhouse_server, database)
    refused.expect(errors.EXIT_CONFIG)
    assert "wallet_backfill_plan in database others" in refused.err
    assert clickhouse_server.sql(f"SELECT count() FROM {database}.external_trades_raw") == "0\n"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_fills_are_pushed_and_killed_twice(
    stored: harness.Ground,
    sandbox: harness.Sandbox,
    clickhouse_server: real_server.Server,
    tmp_path: Path,
) -> None:
    """Digests equal, and the run that goes on asks for nothing again."""
    stored.sql(FILLS)
    database = clickhouse_server.database("million")
    for step, call in (("sending", "3"), ("sent", "2")):
        push(stored, clickhouse_server, database, step, call).expect(-signal.SIGKILL)
    pushed = push(stored, clickhouse_server, database)
    pushed.expect(0)
    (here,) = stored.sql(DIGEST)
    assert here["rows"] > MANY
    assert (
        json.loads(
            clickhouse_server.sql(
                f"{DIGEST} FORMAT JSONEachRow",
                database=database,
                output_format_json_quote_64bit_integers="0",
            )
        )
        == here
    )
    with harness.ground(tmp_path, sandbox.url) as there:
        go_on(there, clickhouse_server, tmp_path / "data", pushed.out)
        sandbox.reset()
        there.run("run", "conditions").expect(0)
        assert sandbox.pages() == 0
