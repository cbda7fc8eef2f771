"""The one list of everything the program takes for granted about the API."""

from __future__ import annotations

from collections.abc import Collection

from polybackfill.probe import (
    activity_assumptions,
    market_assumptions,
    order_book_assumptions,
    position_assumptions,
    resolution_assumptions,
    service_assumptions,
    trade_assumptions,
)
from polybackfill.probe.assumption import Assumption

ASSUMPTIONS: tuple[Assumption, ...] = (
    *order_book_assumptions.ASSUMPTIONS,
    *market_assumptions.ASSUMPTIONS,
    *trade_assumptions.ASSUMPTIONS,
    *activity_assumptions.ASSUMPTIONS,
    *position_assumptions.ASSUMPTIONS,
    *resolution_assumptions.ASSUMPTIONS,
    *service_assumptions.ASSUMPTIONS,
)


def for_kinds(kinds: Collection[str]) -> list[Assumption]:
    """What units of these kinds stand on."""
    return [one for one in ASSUMPTIONS if set(one.kinds) & set(kinds)]
