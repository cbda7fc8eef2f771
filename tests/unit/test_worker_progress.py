"""Idle time is time without a mark, declared waits left out."""

from __future__ import annotations

from tests import virtual_clock

from polybackfill import worker_progress


def test_a_declared_wait_is_not_idle_time_but_what_surrounds_it_is() -> None:
    clock = virtual_clock.VirtualClock()
    marks = worker_progress.Progress(clock)
    clock.pass_by(10)
    with marks.waiting("pause"):
        clock.pass_by(600)
        assert marks.idle_s() == 0
        with marks.waiting("limit"):
            clock.pass_by(5)
            assert marks.wait_reason == "limit"
    assert marks.idle_s() == 10
    clock.pass_by(3)
    assert marks.idle_s() == 13


def test_a_mark_starts_the_idle_time_again() -> None:
    clock = virtual_clock.VirtualClock()
    marks = worker_progress.Progress(clock)
    clock.pass_by(50)
    marks.mark("page")
    clock.pass_by(1)
    assert marks.idle_s() == 1
    assert marks.wait_reason is None
