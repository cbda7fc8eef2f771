"""The lines of `top`: what they say, and that they stand below one another."""

from __future__ import annotations

from typing import Any

from tests.unit.monitoring import conftest

from polybackfill.reports import run_answers, run_state, top_lines

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
    assert wallets.startswith(f"wallets     {'█' * 12}{'░' * 8}")
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
