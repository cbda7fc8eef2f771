"""Samples of a run: how often they are kept, in how much room, and what becomes of many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polybackfill.reports import run_history


def picture(
    now: float, *, sent: float = 10.0, rows: float = 100.0, error: int = 0
) -> dict[str, Any]:
    budget = {"sent": 1, "rate_per_s": sent, "allowed_per_s": 25.0}
    return {
        "now": now,
        "share": 0.5,
        "eta_s": 60.0,
        "rows_per_s": rows,
        "batch": {"age_s": 0.4},
        "budgets": {"trades": budget, "clob": {**budget, "sent": 0}},
        "parts": {"wallets": {"error": error}},
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return run_history.history_path(tmp_path / "main.json")


def test_a_sample_is_kept_every_fifteen_seconds(file: Path) -> None:
    written = run_history.HistoryWriter(file)
    for second in range(40):
        written.add(picture(1_000.0 + second, error=second))
    samples = run_history.read_history(file, since=0)
    assert [sample.at for sample in samples] == [1_000.0, 1_015.0, 1_030.0]
    assert samples[1].sent == {"trades": 10.0}  # of a budget in use alone
    assert samples[2].in_error == 30
    assert [sample.at for sample in run_history.read_history(file, since=1_000.0)] == [1_015, 1_030]


def test_a_clock_that_was_set_back_stops_no_samples(file: Path) -> None:
    written = run_history.HistoryWriter(file)
    for now in (9_000.0, 1_000.0, 1_020.0):
        written.add(picture(now))
    assert [sample.at for sample in run_history.read_history(file, since=0)] == [
        9_000,
        1_000,
        1_020,
    ]


def test_a_restart_goes_on_and_a_line_that_a_crash_cut_is_left(file: Path) -> None:
    run_history.HistoryWriter(file).add(picture(1_000.0))
    with file.open("ab") as torn:
        torn.write(b'{"at": 10\n')
    run_history.HistoryWriter(file).add(picture(1_001.0))
    assert [sample.at for sample in run_history.read_history(file, since=0)] == [1_000, 1_001]


def test_the_file_is_bounded_and_the_newest_samples_stay(file: Path) -> None:
    written = run_history.HistoryWriter(file, most_bytes=5_000)
    for number in range(200):
        written.add(picture(1_000.0 + 15 * number))
        assert file.stat().st_size < 5_500
    samples = run_history.read_history(file, since=0)
    assert samples[-1].at == 1_000.0 + 15 * 199
    assert 5 < len(samples) < 40


def test_what_cannot_be_written_ends_nothing(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    run_history.HistoryWriter(tmp_path / "no-folder" / "main.history.jsonl").add(picture(1.0))
    assert [event["event"] for event in events] == ["history.not_written"]


def test_no_file_is_no_history(file: Path) -> None:
    assert run_history.read_history(file, since=0) == []
    assert run_history.thin_out([], 10) == []


def test_many_samples_are_averaged_into_few() -> None:
    samples = [
        run_history.sample_of(picture(float(number), sent=number, rows=2 * number))
        for number in range(1_000)
    ]
    few = run_history.thin_out(samples, 100)
    assert len(few) == 100
    assert (few[0].at, few[0].sent["trades"], few[0].rows_per_s) == (9.0, 4.5, 9.0)
    assert few[-1].at == 999.0
