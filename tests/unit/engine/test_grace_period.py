"""A stop is over within its grace period."""

from __future__ import annotations

from polybackfill.engine import grace_period


def test_what_a_stop_may_take_leaves_time_for_the_process_to_end() -> None:
    shares = [share for name, share in vars(grace_period).items() if name.endswith("_SHARE")]
    assert len(shares) == 6
    assert min(shares) > 0
    assert sum(shares) < 0.96
