"""Each rule speaks when its condition begins, once, and again only after it has ceased."""

from __future__ import annotations

import pytest
from tests.unit.monitoring import conftest

from polybackfill import errors
from polybackfill.monitoring import alert, alert_rules, run_facts

QUIET = {"held_back": {}, "parts": {"wallets": conftest.part(unknown_fields={})}}


@pytest.fixture
def rules() -> alert_rules.AlertRules:
    return alert_rules.AlertRules(alert_rules.Thresholds(stall_s=600.0, units_in_error=10))


def check(rules: alert_rules.AlertRules, **changed: object) -> list[alert.Alert]:
    """What is raised by a run that is well but for what is changed."""
    return rules.check(run_facts.read_facts(conftest.picture(**(QUIET | changed))))


def test_a_run_that_is_well_raises_nothing(rules: alert_rules.AlertRules) -> None:
    assert check(rules) == []
    assert check(rules, still_s=599.0, machine=None) == []


def test_a_stall_is_raised_once_and_again_after_it_has_ended(
    rules: alert_rules.AlertRules,
) -> None:
    (stall,) = check(rules, still_s=600.0, waiting_for="the store")
    assert (stall.kind, stall.severity) == ("stall", alert.Severity.CRITICAL)
    assert stall.title == "no progress for 10 min 00 s"
    assert "waits for the store" in stall.text
    assert check(rules, still_s=900.0) == []
    assert check(rules, still_s=1.0) == []
    assert [one.kind for one in check(rules, still_s=601.0)] == ["stall"]


@pytest.mark.parametrize("state", ["finishing", "draining", "finished"])
def test_a_run_that_ends_does_not_stall(rules: alert_rules.AlertRules, state: str) -> None:
    assert check(rules, still_s=5_000.0, state=state) == []


def test_only_new_errors_count(rules: alert_rules.AlertRules) -> None:
    def with_errors(count: int) -> list[alert.Alert]:
        parts = {"wallets": conftest.part(unknown_fields={}, error=count)}
        return check(rules, parts=parts)

    assert with_errors(100) == []  # of an earlier run
    assert with_errors(109) == []
    (raised,) = with_errors(110)
    assert (raised.kind, raised.title) == ("errors", "at least 10 units in error")
    assert "wallets 110" in raised.text
    assert with_errors(400) == []


def test_a_disk_is_low_before_the_run_stops(rules: alert_rules.AlertRules) -> None:
    def with_free(free: int) -> list[alert.Alert]:
        disk = {"free_bytes": free, "stop_below_bytes": 500_000_000}
        machine = {"memory_bytes": None, "checkpoint_age_s": None, "disks": {"data": disk}}
        return check(rules, machine=machine)

    assert with_free(1_000_000_000) == []
    (raised,) = with_free(999_999_999)
    assert (raised.kind, raised.severity) == ("disk", alert.Severity.CRITICAL)
    assert "data: 1.0 GB free; a run stops below 500.0 MB" in raised.text
    assert with_free(900_000_000) == []


def test_drift_names_what_is_new(rules: alert_rules.AlertRules) -> None:
    parts = {"wallets": conftest.part(unknown_fields={"newField": 3})}
    (raised,) = check(rules, parts=parts)
    assert (raised.kind, raised.severity) == ("drift", alert.Severity.INFO)
    assert raised.title == "the API has changed (unknown fields: newField)"
    assert check(rules, parts=parts) == []
    other = alert_rules.AlertRules(alert_rules.Thresholds(600.0, 10))
    (raised,) = check(other, held_back={"resolutions": "the list has no winner any more"})
    assert raised.severity == alert.Severity.WARNING
    assert raised.title == "the API has changed (held back: resolutions)"


def test_a_second_change_is_told_in_the_same_run(rules: alert_rules.AlertRules) -> None:
    def with_fields(*names: str) -> list[str]:
        parts = {"wallets": conftest.part(unknown_fields=dict.fromkeys(names, 1))}
        return [raised.title for raised in check(rules, parts=parts)]

    assert with_fields("first") == ["the API has changed (unknown fields: first)"]
    assert with_fields("first", "second") == ["the API has changed (unknown fields: first, second)"]
    assert with_fields("first", "second") == []
    assert with_fields("first") == []
    assert with_fields() == []
    assert with_fields("first") == ["the API has changed (unknown fields: first)"]


