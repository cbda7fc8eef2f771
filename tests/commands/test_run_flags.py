"""What the flags of `run` choose: keys, order, bounds of time."""

from __future__ import annotations

import datetime as dt

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

SECOND = "toUnixTimestamp(trade_timestamp)"


@pytest.fixture(scope="module")
def busy(shared_sandbox: harness.Sandbox) -> list[str]:
    """Wallets with 10 to 900 trades: a page each, none of them empty."""
    ranked = shared_sandbox.ask("wallets?top=1000000&by=rows")
    return [row["wallet"] for row in ranked if not row["contract"] and 10 <= row["all_rows"] <= 900]


@pytest.fixture(scope="module")
def whole(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> desks.Desk:
    """Everything the sandbox has, stored: what parts of it are compared with."""
    shared_sandbox.reset()
    made = new_desk()
    made.plan_keys(*shared_sandbox.wallets, *shared_sandbox.conditions)
    made.call("run", "conditions", "wallets")
    return made


def _wallets(desk: desks.Desk) -> set[str]:
    rows = desk.sql("SELECT DISTINCT wallet_address AS wallet FROM external_trades_raw")
    return {row["wallet"] for row in rows}


def _trades_of(wallet: str) -> str:
    return f"external_trades_raw WHERE wallet_address = '{wallet[2:]}'"


def test_limit_takes_the_first_by_rank(
    desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    """Seed 001, worker: --limit and --skip; order by rank."""
    ranked = busy[:6]
    desk.plan_keys(*ranked)
    desk.call("run", "wallets", "--limit", 2)
    plan = desk.plan_of()
    assert [row["status"] for row in plan.values()] == ["done"] * 2 + ["pending"] * 4
    assert _wallets(desk) == set(desks.bare(ranked[:2]))
    desk.call("run", "wallets", "--skip", 1, "--limit", 2)
    states = [row["status"] for row in desk.plan_of().values()]
    assert states == ["done", "done", "pending", "done", "done", "pending"]
    desk.call("run", "wallets", "--skip", 1)
    states = [row["status"] for row in desk.plan_of().values()]
    assert states == ["done", "done", "pending", "done", "done", "done"]
    desk.environment["BACKFILL_SKIP"] = "1"
    assert "nothing to do" in desk.call("run", "wallets").out
    assert sandbox.asked() == {"activity": 5}


@pytest.mark.long
def test_the_environment_limits_and_a_flag_wins(desk: desks.Desk, busy: list[str]) -> None:
    """Seed 001, worker: BACKFILL_LIMIT works, a flag wins."""
    desk.plan_keys(*busy[:4])
    desk.set(limit=1)
    desk.call("run", "wallets")
    assert desk.statuses() == {"done": 1, "pending": 3}
    desk.call("run", "wallets", "--limit", 2)
    assert desk.statuses() == {"done": 3, "pending": 1}


def test_wallet_alone_restricts_nothing_else(
    desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    """Seed 001, connector: --wallet alone does not restrict markets."""
    desk.call("run", "--wallet", busy[0])
    desk.prove(sandbox, wallets=busy[:1], conditions=[])
    assert desk.value("SELECT uniqExact(condition_id) FROM external_trades_raw") > 10
    assert set(sandbox.asked()) == {"activity"}


@pytest.mark.long
def test_condition_alone_restricts_nothing_else(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    largest = sandbox.conditions[0]
    desk.call("run", "--condition-id", largest)
    desk.prove(sandbox, wallets=[], conditions=[largest])
    assert desk.value("SELECT uniqExact(wallet_address) FROM external_trades_raw") > 2
    assert set(sandbox.asked()) == {"trades"}


def test_every_way_to_give_ids(desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]) -> None:
    """Seed 001, connector: wallets with and without 0x. Seed 001, by-market ingest: comma list and
    repeat of --condition-id.
    """
    wallets, conditions = busy[:7], sandbox.conditions[2:8]
    listed = desk.file(
        "wallets.csv",
        ["# the big ones", wallets[3].upper().replace("0X", "0x"), "", f"{wallets[4]}, 12, 3.5"],
    )
    flags = ["--wallet", wallets[0], "--wallet", f"{wallets[1][2:]},{wallets[2].upper()}"]
    flags += ["--wallet", listed, "--wallet", f" {wallets[5]} , {wallets[6]},{wallets[0]}"]
    flags += ["--condition-id", ",".join(conditions[:2]), "--condition-id", conditions[2][2:]]
    flags += ["--condition-id", desk.file("ids", [conditions[3].upper(), *conditions[4:]])]
    picture = desk.json("run", *flags)
    assert picture["parts"]["wallets"]["units"] == 7
    assert picture["parts"]["conditions"]["units"] == 6
    desk.prove(sandbox, wallets=wallets, conditions=conditions)
    known = {desks.bare([key])[0] for key in (*wallets, *conditions)}
    assert {*desk.plan_of(), *desk.plan_of("condition")} == known, "the plan knows what is read"
    assert "fetches everything" in desk.call("validate", "--offline", code=None).out, (
        "it is no list"
    )


@pytest.mark.long
def test_typed_ids_leave_the_list_alone(desk: desks.Desk, busy: list[str]) -> None:
    desk.plan_keys(*busy[:3])
    desk.call("run", "--wallet", busy[5])
    assert desk.statuses() == {"pending": 3, "done": 1}
    assert "(3 wallets, 3 of them open)" in desk.call("plan", "estimate").out
    desk.call("run", "--wallet", busy[1])
    states = [row["status"] for row in desk.plan_of().values()]
    assert states == ["pending", "done", "pending", "done"], (
        "but a planned wallet that is done shows it"
    )


def test_an_unknown_condition_is_done_without_rows(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Seed 001, by-market ingest: unknown condition gives 0 rows and a warning."""
    unknown, typed = "0x" + "ab" * 32, "0x" + "cd" * 32
    desk.plan_keys(unknown)
    told = desk.call("run", "conditions", "wallets").out
    warning = "warning: condition {} has no trades and is in no list; check the id"
    assert warning.format(unknown) in told
    known = sandbox.conditions[0]
    report = desk.json("run", "--condition-id", f"{typed},{known}")
    assert report["unknown_conditions"] == [typed]
    desk.call("sql", f"DELETE FROM external_trades_raw WHERE condition_id = '{known[2:]}'")
    plan = desk.plan_of("condition")
    assert plan[unknown[2:]]["status"] == "done"
    assert desk.value("SELECT count() FROM external_trades_raw") == 0


def test_new_wallets_are_those_nobody_had_seen_before(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Seed 001, by-market ingest: new wallets counted before insert; comma list and repeat of
    --condition-id.
    """
    first, second, third = sandbox.conditions[-3:]
    report = desk.json("run", "--condition-id", first)
    seen = _wallets(desk)
    assert report["new_wallets"] == len(seen) > 0
    told = desk.call("run", "--condition-id", f"{second},{first}", "--condition-id", third).out
    new = len(_wallets(desk) - seen)
    assert 0 < new < len(_wallets(desk)), "some were known"
    assert f"{new} wallets found that were not known before" in told
    desk.call("plan", "reset", "--condition-id", second)
    assert desk.json("run", "--condition-id", second)["new_wallets"] == 0


@pytest.mark.long
def test_a_wallet_without_rows_is_done(desk: desks.Desk) -> None:
    desk.plan_keys("0x" + "cd" * 20)
    desk.call("run", "wallets")
    assert desk.statuses() == {"done": 1}


def test_a_contract_is_left_out_with_a_word(
    desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    ranked = sandbox.ask("wallets?top=1000000")
    contract = next(row["wallet"] for row in ranked if row["contract"])
    told = desk.call("run", "--wallet", f"{contract.upper()},{busy[0]}")
    assert f"left out: {contract} is a contract, not a wallet" in told.err
    assert _wallets(desk) == set(desks.bare(busy[:1]))
    assert sandbox.asked() == {"activity": 1}
    only = desk.call("run", "--wallet", contract, code=errors.EXIT_CONFIG)
    assert "every wallet given is a contract" in only.err
    planned = desk.call("plan", "build", "--from", desk.file("p.txt", [contract, busy[0]]))
    assert contract in planned.out
    assert set(desk.plan_of()) == set(desks.bare(busy[:1]))


def _bounds(whole: desks.Desk, column: str, key: str) -> tuple[int, int]:
    """Two seconds in which this wallet or condition traded, a fifth from either end."""
    rows = whole.sql(
        f"SELECT DISTINCT {SECOND} AS second FROM external_trades_raw "
        f"WHERE {column} = '{key[2:]}' ORDER BY second"
    )
    seconds = [row["second"] for row in rows]
    assert len(seconds) > 10
    return seconds[len(seconds) // 5], seconds[-len(seconds) // 5]


@pytest.mark.parametrize("kind", ["wallet", pytest.param("condition", marks=pytest.mark.long)])
def test_since_and_until_are_inclusive(
    kind: str, whole: desks.Desk, new_desk: NewDesk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    """Seed 001, connector: --since and --until are inclusive bounds."""
    key = busy[0] if kind == "wallet" else sandbox.conditions[0]
    column = "wallet_address" if kind == "wallet" else "condition_id"
    flag = "--wallet" if kind == "wallet" else "--condition-id"
    since, until = _bounds(whole, column, key)
    mine = f"external_trades_raw WHERE {column} = '{key[2:]}' AND {SECOND}"
    for first, last in ((since, until), (since, since)):
        desk = new_desk()
        desk.call("run", flag, key, "--since", first, "--until", last)
        assert desk.ids() == whole.ids(f"{mine} BETWEEN {first} AND {last}")


@pytest.mark.long
def test_days_mean_their_first_and_last_second(
    whole: desks.Desk, desk: desks.Desk, busy: list[str]
) -> None:
    bounds = _bounds(whole, "wallet_address", busy[0])
    first, last = (str(dt.datetime.fromtimestamp(second, dt.UTC).date()) for second in bounds)
    desk.call("run", "--wallet", busy[0], "--since", first, "--until", last)
    within = f"AND toDate(trade_timestamp) BETWEEN '{first}' AND '{last}'"
    assert desk.ids() == whole.ids(f"{_trades_of(busy[0])} {within}")


def test_parts_of_time_add_up_to_the_whole(
    whole: desks.Desk, desk: desks.Desk, busy: list[str]
) -> None:
    """Seed 001, worker: --since and --until work."""
    since, until = _bounds(whole, "wallet_address", busy[0])
    desk.plan_keys(busy[0])
    desk.call("run", "wallets", "--until", since)
    desk.call("run", "wallets", "--since", since, "--until", until)
    desk.call("run", "wallets", "--since", until)
    everything = whole.ids(_trades_of(busy[0]))
    assert desk.ids() == everything
    assert desk.statuses() == {"pending": 1}, "a window does not prove the whole history"
    desk.call("run", "wallets")
    assert desk.statuses() == {"done": 1}
    assert desk.ids() == everything


@pytest.mark.parametrize(
    "words",
    [
        ("wallets",),
        pytest.param(("conditions",), marks=pytest.mark.long),
        pytest.param(("conditions", "wallets"), marks=pytest.mark.long),
    ],
)
def test_parts(
    words: tuple[str, ...], desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    desk.plan_keys(*busy[:2], *sandbox.conditions[:2])
    picture = desk.json("run", *words)
    assert set(picture["parts"]) == set(words)
    routes = {"wallets": "activity", "conditions": "trades"}
    assert set(sandbox.asked()) == {routes[part] for part in picture["parts"]}


def test_an_unknown_part_is_refused(desk: desks.Desk) -> None:
    told = desk.call("run", "wallet", code=errors.EXIT_CONFIG)
    assert "no part wallet: the parts are markets, events, conditions, wallets" in told.err


def test_a_job_needs_a_server(desk: desks.Desk) -> None:
    desk.set(job="night")
    refused = desk.call("run", "wallets", code=errors.EXIT_CONFIG)
    assert "BACKFILL_JOB = night: the embedded store belongs to one daemon" in refused.err
    assert "CLICKHOUSE_HOST" in refused.err


@pytest.mark.parametrize(
    ("part", "flag", "key"),
    [("wallets", "--condition-id", "0x" + "ab" * 32), ("conditions", "--wallet", "0x" + "ab" * 20)],
)
def test_keys_of_a_part_that_was_not_asked_for_are_refused(
    part: str, flag: str, key: str, desk: desks.Desk
) -> None:
    told = desk.call("run", part, flag, key, code=errors.EXIT_CONFIG)
    assert flag in told.err
    assert f"this run fetches {part} only" in told.err


@pytest.mark.parametrize("content", [[], ["# nobody yet", ""]])
def test_an_empty_list_is_not_everything(
    content: list[str], desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    desk.plan_keys(*busy[:2])
    empty = desk.file("empty.txt", content)
    told = desk.call("run", "--wallet", empty, code=errors.EXIT_CONFIG)
    assert f"{empty} contains no id" in told.err
    told = desk.call("run", "--condition-id", ",", code=errors.EXIT_CONFIG)
    assert "contains no id" in told.err
    told = desk.call("plan", "reset", "--wallet", empty, code=errors.EXIT_CONFIG)
    assert f"{empty} contains no id" in told.err
    assert sandbox.requests() == 0
    assert desk.statuses() == {"pending": 2}


def test_a_wallet_that_cannot_be_had_is_tried_so_often_and_holds_up_nobody(
    desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]
) -> None:
    """Seed 001, worker: errors retried up to N, then error with message; one failing wallet does
    not stop the run.
    """
    desk.set(page_attempts=2, max_attempts=2)
    desk.plan_keys(*busy[:3])
    sandbox.faults({"kind": "500", "route": "activity", "match": busy[1]})
    desk.call("run", "wallets", code=errors.EXIT_UNITS_IN_ERROR)
    assert sandbox.fired() == {"500": 4}
    plan = [desk.plan_of()[key] for key in desks.bare(busy[:3])]
    assert [row["status"] for row in plan] == ["done", "error", "done"]
    assert plan[1]["attempts"] == 2
    assert "500" in plan[1]["error_message"]


@pytest.mark.parametrize(
    "workers",
    [pytest.param("1", marks=pytest.mark.long), pytest.param("5", marks=pytest.mark.long), "auto"],
)
def test_workers(workers: str, desk: desks.Desk, sandbox: harness.Sandbox, busy: list[str]) -> None:
    del desk.environment["BACKFILL_WORKERS"]
    desk.set(request_deadline_s=30)
    desk.plan_keys(*busy[:9])
    sandbox.faults({"kind": "hang", "route": "activity"})
    daemon = desk.start("run", "wallets", "--workers", workers)
    wanted = 9 if workers == "auto" else int(workers)  # every wallet of the plan at once
    harness.until(lambda: sandbox.fired()["hang"] == wanted, f"{wanted} requests")
    file = desk.data / "status" / f"{desk.run_name}.json"
    harness.until(file.exists, "the picture of the run")
    assert sandbox.fired()["hang"] == wanted
    daemon.kill()
