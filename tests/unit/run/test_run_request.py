"""Words that contradict each other are refused before anything is fetched."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from polybackfill import cli, errors, settings
from polybackfill.polymarket import contracts
from polybackfill.run import run_request

WALLET, OTHER = "0x" + "ab" * 20, "0x" + "AC" * 20
CONDITION = "0x" + "cd" * 32


def of(*typed: str) -> run_request.RunRequest:
    """What `polybackfill run …` asks for."""
    return run_request.parse_arguments(
        cli.build_parser().parse_args(["run", *typed]), settings.load()
    )


def test_a_list_asks_for_its_part_alone_no_list_for_the_plan() -> None:
    assert of() == run_request.RunRequest(plan_decides=True)
    assert of("--everything") == run_request.RunRequest()
    assert of().everything
    assert not of("conditions", "wallets").everything
    assert of("events", "markets").kinds == ("clob", "markets", "lookups", "events")
    assert of("wallets") == run_request.RunRequest(parts=("wallets",))
    asked = of("--wallet", f"{WALLET},{OTHER}", "--wallet", WALLET)
    assert asked.parts == ("wallets",)
    assert asked.wallets == ("ab" * 20, "ac" * 20)
    assert of("--wallet", WALLET, "--condition-id", CONDITION).parts == ("conditions", "wallets")


def test_an_empty_list_is_not_the_whole_plan(tmp_path: Path) -> None:
    file = tmp_path / "none.txt"
    file.write_text("# nobody yet\n\n")
    with pytest.raises(errors.Stop, match=r"--wallet .*none\.txt contains no id") as caught:
        of("--wallet", str(file))
    assert caught.value.exit_code == errors.EXIT_CONFIG
    with pytest.raises(errors.Stop, match="--condition-id"):
        of("conditions", "--condition-id", ",")


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (
            ("conditions", "--wallet", WALLET),
            "--wallet lists wallets, but this run fetches conditions only",
        ),
        (("wallets", "--condition-id", CONDITION), "--condition-id lists conditions"),
        (
            ("wallets", "conditions", "--wallet", WALLET),
            "conditions need a list of their own here: give one with --condition-id",
        ),
        (("market",), "no part market: the parts are markets, events, conditions"),
        (
            ("markets", "--wallet", WALLET),
            "--wallet lists wallets, but this run fetches markets only",
        ),
        (("wallets", "events", "--wallet", WALLET), "events cannot be limited to a list"),
    ],
)
def test_a_list_for_another_part_is_refused(typed: tuple[str, ...], named: str) -> None:
    with pytest.raises(errors.Stop, match=named):
        of(*typed)


@pytest.mark.parametrize("typed", [("wallets",), ("--wallet", WALLET)])
def test_everything_leaves_no_choice(typed: tuple[str, ...]) -> None:
    with pytest.raises(errors.Stop, match="--everything means all parts"):
        of("--everything", *typed)


def test_a_planned_list_is_the_scope_unless_told_otherwise() -> None:
    listed = {"wallets": 3, "conditions": 0}
    scoped = run_request.narrow_to_plan(of(), listed)
    assert scoped.kinds == ("lookups", "wallets", "positions", "resolutions", "user-stats")
    assert (scoped.listed_only, scoped.everything, scoped.fetches_all) == (True, False, True)
    assert not run_request.narrow_to_plan(of("--dry-run"), listed).fetches_all
    of_conditions = run_request.narrow_to_plan(of(), {"wallets": 0, "conditions": 2})
    assert of_conditions.kinds == ("lookups", "conditions", "resolutions")
    both = run_request.narrow_to_plan(of(), {"wallets": 1, "conditions": 2})
    assert both.kinds == (
        "lookups",
        "conditions",
        "wallets",
        "positions",
        "resolutions",
        "user-stats",
    )
    assert run_request.narrow_to_plan(of("--until", "07:00"), listed).listed_only
    assert run_request.narrow_to_plan(of(), {}) == run_request.RunRequest()
    for typed in (("--everything",), ("wallets",), ("markets",), ("--wallet", WALLET)):
        assert run_request.narrow_to_plan(of(*typed), listed) == of(*typed)


def test_contracts_are_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    contract = f"0x{next(iter(contracts.CONTRACTS))}"
    assert of("--wallet", f"{contract},{WALLET}").wallets == ("ab" * 20,)
    assert f"left out: {contract}" in capsys.readouterr().err
    with pytest.raises(errors.Stop, match="every wallet given is a contract"):
        of("--wallet", contract)


def test_a_list_may_ask_for_every_part_that_takes_it() -> None:
    asked = of("wallets", "positions", "--wallet", WALLET)
    assert asked.kinds == ("wallets", "positions")
    assert asked.keys("positions") == ("ab" * 20,)
    assert not asked.everything


def test_a_time_of_day_is_when_to_stop() -> None:
    asked = of("--until", "07:00")
    assert asked.window == (None, None)
    assert asked.stop_at is not None
    assert 0 < asked.stop_at - time.time() <= 86_400 + 3_600
    assert time.strftime("%H:%M", time.localtime(asked.stop_at)) == "07:00"
    assert of("--until", "2026-06-30").stop_at is None


def test_who_follows_follows_everything() -> None:
    following = of("--follow")
    assert following.everything
    assert following.fetches_all
    assert not following.plan_decides
    followed = set(following.kinds) - set(of().kinds)
    assert followed == {"recent-trades", "new-markets", "new-events"}
    assert of("--follow", "--until", "07:00").stop_at is not None
    for typed, named in (
        (("wallets",), "leave out parts and lists"),
        (("--wallet", WALLET), "leave out parts and lists"),
        (("--since", "2026-01-01"), "leave out --since"),
    ):
        with pytest.raises(errors.Stop, match=named):
            of("--follow", *typed)


def test_a_portion_cannot_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_LIMIT", "5")
    with pytest.raises(errors.Stop, match="leave out --limit"):
        of("--follow")


def test_a_job_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_JOB", "universe")
    monkeypatch.setenv("CLICKHOUSE_HOST", "127.0.0.1")
    with pytest.raises(errors.Stop, match="without BACKFILL_JOB"):
        of("--follow")
