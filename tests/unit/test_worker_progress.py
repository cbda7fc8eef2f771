"""Idle time is time without a mark, declared waits left out."""

from __future__ import annotations

from polybackfill import worker_progress


class Clock:
    """A clock the test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_a_declared_wait_is_not_idle_time_but_what_surrounds_it_is() -> None:
    clock = Clock()
    marks = worker_progress.Progress(clock)
    clock.at += 10
    with marks.waiting("pause"):
        clock.at += 600
        assert marks.idle_s() == 0
        with marks.waiting("limit"):
            clock.at += 5
            assert marks.wait_reason == "limit"
    assert marks.idle_s() == 10
    clock.at += 3
    assert marks.idle_s() == 13


def test_a_mark_starts_the_idle_time_again() -> None:
    clock = Clock()
    marks = worker_progress.Progress(clock)
    clock.at += 50
    marks.mark("page")
    clock.at += 1
    assert marks.idle_s() == 1
    assert marks.wait_reason is None
