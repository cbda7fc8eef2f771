"""What is left is told by what ended, and is never far off for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import units
from polybackfill.engine import request_estimate
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints

WALLETS = registry.KINDS[units.WALLETS]


def wallet(number: int, pages: int = 1) -> units.Unit:
    """A wallet that is expected to have so many pages."""
    rows = (pages - 1) * endpoints.PAGE_ROWS
    return units.Unit(units.WALLETS, (f"{number:040x}",), expected_rows=rows)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.data())
def test_a_plan_that_is_right_is_believed(sizes: list[int], data: st.DataObject) -> None:
    estimate = request_estimate.RequestEstimate(WALLETS)
    ended = data.draw(st.integers(0, len(sizes)))
    ranked = [wallet(number, pages) for number, pages in enumerate(sorted(sizes, reverse=True))]
    for unit, pages in zip(ranked[:ended], sorted(sizes, reverse=True), strict=False):
        estimate.unit_ended(unit, pages)
    left = sum(sorted(sizes, reverse=True)[ended:])
    waiting = request_estimate.RemainingWork(waiting=ranked[ended:])
    assert estimate.left(waiting) == pytest.approx(left)
    unnamed = request_estimate.RemainingWork(requests=left)
    assert estimate.left(unnamed) == pytest.approx(left)
    assert estimate.is_known(waiting)
    assert estimate.is_known(unnamed)
    assert estimate.pages == sum(sizes) - left


@given(st.integers(2, 30), st.integers(201, 1_000))
def test_a_plan_that_is_wrong_is_corrected(pages: int, count: int) -> None:
    estimate = request_estimate.RequestEstimate(WALLETS)
    for number in range(count):
        estimate.unit_ended(wallet(number), pages)
    assert 0.9 * pages <= estimate.of_unit(wallet(0)) <= pages


def test_a_unit_under_way_has_what_is_expected_of_it_less_what_is_stored() -> None:
    estimate = request_estimate.RequestEstimate(WALLETS)
    assert estimate.of_unit(wallet(1, pages=10)) == 10
    assert estimate.of_unit(wallet(1, pages=10), pages=7) == 3
    assert estimate.of_unit(wallet(1, pages=10), pages=10) == 1, "its end was not seen yet"
    assert estimate.of_unit(wallet(1, pages=1), pages=40) == 39, "nobody knows how long it is"


def test_units_of_unknown_size_are_told_by_finished_ones_or_not_at_all() -> None:
    estimate = request_estimate.RequestEstimate(WALLETS)

    def unsized(number: int) -> units.Unit:
        return units.Unit(units.WALLETS, (f"{number:040x}",), expected_rows=None)

    few = request_estimate.RemainingWork(begun=[(unsized(1), 0), (unsized(2), 3)])
    many = request_estimate.RemainingWork(begun=[(unsized(1), 0)], requests=100, unsized=100)
    for number in range(4):
        estimate.unit_ended(unsized(number), 5)
        assert not estimate.is_known(many)
    estimate.unit_ended(unsized(4), 5)
    assert estimate.is_known(many)
    assert estimate.left(many) == pytest.approx(505)
    assert not estimate.is_known(few), "what is under way shows its size at its end alone"
    sized = request_estimate.RemainingWork(begun=[(wallet(1, pages=10), 7)])
    assert estimate.is_known(sized)
    assert estimate.left(sized) == 3, "what has a size is not told by what has none"
