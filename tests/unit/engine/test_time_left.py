"""The slowest of parts and budgets decides, and the share goes with the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill.engine import time_left

ALLOWED = {"/v2/*": 80.0, "/v2/trades": 30.0, "/v2/activity": 20.0, "gamma/*": 400.0}
ACTIVITY, TRADES = ("/v2/activity", "/v2/*"), ("/v2/trades", "/v2/*")


def load(
    left: float, rate: float, *budgets: str, done: float = 0, chain_s: float = 0
) -> time_left.Load:
    """A part."""
    return time_left.Load(done, left, rate, budgets, chain_s)


def test_side_by_side_the_slowest_decides_and_nothing_adds_up() -> None:
    loads = [load(300, 30, *TRADES), load(600, 20, *ACTIVITY)]
    assert time_left.seconds(loads, ALLOWED) == 30
    assert time_left.seconds(loads[:1], ALLOWED) == 10
    assert time_left.seconds([], ALLOWED) == 0


def test_what_shares_a_budget_adds_up_there() -> None:
    loads = [load(600, 20, *ACTIVITY), load(400, 20, *ACTIVITY), load(10, 80, "/v2/*")]
    assert time_left.seconds(loads, ALLOWED) == 50


def test_a_part_may_be_slower_than_its_budget() -> None:
    assert time_left.seconds([load(100, 5, *ACTIVITY)], ALLOWED) == 20
    assert time_left.seconds([load(10, 20, *ACTIVITY, chain_s=40)], ALLOWED) == 40


def test_what_begins_when_the_others_have_ended_takes_its_time_after_them() -> None:
    loads = [load(300, 30, *TRADES), load(100, 20, *ACTIVITY)]
    assert time_left.seconds([*loads, load(100, 50, "/v2/*")], ALLOWED) == 10
    last = replace(load(100, 50, "/v2/*"), is_behind=True)
    assert time_left.seconds([*loads, last], ALLOWED) == 12


amounts = st.floats(0, 1e9)
loads = st.lists(
    st.builds(
        time_left.Load,
        amounts,
        amounts,
        st.floats(0.01, 100),
        st.sampled_from([ACTIVITY, TRADES, ("gamma/*",)]),
        st.floats(0, 1e6),
    ),
    max_size=8,
)


@given(loads, st.floats(0, 1e3))
def test_the_share_is_one_and_goes_with_the_time(
    loads: list[time_left.Load], tail_s: float
) -> None:
    share = time_left.share(loads, tail_s)
    assert 0 <= share <= 1
    left = sum(one.left for one in loads) + tail_s
    if not left:
        assert share == 1
    if not any(one.done for one in loads) and left:
        assert share == pytest.approx(0)


@given(loads, st.integers(0, 7), st.floats(0, 1), st.floats(0, 100))
def test_what_gets_done_makes_the_share_larger_and_the_time_shorter(
    loads: list[time_left.Load], number: int, part: float, tail_s: float
) -> None:
    if not loads:
        return
    before = loads[number % len(loads)]
    moved = before.left * part
    later = [
        time_left.Load(
            one.done + moved,
            one.left - moved,
            one.rate_per_s,
            one.budgets,
            one.chain_s * (1 - part),
        )
        if one is before
        else one
        for one in loads
    ]
    assert time_left.seconds(later, ALLOWED) <= time_left.seconds(loads, ALLOWED) * (1 + 1e-9)
    earlier = time_left.share(loads, tail_s)
    assert time_left.share(later, tail_s) >= earlier - 1e-6
