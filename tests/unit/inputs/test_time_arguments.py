"""`--since` and `--until` mean what a person reading them expects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from polybackfill import errors
from polybackfill.inputs import time_arguments


def test_a_day_is_taken_whole() -> None:
    assert time_arguments.parse("2024-08-21", "2024-08-21") == (1724198400, 1724284799)


def test_times_and_zones_and_epoch_seconds_are_understood() -> None:
    assert time_arguments.parse("2024-08-21T02:00:00+02:00", "1724284799") == (
        1724198400,
        1724284799,
    )
    assert time_arguments.parse(None, None) == (None, None)


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "1724198400000", "-5", ""])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(errors.Stop, match="--since") as refusal:
        time_arguments.parse(text, None)
    assert text in str(refusal.value)
    assert refusal.value.exit_code == errors.EXIT_CONFIG


def test_since_after_until_names_both() -> None:
    with pytest.raises(errors.Stop, match="--since 2025-01-02 lies after --until 2025-01-01"):
        time_arguments.parse("2025-01-02", "2025-01-01")


def test_the_next_time_the_clock_shows_it() -> None:
    now = datetime(2026, 11, 21, 22, 30, 15).astimezone().timestamp()
    seven = datetime(2026, 11, 22, 7, 0).astimezone().timestamp()
    assert time_arguments.stop_time("07:00", now) == seven
    assert time_arguments.stop_time("7:00", now) == seven
    assert time_arguments.stop_time("22:30", now) == pytest.approx(now - 15 + 86_400)
    assert time_arguments.stop_time("22:31", now) == pytest.approx(now + 45)
    for text in (None, "24:00", "07:60", "2026-11-22"):
        assert time_arguments.stop_time(text, now) is None


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is changed twice a year."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "text", "hours"),
    [
        ("2026-10-24T21:00Z", "07:00", 9),  # 23 h there; the night has an hour more
        ("2026-10-24T23:50Z", "02:30", 2 / 3),  # 01:50; shown for the first time
        ("2026-10-25T00:40Z", "02:30", 5 / 6),  # 02:40; shown again after the change
        ("2026-10-25T01:10Z", "02:30", 1 / 3),  # 02:10 for the second time
        ("2026-10-25T01:40Z", "02:30", 23 + 5 / 6),  # 02:40 for the second time
        ("2026-03-28T22:00Z", "07:00", 7),  # 23 h there; the night has an hour less
        ("2026-03-29T00:50Z", "02:30", 2 / 3),  # 01:50; that time is left out, 03:30 instead
        ("2026-03-29T01:10Z", "07:00", 3 + 5 / 6),  # 03:10
    ],
)
def test_a_night_in_which_the_clock_is_changed(now: str, text: str, hours: float) -> None:
    began = datetime.fromisoformat(now.replace("Z", "+00:00")).timestamp()
    found = time_arguments.stop_time(text, began)
    assert found is not None
    assert (found - began) / 3600 == pytest.approx(hours)
    if "03-29T00" not in now:
        assert time_arguments.local_text(found).split()[1] == text
