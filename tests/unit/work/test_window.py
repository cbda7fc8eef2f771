"""`--since` and `--until` mean what a person reading them expects."""

from __future__ import annotations

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
