"""`status` before, during and after a run; `check trades` against the truth."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors
from polybackfill.reports import run_files

from .conftest import NewDesk


def test_never_ran(desk: desks.Desk) -> None:
    assert f"no run named {desk.run_name} yet" in desk.call("status").out
    assert desk.json("status") == {"running": False}
    desk.call("status", "--health", code=errors.EXIT_UNITS_IN_ERROR)


def _reports(desk: desks.Desk) -> dict[str, bytes]:
    """The files that stand in the data folder itself, which all desks share."""
    files = (path for path in desk.data.iterdir() if path.suffix in {".md", ".html", ".json"})
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "words",
    ["status", "report coverage", "validate --offline", "check progress", "check receipts"],
)
def test_a_misspelt_run_is_refused_and_those_there_are_named(
    words: str, new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    """A report on a run that never was would say "not proven" of everything."""
    desk = new_desk()
    desk.call("run", "wallets", "--wallet", sandbox.wallets[0])
    written = _reports(desk)
    ended = desk.call(*words.split(), "--run-name", "mian", code=errors.EXIT_CONFIG)
    for word in ("no run named mian", "--run-name", desk.run_name):
        assert word in ended.err
    assert _reports(desk) == written


@pytest.mark.parametrize(
    "words",
    [
        "plan show",
        "check plan",
        "check trades",
        "check progress",
        "validate --offline",
        "quarantine list",
        "quarantine replay",
        "report coverage",
    ],
)
def test_what_only_reads_makes_no_store(words: str, new_desk: NewDesk) -> None:
    """A mistyped folder would get an empty store, of which everything holds."""
    desk = new_desk(data_dir="elsewhere")
    before = desks.tree(desk.folder)
    assert "there is no store" in desk.call(*words.split(), code=errors.EXIT_CONFIG).err
    assert desks.tree(desk.folder).keys() == before.keys()


@pytest.fixture
def running(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> Iterator[tuple[desks.Desk, harness.Daemon]]:
    """A run that has done some wallets and was asked to wait."""
    desk = new_desk()
    desk.plan_keys(*sandbox.wallets, *sandbox.conditions)
    sandbox.faults({"kind": "429_json", "route": "data", "after": 30, "retry_after_s": 30})
    daemon = desk.start("run", "conditions", "wallets")
    harness.until(lambda: sandbox.fired()["429_json"], "the middle of the run")

    def waits() -> bool:
        picture = desk.json("status")
        pauses = [pause["left_s"] for pause in picture.get("pauses", {}).values()]
        return sum(picture.get("rows", {}).values()) > 0 and max(pauses, default=0) > 0

    harness.until(waits, "a picture with rows and a pause")
    yield desk, daemon
    daemon.kill()


def test_during_a_run(running: tuple[desks.Desk, harness.Daemon], sandbox: harness.Sandbox) -> None:
    desk, daemon = running
    harness.until(lambda: desk.json("status")["share"], "something acknowledged", every_s=0.2)
    picture = desk.json("status")
    assert picture["running"] is True
    assert picture["state"] == "running"
    assert picture["pid"] == daemon.pid
    assert picture["parts"]["wallets"]["units"] == len(sandbox.wallets)
    assert picture["parts"]["conditions"]["units"] == len(sandbox.conditions)
    assert 0 < picture["share"] < 1
    assert sum(picture["rows"].values()) > 0
    assert picture["budgets"]["/v2/activity"]["sent"] > 0
    text = desk.call("status").out
    assert f"running: process {daemon.pid} on {socket.gethostname()} since 20" in text
    assert "data asked for a pause" in text
    desk.call("status", "--health")


def test_a_blocked_loop_is_not_healthy(running: tuple[desks.Desk, harness.Daemon]) -> None:
    desk, daemon = running
    daemon.signal(signal.SIGSTOP)
    file = desk.data / "status" / f"{desk.run_name}.json"
    picture = json.loads(file.read_bytes())
    file.write_text(json.dumps(picture | {"now": picture["now"] - 120}))
    assert desk.call("status", "--health", code=None).code == errors.EXIT_NO_PROGRESS
    daemon.signal(signal.SIGCONT)
    newer = lambda: json.loads(file.read_bytes())["now"] > picture["now"]  # noqa: E731
    harness.until(newer, "the next picture")
    assert desk.call("status", "--health", code=None).code == errors.EXIT_OK


def test_after_a_kill_and_after_the_end(
    running: tuple[desks.Desk, harness.Daemon], sandbox: harness.Sandbox
) -> None:
    desk, daemon = running
    daemon.kill()
    picture = desk.json("status")
    assert (picture["running"], picture["state"]) == (False, "crashed")
    assert "not running; last seen" in desk.call("status").out
    desk.call("status", "--health", code=errors.EXIT_UNAVAILABLE)
    sandbox.reset()
    desk.call("run", "conditions", "wallets")
    picture = desk.json("status")
    assert (picture["running"], picture["state"]) == (False, "finished")
    assert picture["share"] == 1
    wallets = f"{len(sandbox.wallets)} of {len(sandbox.wallets)} proven complete"
    assert wallets in desk.call("status").out
    desk.call("status", "--health", code=errors.EXIT_UNITS_IN_ERROR)


def test_a_status_file_that_cannot_be_read_is_named(desk: desks.Desk) -> None:
    file = desk.data / "status" / f"{desk.run_name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text("{")
    told = desk.call("status", code=errors.EXIT_CONFIG)
    assert f"{file.name} cannot be read" in told.err


def test_a_flipped_bit_of_the_status_file_is_told(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Also where it stays JSON: a digit, a letter of a state, the name of a field."""
    desk.call("run", "--wallet", sandbox.wallets[0])
    file = desk.data / "status" / f"{desk.run_name}.json"
    written, shown = file.read_bytes(), run_files.read_snapshot(file) or {}
    for at in range(len(written)):
        changed = bytearray(written)
        changed[at] ^= 1 << at % 7
        file.write_bytes(changed)
        with contextlib.suppress(errors.Stop):
            found = run_files.read_snapshot(file) or {}
            assert shown | found == found, f"byte {at}: {bytes(changed)!r}"
    state = written.index(b'"finished"') + 1
    file.write_bytes(written[:state] + b"g" + written[state + 1 :])
    for words in (("status",), ("status", "--json"), ("status", "--health")):
        told = desk.call(*words, code=errors.EXIT_CONFIG)
        assert f"{file.name} is damaged: delete it" in told.err
    file.write_text("{}")
    assert "was not written by a run" in desk.call("status", code=errors.EXIT_CONFIG).err
    file.write_bytes(written)


