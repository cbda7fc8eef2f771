"""What is left is told by what ended, and is never far off for long."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from polybackfill.daemon import effort


def walk(told: effort.Effort, expected: int, pages: int) -> None:
    """One unit from its first page to its last."""
    with told.unit(expected) as page:
        for number in range(pages):
            page(number == pages - 1)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.data())
def test_a_plan_that_is_right_is_believed(sizes: list[int], data: st.DataObject) -> None:
    told, ended = effort.Effort(), data.draw(st.integers(0, len(sizes) - 1))
    for size in sorted(sizes, reverse=True)[:ended]:  # the largest first, as a plan ranks them
        walk(told, size, size)
    left = sum(sorted(sizes, reverse=True)[ended:])
    assert told.left(sum(sizes)) == left
    with told.unit(left) as page:
        for _ in range(left // 2):
            page(False)
        assert told.left(sum(sizes)) == max(1, left - left // 2)
    assert told.left(sum(sizes)) == left, "a walk that broke off is to be done again"


@given(st.integers(2, 30), st.integers(100, 1_000))
def test_a_plan_that_is_wrong_is_corrected(pages: int, units: int) -> None:
    told = effort.Effort()
    for number in range(units):
        walk(told, 1, pages)
        left = pages * (units - number - 1)
        if number > 200:
            assert 0.9 * left - 1 <= told.left(units) <= left + 1


def test_units_under_way_do_not_count_as_slow_ones() -> None:
    """A hundred walks of ten pages that began together: none has ended, all have one page left."""
    told = effort.Effort()
    with contextlib.ExitStack() as walks:
        for page in [walks.enter_context(told.unit(10)) for _ in range(100)]:
            for _ in range(9):
                page(False)
        assert told.left(2_000) == 2_000 - 900
