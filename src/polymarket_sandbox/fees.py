"""What a taker pays: a schedule by date and by what a market is about. Makers pay nothing.

From 2026-01-05 crypto markets alone charge `C x p x rate x (p x (1 - p))^2`; from 2026-03-30 a
market charges `C x rate x p x (1 - p)`, at rates that changed on 2026-07-10. C are shares, p is
the price, the fee is in USD. Formulas and rates reproduce the fees of recorded fills of
2026-03-17, 03-31, 04-25, 07-14, 09-14 and 09-28 to the rounding of five decimals; rates of
subjects that were never recorded are stand-ins of the same size.

Only `usdc_size` of activity rows tells a fee: a buyer's is size x price plus the fee, a seller's
size x price less the fee. In spring 2026 a buyer's fee was kept back in shares: he paid
ordered x price and got less than he ordered, so that the difference to size x price is the fee
here too. Drawn fills have it on top; `money_rows` has fills of the other form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polymarket_sandbox import rows

SINCE, FORMULA_SINCE, RATES_SINCE = 1_767_571_200, 1_774_828_800, 1_783_641_600  # midnight UTC
FREE, CRYPTO, SPORTS, OTHER = range(4)
_NAMES = (None, "crypto_fees_v2", "sports_fees_v2", "general_fees")
_FIRST_CRYPTO_RATE = 0.25
_SPRING_RATES = np.array([0.0, 0.072, 0.03, 0.05])
_SUMMER_RATES = np.array([0.0, 0.07, 0.05, 0.05])
_REBATE_RATE = 0.2
_FREE_TAGS = ("World",)  # geopolitics stayed free


def subject(labels: Sequence[str]) -> int:
    """The row of the schedule that a market with these tag labels belongs to."""
    if "Crypto" in labels:
        return CRYPTO
    if "Sports" in labels:
        return SPORTS
    return FREE if not labels or set(labels) & set(_FREE_TAGS) else OTHER


def charged(
    ts: rows.Ints, subjects: rows.Ints, micro: rows.Ints, price: rows.Floats
) -> rows.Floats:
    """The fee in USD of a taker's fills, five decimals."""
    spread = price * (1 - price)
    rates = np.where(ts >= RATES_SINCE, _SUMMER_RATES[subjects], _SPRING_RATES[subjects])
    early = np.where(subjects == CRYPTO, _FIRST_CRYPTO_RATE, 0.0) * price * spread**2
    rate = np.where(ts >= FORMULA_SINCE, rates * spread, early)
    fee: rows.Floats = np.maximum(np.where(ts >= SINCE, micro / 1e6 * rate, 0.0), 0.0)
    return fee.round(5)


def one(ts: int, subjects: int, shares: float, price: float) -> float:
    """The fee in USD of one fill of a taker."""
    micro = np.array([round(shares * 1e6)])
    return float(charged(np.array([ts]), np.array([subjects]), micro, np.array([price]))[0])


def fill_in(columns: Mapping[str, np.ndarray], subjects: rows.Ints) -> None:
    """Set the `usdc` of trades that is still open (NaN): size x price, and what a taker pays on top
    of it when he buys and out of it when he sells. `subjects`: by condition number."""
    chosen = np.flatnonzero(np.isnan(columns["usdc"]))
    micro, price = columns["micro"][chosen], columns["price"][chosen]
    fee = charged(columns["ts"][chosen], subjects[columns["condition"][chosen]], micro, price)
    fee = np.where(columns["taker"][chosen], fee, 0.0)
    signed = np.where(columns["side"][chosen] == rows.BUY, fee, -fee)
    columns["usdc"][chosen] = np.round(micro / 1e6 * price + signed, 6)


def shown(subjects: int, closed_at: int) -> dict[str, object]:
    """What Gamma says of the fees of a market, at the newest rates; `closed_at`: 0 while open."""
    if subjects == FREE or 0 < closed_at < SINCE:
        return {"feesEnabled": False, "feeType": None}
    schedule = {
        "exponent": 1,
        "rate": float(_SUMMER_RATES[subjects]),
        "takerOnly": True,
        "rebateRate": _REBATE_RATE,
    }
    return {"feesEnabled": True, "feeType": _NAMES[subjects], "feeSchedule": schedule}