def test_the_end_says_how() -> None:
    good = alert_rules.describe_end({"state": "finished"}, errors.EXIT_OK, ["finished", "  more"])
    assert (good.severity, good.title) == (alert.Severity.INFO, "finished")
    assert good.text == "finished\n  more"
    bad = alert_rules.describe_end({"state": "finished"}, errors.EXIT_UNITS_IN_ERROR, ["x"])
    assert (bad.severity, bad.title) == (alert.Severity.WARNING, "finished, exit code 3")
    failed = alert_rules.describe_failure(errors.Stop("no progress for 12 s: look at the API"))
    assert (failed.severity, failed.title) == (
        alert.Severity.CRITICAL,
        "failed: no progress for 12 s",
    )
    assert failed.repeat_s > 0
    crashed = alert_rules.describe_failure(ValueError("a fault"))
    assert (crashed.severity, crashed.title) == (alert.Severity.CRITICAL, "crashed: ValueError")
    assert "fault of the program" in crashed.text


@pytest.mark.parametrize(
    ("changed", "exit_code", "is_good"),
    [
        ({"state": "finished"}, errors.EXIT_OK, True),
        ({"state": "finished"}, errors.EXIT_UNITS_IN_ERROR, False),
        ({"state": "stopped"}, errors.EXIT_OK, False),
        ({"state": "stopped", "stop_at": 100.0, "now": 101.0}, errors.EXIT_OK, True),
        ({"state": "stopped", "stop_at": 100.0, "now": 99.0}, errors.EXIT_OK, False),
        ({"state": "stopped", "stop_at": 100.0, "now": 101.0}, errors.EXIT_UNAVAILABLE, False),
        (
            {"state": "stopped", "stop_at": 100.0, "now": 101.0, "refused_rows": 1},
            errors.EXIT_OK,
            False,
        ),
        (
            {"state": "stopped", "stop_at": 100.0, "now": 101.0, "still_s": 601.0},
            errors.EXIT_OK,
            False,
        ),
    ],
)
def test_a_good_night_is_proven(changed: dict[str, object], exit_code: int, is_good: bool) -> None:
    clean = {"wallets": conftest.part(error=0, set_aside=0)}
    document = conftest.picture(**({"held_back": {}, "refused_rows": 0, "parts": clean} | changed))
    assert alert_rules.is_good_night(document, exit_code) is is_good


def test_a_stopped_night_with_units_in_error_is_not_good() -> None:
    planned = {"state": "stopped", "stop_at": 100.0, "now": 101.0, "held_back": {}}
    parts = {"wallets": conftest.part(error=1, set_aside=0)}
    document = conftest.picture(**planned, refused_rows=0, parts=parts)
    assert not alert_rules.is_good_night(document, errors.EXIT_OK)
    assert not alert_rules.is_good_night({"state": "stopped", "parts": {}}, errors.EXIT_OK)


@pytest.mark.parametrize(
    ("changed", "is_good"),
    [
        ({}, True),
        ({"following": None}, False),
        ({"following": {"since": 1, "fresh_to": 2, "lag_s": 601.0, "gaps": []}}, False),
        ({"following": {"since": 1, "fresh_to": 9, "lag_s": 4.0, "gaps": [[3, 3]]}}, False),
        ({"parts": {"wallets": conftest.part(error=1, set_aside=0)}}, False),
        ({"held_back": {"wallets": "the API has changed"}}, False),
    ],
)
def test_a_good_day_of_a_run_that_follows(changed: dict[str, object], is_good: bool) -> None:
    followed = {"since": 1, "fresh_to": 9, "lag_s": 4.0, "gaps": []}
    clean = {"wallets": conftest.part(error=0, set_aside=0)}
    well = {"held_back": {}, "parts": clean, "following": followed}
    facts = run_facts.read_facts(conftest.picture(**(well | changed)))
    assert alert_rules.is_good_day(facts, newly_set_aside=0) is is_good
    assert not alert_rules.is_good_day(facts, newly_set_aside=1)
