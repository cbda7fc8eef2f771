"""Whether a market is resolved and which outcome won, as a list shows it.

The rule for Gamma, which has prices and a status but no word for the result:

- An open market is not resolved, whatever its prices: they are quotes.
- A closed one is resolved unless its status says that the question is still under way (requested,
  proposed, disputed, …) and if its prices are payouts, that is add up to one. Early markets have no
  status at all; closed with such prices is all they say.
- The winner is the outcome that pays at least 0.99. A tie (0.5 and 0.5) and any other division is
  resolved without a winner.
- Prices that are all zero (seen on settled markets of 2020) say nothing: resolved only if the
  status says so, without a winner.

The order book marks the winning token, and markets that ended in a tie.
What pays out in the end is told by `/v2/resolutions`; disagreements are listed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Gamma, `umaResolutionStatus` and (Protocol V2) `resolutionStatus`; both names of one thing.
_FINAL = frozenset(("resolved", "settled"))
_UNKNOWN = ""
_PAYS = 0.99
_ROUNDING = 0.01


class Verdict(NamedTuple):
    """`winner`: outcome index, None when unresolved or divided."""

    resolved: bool
    winner: int | None


def by_prices(prices: Sequence[float], *, closed: bool, status: str) -> Verdict:
    """From Gamma's prices (`known_prices`), flag and status."""
    status = status.lower()
    if not closed or not (status in _FINAL or status == _UNKNOWN):
        return Verdict(False, None)
    if not _are_payouts(prices):
        return Verdict(status in _FINAL, None)
    top = max(prices)
    return Verdict(True, prices.index(top) if top >= _PAYS else None)


def by_winners(winners: Sequence[int], *, closed: bool, halves: bool) -> Verdict:
    """From the tokens the order book marks as winners."""
    if len(winners) == 1:
        return Verdict(True, winners[0])
    return Verdict(closed and (halves or bool(winners)), None)


def known_prices(prices: list[float]) -> list[float]:
    """[] when all are zero: that is how missing prices are written."""
    return prices if any(prices) else []


def _are_payouts(prices: Sequence[float]) -> bool:
    return (
        len(prices) > 1
        and all(0.0 <= price <= 1.0 for price in prices)
        and abs(sum(prices) - 1.0) <= _ROUNDING
    )
