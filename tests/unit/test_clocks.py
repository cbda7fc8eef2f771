"""What is newer, and what time it is, whatever the clock of this machine says."""

from __future__ import annotations

import pytest

from polybackfill import clocks

NOW = 1_790_000_000.0


class Machine(clocks.SourceClock):
    """A machine whose clock a test sets."""

    def __init__(self) -> None:
        super().__init__(elapsed=lambda: self.up_s)
        self.up_s = 500.0
        self.shows = NOW

    def machine_now(self) -> float:  # type: ignore[override]
        return self.shows


@pytest.fixture
def clock() -> Machine:
    return Machine()


def test_a_tick_is_above_every_one_before_whatever_the_clock_does(clock: Machine) -> None:
    first = clock.tick()
    assert first == NOW * 1000
    clock.shows -= 400 * 86_400
    assert clock.tick() == first + 1
    clock.start_above(first * 2)
    assert clock.tick() == first * 2 + 1
    clock.start_above(7)
    assert clock.tick() == first * 2 + 2


def test_the_machine_is_believed_until_the_source_has_spoken(clock: Machine) -> None:
    clock.shows += 2 * 86_400
    assert (clock.now(), clock.is_confirmed) == (NOW + 2 * 86_400, False)
    clock.hear(NOW)
    assert (clock.now(), clock.is_confirmed) == (NOW, True)


def test_a_clock_that_is_set_in_the_middle_moves_nothing(clock: Machine) -> None:
    clock.hear(NOW)
    for shows in (0.0, NOW + 4e9, NOW - 3600):
        clock.shows = shows
        clock.up_s += 10
        assert clock.now() == NOW + clock.up_s - 500


def test_one_server_with_a_wrong_clock_moves_nothing(clock: Machine) -> None:
    for said in (NOW, NOW + 1, NOW + 90_000, NOW, NOW - 90_000, NOW):
        clock.hear(said)
    assert NOW <= clock.now() <= NOW + 1


@pytest.mark.parametrize("nonsense", [0.0, 5.0, 1_600_000_000.0, 2.0**32, 1e300, float("nan")])
def test_what_is_no_time_is_not_believed(clock: Machine, nonsense: float) -> None:
    clock.hear(nonsense)
    assert (clock.now(), clock.is_confirmed) == (NOW, False)


def test_the_system_clock_counts_the_time_a_machine_sleeps() -> None:
    clock = clocks.SourceClock()
    clock.hear(clock.machine_now() - 86_400)
    assert abs(clock.machine_now() - 86_400 - clock.now()) < 1
