"""When a market counts as resolved, and who won."""

from __future__ import annotations

import pytest

from polybackfill.polymarket import resolution_rules


@pytest.mark.parametrize(
    ("prices", "closed", "status", "resolved", "winner"),
    [
        ([1.0, 0.0], True, "resolved", True, 0),
        ([0.0, 1.0], True, "settled", True, 1),
        ([0.0, 1.0], True, "", True, 1),  # early markets have no status
        ([0.0, 0.0, 1.0], True, "RESOLVED", True, 2),
        ([0.5, 0.5], True, "resolved", True, None),  # a tie
        ([0.5, 0.5], True, "", False, None),  # never traded
        ([0.25, 0.75], True, "resolved", True, None),
        ([0.25, 0.75], True, "", False, None),
        ([], True, "resolved", True, None),  # all zero: see known_prices
        ([], True, "", False, None),
        ([1.0, 0.0], False, "resolved", False, None),  # open: quotes
        ([0.9995, 0.0005], False, "", False, None),
        ([1.0, 0.0], True, "disputed", False, None),
        ([1.0, 0.0], True, "proposed", False, None),
        ([1.0, 0.0], True, "active", False, None),
        ([1.0, 1.0], True, "", False, None),  # no division of one dollar
        ([1.0], True, "", False, None),
        ([1e300, -1e300], True, "", False, None),
    ],
)
def test_prices_flag_and_status_decide_together(
    prices: list[float], closed: bool, status: str, resolved: bool, winner: int | None
) -> None:
    """Seed 002, api_markets_staging + markets backfill: resolved and winning outcome filled for
    closed markets.
    """
    assert resolution_rules.by_prices(prices, closed=closed, status=status) == (resolved, winner)


def test_zero_prices_are_no_prices() -> None:
    assert resolution_rules.known_prices([0.0, 0.0]) == []
    assert resolution_rules.known_prices([0.0, 1.0]) == [0.0, 1.0]


def test_the_order_book_names_one_winner_or_none() -> None:
    assert resolution_rules.by_winners([1], closed=True) == (True, 1)
    assert resolution_rules.by_winners([1], closed=False) == (False, None)
    assert resolution_rules.by_winners([], closed=True) == (False, None)
    assert resolution_rules.by_winners([0, 1], closed=True) == (False, None)
