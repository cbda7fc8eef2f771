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
    assert (missing.text, missing.tone) == ("400 of 1,000 wallets.", "watch")


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
        ({"still_s": 700.0}, "running", "Nothing has moved for 11 min 40 s.", "bad", ""),
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


def test_over_a_limit_is_what_is_said_of_it() -> None:
    over = picture(budgets={"trades": conftest.budget(**RATES, violations=3)})
    assert run_answers.answer_all(over, RUNNING)[2].text == "It was over the limit 3 times."


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


def test_a_run_that_follows_says_how_fresh_it_is() -> None:
    followed = {"since": 1_795_948_000, "fresh_to": 1_795_952_037, "lag_s": 7.8, "gaps": []}
    said = ask(picture(following=followed, eta_s=0.0))
    assert said["When"] == (
        "All is read; following: fresh to 2026-11-29 11:33:57 UTC, lag 8 s.",
        "good",
    )
    missing = run_answers.answer_all(picture(following=followed), RUNNING)[1]
    assert (missing.text, missing.tone) == (
        "Nothing: all was read, and is read again as it changes.",
        "good",
    )
    holed = {**followed, "gaps": [[1_795_949_000, 1_795_949_059]]}
    missing = run_answers.answer_all(picture(following=holed), RUNNING)[1]
    assert (missing.text, missing.tone) == ("Trades of 1 gap between followed times.", "watch")
    in_error = run_answers.answer_all(picture({"error": 1}, following=followed), RUNNING)[1]
    assert in_error.tone == "watch"
