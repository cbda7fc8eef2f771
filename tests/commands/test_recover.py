"""`recover`: nothing is emptied without a backup of every row, and everything comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

from polybackfill import errors

TRADES = "external_trades_raw"


@pytest.fixture(scope="module")
def done(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """A finished run of some wallets and conditions; each test leaves it as it was."""
    shared_sandbox.reset()
    made = new_desk()
    made.plan_keys(*shared_sandbox.wallets[:20], *shared_sandbox.conditions[:20])
    made.call("run", "conditions", "wallets")
    return made


def test_without_a_backup_nothing_is_emptied(
    done: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """Seed 001, recovery: scenario B refuses without a backup, and with one that lacks a row."""
    before = done.state()
    refused = done.call("recover", "--write", code=errors.EXIT_CONFIG)
    assert "there is no backup" in refused.err
    assert "polybackfill recover --make-backup" in refused.err
    name = done.json("recover", "--make-backup")["backup"]
    kept = f"{TRADES}_backup_{name}"
    done.call(
        "sql",
        f"ALTER TABLE {kept} DELETE WHERE external_trade_id = "
        f"(SELECT min(external_trade_id) FROM {TRADES})",
    )
    refused = done.call("recover", "--write", code=errors.EXIT_CONFIG)
    assert f"1 row of {TRADES} is not in backup {name}" in refused.err
    refused = done.call("recover", "--backup", "other", code=errors.EXIT_CONFIG)
    assert f"there is no backup other; there are {name}" in refused.err
    done.call("sql", f"DROP TABLE wallet_activity_raw_backup_{name}")
    refused = done.call("recover", "--write", code=errors.EXIT_CONFIG)
    assert "there is no backup" in refused.err, "half of one is none"
    done.call("sql", f"DROP TABLE {kept}")
    assert done.state() == before
    assert set(done.statuses()) == {"done"}


def test_a_damaged_table_is_made_anew(done: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    """Seed 001, recovery: scenario B in one command restores fully."""
    before, ids = done.state(), done.ids()
    done.call("sql", f"ALTER TABLE {TRADES} UPDATE shares = shares + 1 WHERE side = 'BUY'")
    assert done.state() != before
    shared_sandbox.reset()
    done.set(job="night")  # as on a host of a job, which has other parts: it is done alone
    told = done.json("recover", "--make-backup", "--write")
    del done.environment["BACKFILL_JOB"]
    assert told["emptied"] is True
    assert [(one["not_in_backup"], one["not_in_table"]) for one in told["tables"]] == [(0, 0)] * 2
    assert set(shared_sandbox.ask("stats")["routes"]) >= {"activity", "trades"}
    assert done.state() == before
    assert done.ids() == ids
    assert set(done.statuses()) == {"done"}
    assert done.call("check", "trades").out.endswith("duplicates of external_trade_id: 0\n")


def test_killed_in_the_middle_the_next_run_ends_it(
    done: desks.Desk, shared_sandbox: harness.Sandbox
) -> None:
    """Seed 001, recovery: scenario B, killed while everything is fetched again."""
    before = done.state()
    shared_sandbox.faults(
        {"kind": "429_json", "route": "data", "after": 8, "count": 1, "retry_after_s": 60}
    )
    daemon = done.start("recover", "--make-backup", "--write")
    harness.until(lambda: shared_sandbox.fired()["429_json"], "the middle of the run")
    daemon.kill()
    shared_sandbox.reset()
    assert done.state() != before
    told = done.call("recover").out
    assert "nothing was changed" in told
    done.call("run", "conditions", "wallets")
    assert done.state() == before
    assert {one["not_in_table"] for one in done.json("recover")["tables"]} == {0}


def test_what_the_api_no_longer_has_is_put_back(done: desks.Desk) -> None:
    """Seed 001, recovery: rows of the backup come back without a request, each once."""
    before = done.state()
    done.call("recover", "--make-backup")
    for table in (TRADES, "wallet_activity_raw"):
        done.call("sql", f"ALTER TABLE {table} DELETE WHERE cityHash64(tx_hash) % 3 = 0")
    lost = done.json("recover", "--put-back")
    assert lost["put_back"] is False
    assert all(one["not_in_table"] > 0 for one in lost["tables"])
    for _ in range(2):
        told = done.call("recover", "--put-back", "--write").out
        assert told.endswith("every row of the backup is in the tables\n")
        assert done.state() == before


def test_a_table_that_cannot_be_read(done: desks.Desk) -> None:
    """Seed 001, recovery: scenario B when the disk has eaten the table."""
    before = done.state()
    name = done.json("recover", "--make-backup")["backup"]
    done.call("sql", f"OPTIMIZE TABLE {TRADES} FINAL")
    (part,) = done.sql(
        "SELECT path FROM system.parts WHERE active AND database = currentDatabase() "
        f"AND table = '{TRADES}'"
    )
    for file in Path(part["path"]).glob("*.bin"):
        file.write_bytes(b"\0" * file.stat().st_size)
    refused = done.call("recover", "--write", code=errors.EXIT_CONFIG)
    assert f"{TRADES} cannot be read" in refused.err
    assert f"polybackfill recover --backup {name} --write" in refused.err
    told = done.json("recover", "--backup", name, "--write")
    assert {one["not_in_table"] for one in told["tables"]} == {0}
    assert done.state() == before


def test_not_while_a_run_is_going_on(done: desks.Desk, shared_sandbox: harness.Sandbox) -> None:
    shared_sandbox.reset()
    shared_sandbox.faults({"kind": "429_json", "route": "data", "count": 1, "retry_after_s": 60})
    daemon = done.start("run", "--wallet", shared_sandbox.wallets[30])
    harness.until(lambda: shared_sandbox.fired()["429_json"], "a run that waits")
    assert "is in use" in done.call("recover", "--write", code=errors.EXIT_UNAVAILABLE).err
    daemon.kill()
    shared_sandbox.reset()


def test_words_that_contradict(done: desks.Desk) -> None:
    refused = done.call("recover", "--put-back", "--make-backup", code=errors.EXIT_CONFIG)
    assert "--put-back takes rows from a backup" in refused.err
    refused = done.call("recover", "--make-backup", "--backup", "x", code=errors.EXIT_CONFIG)
    assert "leave --backup out" in refused.err
