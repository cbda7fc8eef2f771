"""What a run answers to the five questions of who looks at it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.monitoring import conftest

from polybackfill.reports import run_answers, run_state

RUNNING = run_state.RunState("running", True, None, 0.5)
RATES = {"rate_per_s": 19.5, "allowed_per_s": 19.6}
WELL = {"error": 0, "set_aside": 0, "stalls": 0}


def picture(part: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    """A run of one part that spends one budget, and has nothing to complain about."""
    fields = {
        "parts": {"wallets": conftest.part(**{**WELL, **(part or {})})},
        "budgets": {"trades": conftest.budget(**RATES)},
        "eta_s": 3_600.0,
        "stop_at": None,
        "held_back": {},
        "out": {},
        "pauses": {},
        "store_wait_s": 0.0,
        "source_lag_s": 12.0,
        "following": None,
        "refused_rows": 0,
        "still_s": 0.4,
    }
    return conftest.picture(**{**fields, **changed})


def ask(shown: dict[str, Any], state: run_state.RunState = RUNNING) -> dict[str, tuple[str, str]]:
    answers = run_answers.answer_all(shown, state)
    return {answer.question.split()[0]: (answer.text, answer.tone) for answer in answers} | {
        "commands": (" | ".join(answers[-1].commands), answers[-1].tone)
    }


def test_a_run_that_is_well_says_so() -> None:
    said = ask(picture())
    assert said["When"][0].startswith("In 1 h 00 min: ")
    assert said["What"] == ("Nothing.", "good")
    assert said["Is"] == ("No.", "good")
    limit = run_answers.answer_all(picture(), RUNNING)[2]
    assert limit.text == "Yes, and never over it: trades sends 19.5 of 19.6 requests/s allowed."
    missing = run_answers.answer_all(picture(), RUNNING)[1]
    assert (missing.text, missing.tone) == ("Still to fetch: 400 of 1,000 wallets.", "watch")


@pytest.mark.parametrize(
    ("changed", "state", "wrong", "tone", "command"),
    [
        (
            {"part": {"error": 2}},
            "running",
            "2 units of wallets in error.",
            "bad",
            "plan reset --errors",
        ),
        ({"part": {"set_aside": 1}}, "running", "1 row set aside.", "watch", "quarantine list"),
        ({"source_lag_s": 900.0}, "running", "The API is 15 min 00 s behind", "watch", ""),
        ({"out": {"/v2/activity": 70.0}}, "running", "/v2/activity has answered", "watch", ""),
        (
            {"held_back": {"clob": "no\x1b[2J page"}},
            "running",
            "Clob held back",
            "watch",
            "--probe",
        ),
        ({"still_s": 70.0}, "running", "Nothing has moved for 1 min 10 s.", "watch", ""),
        (
            {"still_s": 700.0},
            "running",
            "Nothing has moved for 11 min 40 s.",
            "bad",
            "polybackfill doctor",
        ),
        ({"part": {"stalls": 2}}, "running", "2 stalled workers replaced.", "watch", ""),
        ({"paused": ["clob"]}, "running", "A person has paused clob.", "watch", "polybackfill ui"),
        ({}, "crashed", "The run crashed.", "bad", "polybackfill run"),
        ({}, "stalled", "Stalled: ", "bad", "polybackfill doctor"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    changed: dict[str, Any], state: str, wrong: str, tone: str, command: str
) -> None:
    seen = run_state.RunState(state, state != "crashed", None, 60.0)
    answers = run_answers.answer_all(picture(**changed), seen)
    assert answers[3].text.startswith(wrong)
    assert answers[3].tone == tone
    assert "\x1b" not in answers[3].text
    assert command in " ".join(answers[4].commands)
    if not command:
        assert answers[4].text == "Nothing: it goes on by itself."


def test_an_end_is_told_with_what_is_left() -> None:
    done = {"done": 1_000, "complete": True}
    said = run_answers.answer_all(
        picture(done, state="finished", took_s=90.0), run_state.RunState("finished", False)
    )
    assert said[0].text == "Done, after 1 min 30 s."
    assert said[1].text == "Nothing: every part is proven complete."
    stopped = run_answers.answer_all(picture(), run_state.RunState("stopped", False))
    assert stopped[0].tone == "watch"
    assert stopped[4].commands == ("polybackfill run",)


@pytest.mark.parametrize("state", ["stopped", "crashed", "finished"])
def test_after_an_end_with_errors_the_last_command_is_the_one_that_goes_on(state: str) -> None:
    ended = run_state.RunState(state, False, None, 60.0)
    answers = run_answers.answer_all(picture({"error": 2}, state="stopped"), ended)
    assert answers[4].commands == ("polybackfill plan reset --errors", "polybackfill run")
    aside = picture({"done": 1_000, "complete": True, "set_aside": 1}, state="finished")
    finished = run_answers.answer_all(aside, run_state.RunState("finished", False))
    assert finished[4].commands == ("polybackfill quarantine list",)


def test_a_run_that_will_be_stopped_before_its_end_does_not_promise_that() -> None:
    now = conftest.picture()["now"]
    in_time = run_answers.answer_all(picture(stop_at=now + 7_200.0), RUNNING)[0]
    assert in_time.text.startswith("In 1 h 00 min: ")
    assert " It runs until 20" in in_time.text
    too_late = run_answers.answer_all(picture(stop_at=now + 1_800.0), RUNNING)[0]
    assert too_late.text.startswith("Not in this run, which goes on until 20")
    assert too_late.text.endswith(": all of it takes 1 h 00 min.")
    assert too_late.tone == "watch"


def test_over_a_limit_is_what_is_said_of_it() -> None:
    over = picture(budgets={"trades": conftest.budget(**RATES, violations=3)})
    assert run_answers.answer_all(over, RUNNING)[2].text == "It was over the limit 3 times."


@pytest.mark.parametrize(
    ("rate", "answer"),
    [
        (19.0, "Yes, and never over it: trades sends 19.0 of 20.0 requests/s allowed."),
        (11.0, "Yes, 5 workers just now: trades sends 11.0 of 20.0 requests/s allowed on average."),
        (0.4, "No: trades sends 0.4 of 20.0 requests/s allowed."),
    ],
)
def test_who_waits_for_a_turn_is_at_the_limit_where_that_is_near(rate: float, answer: str) -> None:
    budgets = {"trades": conftest.budget(rate_per_s=rate, allowed_per_s=20.0)}
    assert run_answers.answer_all(picture(budgets=budgets), RUNNING)[2].text == answer


def test_a_pace_that_was_set_is_why_it_is_not_at_the_limit() -> None:
    budgets = {"trades": conftest.budget(rate_per_s=0.4, allowed_per_s=20.0)}
    shown = picture({"waits": {"pace": 4}}, budgets=budgets)
    assert run_answers.answer_all(shown, RUNNING)[2].text == (
        "No: trades sends 0.4 of 20.0 requests/s allowed; its workers rest between units, as "
        "BACKFILL_SLEEP_MS says."
    )


def test_of_a_run_that_cannot_be_seen_nobody_knows_whether_it_is_at_the_limit() -> None:
    unseen = run_state.RunState("unknown", None, None, 60.0)
    limit = run_answers.answer_all(picture(), unseen)[2]
    assert (limit.text, limit.tone) == ("Unknown: the run cannot be seen from here.", "watch")
    ended = run_answers.answer_all(picture(), run_state.RunState("finished", False))[2]
    assert ended.text == "It sends nothing, and it was never over the limit."


def test_before_the_first_picture_there_is_one_answer() -> None:
    (never,) = run_answers.answer_all(None, run_state.RunState("never", False))
    assert never.commands == ("polybackfill run",)
    (starting,) = run_answers.answer_all(None, run_state.RunState("starting", True))
    assert "starts" in starting.text


FOLLOWED = {"since": 1_795_948_000, "fresh_to": 1_795_952_037, "lag_s": 7.8, "gaps": []}
UNBUSY = {"/v2/trades": conftest.budget(rate_per_s=0.4, allowed_per_s=20.0)}


def test_a_run_that_follows_says_how_fresh_it_is() -> None:
    shown = picture({"waits": {"queue": 1}}, following=FOLLOWED, eta_s=0.0, budgets=UNBUSY)
    when, missing, limit, wrong, to_do = run_answers.answer_all(shown, RUNNING)
    assert (when.text, when.tone) == (
        "All is read; following: fresh to 2026-11-29 11:33:57 UTC, lag 8 s.",
        "good",
    )
    assert (missing.text, missing.tone) == (
        "Nothing but the trades of the last 8 s; all else was read, and is read again as it "
        "changes.",
        "good",
    )
    assert (limit.text[:3], limit.tone) == ("No:", "good"), "it has no use for all of it"
    assert (wrong.text, to_do.text) == ("No.", "Nothing.")


@pytest.mark.parametrize(
    ("changed", "missing", "wrong", "command"),
    [
        (
            {"following": {**FOLLOWED, "lag_s": 700.0}, "source_lag_s": 690.0},
            "Trades since 2026-11-29 11:33:57 UTC, of 11 min 40 s: they come next.",
            "The API is 11 min 30 s behind the chain; new trades are stored 11 min 40 s late.",
            "",
        ),
        (
            {"following": {**FOLLOWED, "lag_s": 90.0}, "store_wait_s": 80.0},
            "Trades since 2026-11-29 11:33:57 UTC, of 1 min 30 s: they come next.",
            "Waiting for the store since 1 min 20 s.",
            "",
        ),
        (
            {"following": {**FOLLOWED, "gaps": [[1_795_949_000, 1_795_949_059]]}},
            "Trades of 1 gap between followed times.",
            "Trades of 1 gap were not followed.",
            "polybackfill check progress",
        ),
        (
            {"following": FOLLOWED, "part": {"error": 1}},
            "1 of 1,000 wallets.",
            "1 unit of wallets in error.",
            "polybackfill plan reset --errors",
        ),
    ],
)
def test_a_run_that_follows_says_what_it_lacks_and_why(
    changed: dict[str, Any], missing: str, wrong: str, command: str
) -> None:
    answers = run_answers.answer_all(picture(**changed), RUNNING)
    assert (answers[1].text, answers[1].tone) == (missing, "watch")
    assert answers[3].text == wrong
    assert command in (answers[4].commands or ("",))


@pytest.mark.parametrize(
    ("state", "ended"), [("stopped", "It was stopped"), ("crashed", "It broke off")]
)
def test_a_run_that_followed_says_from_when_on_trades_are_missing(state: str, ended: str) -> None:
    shown = picture(following=FOLLOWED, state="stopped", took_s=3_600.0)
    answers = run_answers.answer_all(shown, run_state.RunState(state, False, None, 9_000.0))
    assert answers[0].text == (
        f"{ended} after 1 h 00 min; it followed up to 2026-11-29 11:33:57 UTC."
    )
    assert (answers[1].text, answers[1].tone) == ("Trades since 2026-11-29 11:33:57 UTC.", "watch")
    assert answers[4].commands == ("polybackfill run --follow",)
