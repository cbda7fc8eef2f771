"""`--since` and `--until` mean what a person reading them expects."""

from __future__ import annotations

from datetime import datetime

import pytest

from polybackfill import errors
from polybackfill.work import window


def test_a_day_is_taken_whole() -> None:
    assert window.parse("2024-08-21", "2024-08-21") == (1724198400, 1724284799)


def test_times_and_zones_and_epoch_seconds_are_understood() -> None:
    assert window.parse("2024-08-21T02:00:00+02:00", "1724284799") == (1724198400, 1724284799)
    assert window.parse(None, None) == (None, None)


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "1724198400000", "-5", ""])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(errors.Stop, match="--since") as refusal:
        window.parse(text, None)
    assert text in str(refusal.value)
    assert refusal.value.exit_code == errors.EXIT_CONFIG


def test_since_after_until_names_both() -> None:
    with pytest.raises(errors.Stop, match="--since 2025-01-02 lies after --until 2025-01-01"):
        window.parse("2025-01-02", "2025-01-01")


def test_the_next_time_the_clock_shows_it() -> None:
    now = datetime(2026, 11, 21, 22, 30, 15).astimezone().timestamp()
    seven = datetime(2026, 11, 22, 7, 0).astimezone().timestamp()
    assert window.stop_time("07:00", now) == seven
    assert window.stop_time("7:00", now) == seven
    assert window.stop_time("22:30", now) == pytest.approx(now - 15 + 86_400)
    assert window.stop_time("22:31", now) == pytest.approx(now + 45)
    for text in (None, "24:00", "07:60", "2026-11-22"):
        assert window.stop_time(text, now) is None
