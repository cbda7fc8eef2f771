"""Whether a market is resolved and which outcome won, as a list shows it.

The rule for Gamma, which has prices and a status but no word for the result:

- An open market is not resolved, whatever its prices: they are quotes. Neither is a closed one
  whose status says that the question is under way (requested, proposed, disputed, …).
- A closed market whose prices give all to one outcome (at least 0.999 of prices that add up to one)
  is resolved, and that outcome won. Early markets have no status at all; this is all they say.
- Otherwise a closed market is resolved if its status says so, and has no winner: a tie (0.5 and
  0.5), another division, or prices that are all zero, which is how some settled markets show that
  they have none. Without such a status 0.5 and 0.5 is nothing but the price of an untraded market.

The order book marks the winning token of a closed market; of ties it has no clear word.
What a market pays is decided in SQL, by these and the Data API (`schema/010_payouts.sql`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Gamma, `umaResolutionStatus` and (Protocol V2) `resolutionStatus`; both names of one thing.
_FINAL = frozenset(("resolved", "settled"))
_UNKNOWN = ""
_WHOLE = 0.999
_ROUNDING = 0.01


class ResolvedOutcome(NamedTuple):
    """`winner`: outcome index, None when unresolved or divided."""

    resolved: bool
    winner: int | None


_UNRESOLVED = ResolvedOutcome(False, None)


def by_prices(prices: Sequence[float], *, closed: bool, status: str) -> ResolvedOutcome:
    """From Gamma's prices, flag and status."""
    is_final = status.lower() in _FINAL
    if not closed or not (is_final or status == _UNKNOWN):
        return _UNRESOLVED
    top = max(prices, default=0.0)
    if len(prices) > 1 and top >= _WHOLE and abs(sum(prices) - 1.0) <= _ROUNDING:
        return ResolvedOutcome(True, prices.index(top))
    return ResolvedOutcome(is_final, None)


def by_winners(winners: Sequence[int], *, closed: bool) -> ResolvedOutcome:
    """From the tokens the order book marks as winners."""
    return ResolvedOutcome(True, winners[0]) if closed and len(winners) == 1 else _UNRESOLVED


def known_prices(prices: list[float]) -> list[float]:
    """[] when all are zero: that is how missing prices are written."""
    return prices if any(prices) else []
