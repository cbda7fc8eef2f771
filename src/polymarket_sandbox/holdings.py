"""Who holds what: shares per wallet and token, from the rows of activity alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polymarket_sandbox import rows


@dataclass(frozen=True, repr=False)
class Balances:
    """One entry per (wallet, token) met in a trade, sorted so; sizes in micro-shares.

    `lowest`: the lowest running balance, below zero where more was sold than bought before.
    """

    wallet: rows.Ints
    token: rows.Ints
    net: rows.Ints
    lowest: rows.Ints
    first_ts: rows.Ints
    last_ts: rows.Ints
    bought: rows.Ints
    cost: rows.Floats
    sold: rows.Ints
    proceeds: rows.Floats

    def __len__(self) -> int:
        return len(self.wallet)


def from_trades(
    *,
    wallet: rows.SmallInts,
    token: rows.SmallInts,
    ts: rows.Ints,
    buying: rows.Flags,
    micro: rows.Ints,
    price: rows.Floats,
) -> Balances:
    """Balances after trades alone; the rows of one second count in the order given."""
    order = np.lexsort((ts, token, wallet))
    wallet, token, ts = wallet[order], token[order], ts[order]
    buying, micro = buying[order], micro[order]
    usdc = micro / 1e6 * price[order]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (wallet[1:] != wallet[:-1]) | (token[1:] != token[:-1])
    first = np.flatnonzero(is_first)
    signed = np.where(buying, micro, -micro)
    running = np.cumsum(signed)
    before = (running - signed)[first]
    lengths = np.diff(np.append(first, len(order)))
    running = running - np.repeat(before, lengths)
    last = first + lengths - 1
    return Balances(
        wallet=wallet[first].astype(np.int64),
        token=token[first].astype(np.int64),
        net=running[last],
        lowest=np.minimum.reduceat(running, first),
        first_ts=ts[first],
        last_ts=ts[last],
        bought=np.add.reduceat(np.where(buying, micro, 0), first),
        cost=np.add.reduceat(np.where(buying, usdc, 0.0), first),
        sold=np.add.reduceat(np.where(buying, 0, micro), first),
        proceeds=np.add.reduceat(np.where(buying, 0.0, usdc), first),
    )
