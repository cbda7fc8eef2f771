"""The lines of `top`: what they say, and that they stand below one another."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.monitoring import conftest

from polybackfill import terminal
from polybackfill.reports import full_screen, run_answers, run_state, top_lines

RUNNING = run_state.RunState("running", True, None, 0.5)


def document(**changed: Any) -> dict[str, Any]:
    budgets = {"trades": conftest.budget(rate_per_s=19.0), "clob": conftest.budget(sent=0)}
    rates = {"requests_per_s": 19.0, "allowed_per_s": 19.6}
    parts = {
        "wallets": conftest.part(**rates),
        "clob": conftest.part(**rates, complete=True, error=0, share=1.0),
    }
    totals = {**rates, "rows_per_s": 1_234.0, "budgets": budgets, "parts": parts}
    picture = conftest.picture(**{**totals, **changed})
    answers = [vars(answer) for answer in run_answers.answer_all(picture, RUNNING)]
    return {
        "run": "main", "said": "running", "picture": picture, "answers": answers,
        "machine": {"memory_bytes": 64_100_000, "disks": {"data": {"free_bytes": 7e10}}},
    }  # fmt: skip


def test_everything_is_said_in_its_column() -> None:
    lines = top_lines.make_lines(document(), 80)
    text = "\n".join(lines)
    assert lines[0] == "polybackfill main  running"
    assert len(lines[1]) == 79
    for question in ("When is it done?", "What is missing?", "What do I do about it?"):
        assert question in text
    (wallets,) = [line for line in lines if line.startswith("wallets")]
    assert wallets.startswith(f"wallets  {'█' * 9}{'░' * 7}")
    assert "600/1,000" in wallets
    (clob,) = [line for line in lines if line.startswith("clob")]
    assert "proven" in clob
    (trades,) = [line for line in lines if line.startswith("trades")]
    assert "20.0" in trades
    assert "memory 64.1 MB  data 70.0 GB free" in text


def test_without_a_picture_the_state_and_its_answer_stay() -> None:
    answers = [
        vars(one) for one in run_answers.answer_all(None, run_state.RunState("never", False))
    ]
    shown = {"said": "not running", "answers": answers, "picture": None}
    assert top_lines.make_lines(shown, 80)[0].endswith("not running")
    assert "polybackfill run" in "\n".join(top_lines.make_lines(shown, 80))


@pytest.mark.parametrize("columns", [60, 80, 120, 140])
def test_what_is_asked_first_is_whole_in_every_width(columns: int) -> None:
    """The five answers, and how long each part takes; tables give up whole columns."""
    waits = {"limit": 40, "queue": 20, "working": 4}
    parts = {
        "conditions": conftest.part(
            units=1_600_000, done=750_000, eta_s=5_400.0, waits=waits, requests_per_s=19.0
        ),
        "resolutions": conftest.part(
            complete=True, error=0, share=1.0, requests_per_s=0.0, waits={}
        ),
    }
    shown = document(parts=parts, held_back={"clob": "the list has no winner any more, so that no "
                                                     "resolution can be told from it"})  # fmt: skip
    lines = top_lines.make_lines(shown, columns)
    tables = lines[lines.index("", 3) :]
    assert max(map(terminal.cells, tables[:-1])) <= columns
    said = " ".join(" ".join(lines).split())
    for answer in shown["answers"]:
        assert " ".join(f"{answer['question']} {answer['text']}".split()) in said
    (conditions,) = [line for line in tables if line.startswith("conditions")]
    assert "750,000/1,600,000" in conditions
    assert "ETA 1 h 30 min" in conditions
    assert ("40 limit, 20 queue" in conditions) is (columns == 140)


def test_a_longer_line_is_broken_and_not_cut() -> None:
    machine = top_lines.make_lines(document(), 40)[-1]
    shown = [line.removesuffix("\x1b[K") for line in full_screen._fit(machine, 40)]
    assert len(shown) > 1
    assert max(map(len, shown)) <= 40
    assert " ".join(" ".join(shown).split()) == " ".join(machine.split())


def test_what_was_true_while_it_went_on_is_not_said_of_one_that_has_ended() -> None:
    shown = {**document(), "answers": []}
    going_on = "\n".join(top_lines.make_lines(shown, 120))
    ended = "\n".join(top_lines.make_lines({**shown, "is_running": False}, 120))
    for word in ("requests/s", "rows/s", "left", "allowed", "ETA"):
        assert word in going_on
        assert word not in ended
    assert "600/1,000" in ended