def test_a_warning_is_no_part_of_the_json(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """A file that is damaged is told of on stderr; stdout is read by a script."""
    desk.plan_keys(*sandbox.wallets[:1])
    desk.call("run", "wallets")
    state = desk.checkpoint / "store_state.json"
    state.write_bytes(state.read_bytes().replace(b"{", b"[", 1))
    told = desk.call("status", "--json")
    assert json.loads(told.out)["state"] == "finished"
    assert "file.damaged" in told.err


def test_the_end_of_a_run_as_json(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    wallets = sandbox.wallets[3:6]
    sandbox.faults({"kind": "400", "route": "activity", "match": wallets[0]})
    words = ("run", "--wallet", ",".join(wallets))
    report = desk.json(*words, code=errors.EXIT_UNITS_IN_ERROR)
    assert report["exit_code"] == errors.EXIT_UNITS_IN_ERROR
    assert report["dry_run"] is False
    part = report["parts"]["wallets"]
    assert (part["units"], part["done"], part["error"]) == (3, 2, 1)
    later = desk.json("run", "wallets", code=errors.EXIT_UNITS_IN_ERROR)["parts"]["wallets"]
    assert (later["units"], later["done"], later["error"]) == (3, 2, 1), "the plan knows them now"


def test_an_empty_plan_has_nothing_to_do(bare_desk: desks.Desk) -> None:
    assert bare_desk.json("run", "wallets")["parts"] == {}


def test_check_trades(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 001, check-external-trades: per source rows, shares, value, markets; growth per day for
    7 days; total equals table count.
    """
    assert desk.json("check", "trades")["rows"] == 0
    desk.plan_keys(*sandbox.wallets, *sandbox.conditions)
    desk.call("run", "conditions", "wallets")
    truth = sandbox.truth()["trades"]
    report = desk.json("check", "trades")
    assert (report["rows"], report["digest"]) == (truth["rows"], truth["digest"])
    assert report["duplicates"] == []
    (source,) = report["by_source"]
    assert source["source"] == "polymarket_data_api"
    assert source["rows"] == truth["rows"]
    assert (source["wallets"], source["markets"]) == (truth["wallets"], truth["conditions"])
    sums = "SELECT {} FROM external_trades_raw"
    assert source["shares"] == pytest.approx(desk.value(sums.format("sum(shares)")), abs=0.01)
    assert source["value"] == pytest.approx(desk.value(sums.format("sum(cash_value)")), abs=0.01)
    assert sum(day["rows"] for day in report["by_day"]) == truth["rows"]
    desk.call(
        "sql",
        "INSERT INTO external_trades_raw SELECT * REPLACE (generateUUIDv4() AS external_trade_id, "
        "ingested_at - toIntervalDay(back) AS ingested_at) "
        "FROM (SELECT * FROM external_trades_raw LIMIT 1) ARRAY JOIN range(1, 10) AS back",
    )
    report = desk.json("check", "trades")
    days = [day["day"] for day in report["by_day"]]
    assert (len(days), days) == (7, sorted(days, reverse=True))
    stored = desk.value(sums.format("count()"))
    assert report["rows"] == sum(one["rows"] for one in report["by_source"]) == stored
    desk.call("sql", "ALTER TABLE external_trades_raw DELETE WHERE ingested_at < now() - 43200")
    text = desk.call("check", "trades").out
    assert truth["digest"] in text
    assert "duplicates of external_trade_id: 0" in text


def test_check_trades_finds_a_duplicate(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    desk.call("run", "--wallet", sandbox.wallets[4])
    again = "SELECT * FROM external_trades_raw ORDER BY external_trade_id LIMIT 2"
    desk.call("sql", "SYSTEM STOP MERGES external_trades_raw")
    desk.call("sql", f"INSERT INTO external_trades_raw {again}")
    report = desk.json("check", "trades", code=errors.EXIT_UNITS_IN_ERROR)
    assert [row["copies"] for row in report["duplicates"]] == [2, 2]
    told = desk.call("check", "trades", code=errors.EXIT_UNITS_IN_ERROR).out
    assert "duplicates of external_trade_id: 2" in told
