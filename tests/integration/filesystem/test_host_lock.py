"""A lock that everybody on the machine waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybackfill import errors
from polybackfill.filesystem import host_lock


def test_a_turn_that_does_not_come_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.lock"
    again = host_lock.hold(file, "dims build", within_s=0.05)
    with (
        host_lock.hold(file, "dims build"),
        pytest.raises(errors.Stop, match="another dims") as told,
    ):
        again.__enter__()
    assert told.value.exit_code == errors.EXIT_UNAVAILABLE
