"""Questions over all fills in parts, so that their memory stays the same however many there are."""

from __future__ import annotations

import itertools

# Joins and groups of fills by wallet and market hold some 200 bytes for each.
ROWS = 2_000_000
_MOST = 256


def list_conditions(rows: int) -> list[str]:
    """Conditions on `condition_id` that cut a table of so many rows into equal parts; of all rows
    each part holds those of some markets.
    """
    parts = min(_MOST, 1 + rows // ROWS)
    bounds = [f"{256 * number // parts:02x}" for number in range(1, parts)]
    if not bounds:
        return ["true"]
    between = itertools.pairwise(bounds)
    return [
        f"condition_id < '{bounds[0]}'",
        *(f"condition_id >= '{first}' AND condition_id < '{end}'" for first, end in between),
        f"condition_id >= '{bounds[-1]}'",
    ]
