"""`plan reset`: what is set back is fetched by the next run, and nothing else is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk


@pytest.fixture
def done(desk: desks.Desk, sandbox: harness.Sandbox) -> desks.Desk:
    """A finished run of six wallets and six conditions."""
    desk.plan_keys(*sandbox.wallets[2:8], *sandbox.conditions[2:8])
    desk.call("run", "conditions", "wallets")
    sandbox.reset()
    return desk


def _states(desk: desks.Desk, kind: str = "wallet") -> list[str]:
    return [row["status"] for row in desk.plan_of(kind).values()]


def _asked(sandbox: harness.Sandbox) -> set[str]:
    return set(sandbox.asked())


def _delete(desk: desks.Desk, column: str, key: str) -> None:
    desk.call("sql", f"ALTER TABLE external_trades_raw DELETE WHERE {column} = '{key[2:]}'")


def test_wallets(done: desks.Desk, sandbox: harness.Sandbox) -> None:
    wallets, before = sandbox.wallets[2:8], done.state()
    listed = done.file("again.txt", [wallets[4]])
    words = ["--wallet", wallets[1].upper(), "--wallet", listed]
    assert done.json("plan", "reset", *words) == {"wallets": 2}
    assert _states(done) == ["done", "pending", "done", "done", "pending", "done"]
    _delete(done, "wallet_address", wallets[1])
    done.call("run", "conditions", "wallets")
    assert _asked(sandbox) == {"activity"}
    assert done.state() == before
    assert _states(done) == ["done"] * 6


def test_conditions(done: desks.Desk, sandbox: harness.Sandbox) -> None:
    # A market feed shows three years, so one whose trades are all younger.
    (young, *_) = done.sql(
        "SELECT condition_id FROM external_trades_raw WHERE condition_id IN "
        "(SELECT condition_id FROM condition_backfill_plan) GROUP BY condition_id "
        "HAVING min(trade_timestamp) > '2024-01-01' ORDER BY condition_id"
    )
    condition, before = f"0x{young['condition_id']}", done.state()
    assert condition in sandbox.conditions[2:8]
    told = done.call("plan", "reset", "--condition-id", condition[2:]).out
    assert "conditions: 1 set back to pending" in told
    assert _states(done, "condition").count("pending") == 1
    _delete(done, "condition_id", condition)
    done.call("run", "conditions", "wallets")
    # Rows that are gone are missed by the receipts of their wallets too, which are read again.
    assert "trades" in _asked(sandbox) <= {"trades", "activity"}
    assert done.state() == before
    assert _states(done, "condition") == ["done"] * 6


def test_a_wallet_that_is_not_planned(done: desks.Desk, sandbox: harness.Sandbox) -> None:
    stranger = sandbox.wallets[20]
    assert done.json("plan", "reset", "--wallet", stranger) == {"wallets": 0}
    told = done.call("plan", "reset", "--wallet", f"{stranger},{sandbox.wallets[2]}").out
    assert "wallets: 1 set back to pending" in told
    assert "1 not in the plan" in told
    done.call("run", "conditions", "wallets")
    assert _states(done) == ["done"] * 6


def test_typed_keys_are_forgotten_too(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    wallet, pages = sandbox.wallets[2], []
    for words in (("run",), ("run",), ("plan", "reset"), ("run",)):
        desk.call(*words, "--wallet", wallet)
        pages.append(sandbox.pages())
    assert pages == [pages[0], pages[0], pages[0], 2 * pages[0]]


def test_everything(done: desks.Desk, sandbox: harness.Sandbox) -> None:
    ids = done.ids()
    assert done.json("plan", "reset", "--all") == {"wallets": 6, "conditions": 6}
    assert _states(done) + _states(done, "condition") == ["pending"] * 12
    done.call("sql", "TRUNCATE TABLE external_trades_raw")
    done.call("run", "conditions", "wallets")
    assert _asked(sandbox) == {"activity", "trades"}
    assert done.ids() == ids


def test_errors_alone(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    wallets, conditions = sandbox.wallets[2:6], sandbox.conditions[2:4]
    desk.plan_keys(*wallets, *conditions)
    sandbox.faults(
        {"kind": "400", "route": "activity", "match": wallets[2]},
        {"kind": "400", "route": "trades", "match": conditions[0]},
    )
    desk.call("run", "conditions", "wallets", code=errors.EXIT_UNITS_IN_ERROR)
    sandbox.reset()
    assert _states(desk) == ["done", "done", "error", "done"]
    failed = _states(desk, "condition").count("error")
    assert failed >= 1
    desk.call("run", "conditions", "wallets", code=None)
    assert sandbox.requests() == 0, "an error is not tried again by itself"
    assert desk.json("plan", "reset", "--errors") == {"wallets": 1, "conditions": failed}
    assert _states(desk) == ["done", "done", "pending", "done"]
    assert desk.plan_of()[wallets[2][2:]]["error_message"] == ""
    desk.call("run", "conditions", "wallets")
    desk.prove(sandbox, wallets, conditions)


@pytest.fixture
def killed(new_desk: NewDesk, sandbox: harness.Sandbox) -> desks.Desk:
    """A run that was killed between the first and the second page of its first wallet."""
    made = new_desk(workers=1, plan_refresh_s=0.1)
    ranked = sandbox.ask("wallets?top=1000000&by=rows")
    pages_2 = next(row["wallet"] for row in ranked if 1_000 < row["all_rows"] < 1_900)
    made.plan_keys(pages_2, *sandbox.wallets[30:34])
    sandbox.faults({"kind": "429_json", "match": pages_2, "after": 1, "retry_after_s": 60})
    daemon = made.start("run", "wallets")
    harness.until(lambda: sandbox.fired()["429_json"], "its second page")
    harness.until(lambda: made.acknowledged_pages() == 1, "its first page in the checkpoint")
    harness.until(lambda: made.statuses().get("in_progress"), "a wallet in progress")
    harness.until(lambda: made.json("status").get("parts"), "a first picture", every_s=0.2)
    daemon.kill()
    sandbox.reset()
    return made


def test_stuck_ones_go_on_where_they_stood(killed: desks.Desk, sandbox: harness.Sandbox) -> None:
    for words in (("status",), ("check", "progress")):  # nobody has looked at the tables yet
        told = " ".join(killed.call(*words).out.split())
        assert "until the next run has compared its receipts with the tables" in told
        assert killed.json(*words)["receipts_compared"] is False
    stuck = killed.statuses()["in_progress"]
    acknowledged = killed.acknowledged_pages()
    assert killed.json("plan", "reset", "--stuck") == {"wallets": stuck, "conditions": 0}
    assert "in_progress" not in killed.statuses()
    assert killed.acknowledged_pages() == acknowledged
    killed.call("run", "wallets")
    assert "compares" not in killed.call("status").out + killed.call("check", "progress").out
    wallets = ["0x" + key for key in killed.plan_of()]
    killed.prove(sandbox, wallets, [])


@pytest.mark.parametrize(
    "words", [("--stuck",), ("--errors",), ("--all",), ("--wallet", "0x" + "ab" * 20)]
)
def test_not_while_a_run_is_going_on(
    words: tuple[str, ...], busy_run: tuple[desks.Desk, harness.Daemon]
) -> None:
    desk, daemon = busy_run
    before = _plan_without_times(desk)
    told = desk.call("plan", "reset", *words, code=errors.EXIT_UNAVAILABLE).err
    assert str(daemon.pid) in told
    assert socket.gethostname() in told
    assert _plan_without_times(desk) == before


def test_nor_is_the_plan_built_anew(busy_run: tuple[desks.Desk, harness.Daemon]) -> None:
    desk, daemon = busy_run
    before = _plan_without_times(desk)
    more = desk.file("more.txt", ["0x" + "ab" * 20])
    for action in ("build", "regenerate"):
        told = desk.call("plan", action, "--from", more, code=errors.EXIT_UNAVAILABLE).err
        assert str(daemon.pid) in told
    assert _plan_without_times(desk) == before


def _plan_without_times(desk: desks.Desk) -> dict[str, tuple[str, int]]:
    return {key: (row["status"], row["priority_rank"]) for key, row in desk.plan_of().items()}


@pytest.fixture(scope="module")
def busy_run(
    new_desk: NewDesk, shared_sandbox: harness.Sandbox
) -> Iterator[tuple[desks.Desk, harness.Daemon]]:
    """A run whose requests are taken and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        desk = new_desk(f"http://127.0.0.1:{silent.getsockname()[1]}", plan_refresh_s=0.1)
        desk.move_out()  # a data folder has one run at a time, and other tests run meanwhile
        desk.set(request_deadline_s=120)
        desk.plan_keys(*shared_sandbox.wallets[:6])
        daemon = desk.start("run", "wallets", "--workers", "2")
        harness.until(lambda: desk.statuses().get("in_progress") == 2, "the run at work")
        yield desk, daemon
        daemon.kill()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required"),
        (("--all", "--errors"), "not allowed with"),
        (("--wallet", "0x12"), "0x12"),
        (("--condition-id", "rain"), "rain"),
    ],
)
def test_words_that_make_no_sense(words: tuple[str, ...], said: str, done: desks.Desk) -> None:
    told = done.call("plan", "reset", *words, code=errors.EXIT_CONFIG)
    assert said in told.err
    assert _states(done) == ["done"] * 6
