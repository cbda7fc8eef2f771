"""Fills: one taker and one or more makers each, most of them drawn at random in bulk.

A maker either takes the other side of the same token (swap) or the same side of the opposite token
(mint when both buy, merge when both sell). The makers' sizes sum to the taker's, so both sides of a
market add to twice the taker total. What a fill costs in USD (`usdc`) is left open (NaN) until the
fees are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from polymarket_sandbox import rows, wallets

Columns = Mapping[str, np.ndarray]

MAKERS = np.array([1, 2, 3, 4, 5, 6])
MAKER_CHANCES = np.array([0.58, 0.22, 0.10, 0.06, 0.03, 0.01])
BUYING_TAKERS = 0.8
COMPLEMENTARY = 0.72


@dataclass(frozen=True)
class Venue:
    """Where trading happens, by condition number: `tokens[c, o]` token numbers (-1 for none),
    `outcomes` how many, `first`/`last` second of trading, `chances` of a fill to be there."""

    tokens: rows.SmallInts
    outcomes: rows.Ints
    first: rows.Ints
    last: rows.Ints
    chances: rows.Floats


@dataclass
class FillWriter:
    """Fills written one by one; `columns` turns them into the same form as the random ones."""

    venue: Venue
    first_tx: int
    txs: int = 0
    values: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in rows.COLUMN_TYPES}
    )

    def new_tx(self) -> int:
        """The number of a transaction nobody used."""
        self.txs += 1
        return self.first_tx + self.txs - 1

    def fill(
        self,
        ts: int,
        condition: int,
        taker: int,
        makers: list[tuple[int, int]],
        *,
        outcome: int = 0,
        ticks: int = 500,
    ) -> int:
        """The taker buys `outcome` at ticks/1000 from makers (wallet, micro) who buy the opposite
        one; the taker's row is the newest of the transaction. Returns the transaction."""
        tx = self.new_tx()
        opposite = int(self.venue.tokens[condition, 1 - outcome])
        shared = {"ts": ts, "condition": condition, "tx": tx}
        for wallet, micro in makers:
            self._row(shared, opposite, wallet, micro, 1000 - ticks)
        total = sum(micro for _, micro in makers)
        self._row(shared, int(self.venue.tokens[condition, outcome]), taker, total, ticks)
        self.values["taker"][-1] = True
        return tx

    def _row(
        self, shared: Mapping[str, int], token: int, wallet: int, micro: int, ticks: int
    ) -> None:
        row: dict[str, float] = {
            **shared,
            "kind": rows.TRADE,
            "side": rows.BUY,
            "wallet": wallet,
            "profile": wallet,
            "token": token,
            "display": token,
            "micro": micro,
            "price": ticks / 1000,
            "usdc": np.nan,
            "taker": False,
            "combo": False,
        }
        for name, value in row.items():
            self.values[name].append(value)

    def columns(self) -> Columns:
        """The fills so far as columns."""
        return {
            name: np.array(self.values[name]).astype(kind)
            for name, kind in rows.COLUMN_TYPES.items()
        }

    def __len__(self) -> int:
        return len(self.values["ts"])


@dataclass(frozen=True)
class _Fills:
    """Random fills in time order, one entry each."""

    ts: rows.Ints
    condition: rows.Ints
    outcome: rows.Ints
    ticks: rows.Ints
    buying: rows.Flags
    taker: rows.Ints
    makers: rows.Ints
    micro: rows.Ints
    tx: rows.Ints
    twins: rows.Flags

    def __len__(self) -> int:
        return len(self.ts)


def random_fills(
    rng: np.random.Generator, venue: Venue, wallet_set: wallets.WalletSet, count: int
) -> tuple[Columns, int]:
    """About `count` rows (never more) and the number of transactions behind them."""
    fills = _draw_fills(rng, venue, wallet_set, count)
    if not len(fills):
        return {name: np.zeros(0, kind) for name, kind in rows.COLUMN_TYPES.items()}, 0
    fill_of = np.repeat(np.arange(len(fills)), fills.makers + 1)
    first = np.concatenate(([0], np.cumsum(fills.makers + 1)[:-1]))
    taker_at = first + fills.makers
    is_taker = np.zeros(len(fill_of), dtype=np.bool_)
    is_taker[taker_at] = True
    complementary = _complementary(rng, fills, venue, fill_of, is_taker)
    micro = _sizes(rng, fills, fill_of, first, taker_at)
    maker_micro = np.where(is_taker, 0, micro)
    ticks, taker_price = _prices(rng, fills, fill_of, first, maker_micro=maker_micro)
    outcome = fills.outcome[fill_of]
    outcome = np.where(complementary, 1 - outcome, outcome)
    price = np.where(complementary, 1000 - ticks, ticks) / 1000
    price[taker_at] = taker_price
    same_side = is_taker | complementary
    token = venue.tokens[fills.condition[fill_of], outcome]
    wallet = _wallets(rng, fills, wallet_set, fill_of, is_taker)
    columns: dict[str, np.ndarray] = {
        "ts": fills.ts[fill_of],
        "kind": np.full(len(fill_of), rows.TRADE),
        "side": np.where(fills.buying[fill_of] == same_side, rows.BUY, rows.SELL),
        "wallet": wallet,
        "profile": wallet,
        "condition": fills.condition[fill_of],
        "token": token,
        "display": token,
        "micro": micro,
        "price": price,
        "usdc": np.full(len(fill_of), np.nan),
        "tx": fills.tx[fill_of],
        "taker": is_taker,
        "combo": np.zeros(len(fill_of), dtype=np.bool_),
    }
    order = _interleaved(rng, fills, taker_at)
    return {name: column[order] for name, column in columns.items()}, int(fills.tx[-1]) + 1


def _interleaved(rng: np.random.Generator, fills: _Fills, taker_at: rows.Ints) -> rows.Ints:
    """The order of the rows: now and then two transactions of one second mix, so that the rows of
    a transaction are not always adjacent (seen in recorded feeds)."""
    order = np.arange(int(taker_at[-1]) + 1)
    together = (fills.ts[1:] == fills.ts[:-1]) & (fills.tx[1:] != fills.tx[:-1])
    together[1::2] = False  # never two pairs in a row
    last = taker_at[:-1][together & (rng.random(len(together)) < 0.2)]
    order[last], order[last + 1] = last + 1, last
    return order


def _draw_fills(
    rng: np.random.Generator, venue: Venue, wallet_set: wallets.WalletSet, count: int
) -> _Fills:
    makers = rng.choice(MAKERS, size=count // 2 + 2, p=MAKER_CHANCES)
    total = int(np.searchsorted(np.cumsum(makers + 1), count, side="right"))
    makers = makers[:total]
    condition = rng.choice(len(venue.chances), size=total, p=venue.chances)
    ts = _moments(rng, venue, condition)
    order = np.argsort(ts, kind="stable")
    ts, condition = ts[order], condition[order]
    shares_tx = rng.random(total) < 0.01
    shares_tx[0:1] = False
    # Never two in a row: the second would copy what the first had before it copied.
    shares_tx[1:] &= ~shares_tx[:-1]
    shared = np.flatnonzero(shares_tx)
    for column in (ts, condition):
        column[shared] = column[shared - 1]
    taker = rng.choice(wallet_set.ordinary, size=total, p=wallet_set.chances).astype(np.int64)
    taker[shared] = taker[shared - 1]
    return _Fills(
        ts=ts,
        condition=condition,
        outcome=(rng.random(total) * venue.outcomes[condition]).astype(np.int64),
        ticks=_ticks(rng, total),
        buying=rng.random(total) < BUYING_TAKERS,
        taker=taker,
        makers=makers,
        micro=_totals(rng, total),
        tx=np.cumsum(~shares_tx) - 1,
        twins=(makers == 2) & (rng.random(total) < 0.012),
    )


def _moments(rng: np.random.Generator, venue: Venue, condition: rows.Ints) -> rows.Ints:
    """Seconds of trading; a third of them gather on round seconds, as bursts do."""
    first, last = venue.first[condition], venue.last[condition]
    ts = first + (rng.random(len(condition)) ** 0.7 * (last - first)).astype(np.int64)
    step = np.maximum((last - first) // 40, 1)
    burst = rng.random(len(condition)) < 0.33
    gathered: rows.Ints = np.where(burst, first + (ts - first) // step * step, ts)
    return gathered


def _ticks(rng: np.random.Generator, count: int) -> rows.Ints:
    """Prices in thousandths, mostly whole cents."""
    fine = np.clip(rng.beta(1.1, 1.1, count) * 1000, 1, 999).astype(np.int64)
    coarse = np.clip(fine // 10 * 10, 10, 990)
    ticks: rows.Ints = np.where(rng.random(count) < 0.9, coarse, fine)
    return ticks


def _totals(rng: np.random.Generator, count: int) -> rows.Ints:
    """Taker sizes in micro-shares, one share or more: whole, in hundredths, or ragged."""
    shares = np.maximum(rng.lognormal(3.0, 1.5, count), 1.0)
    style = rng.random(count)
    unit = np.where(style < 0.45, 1_000_000, np.where(style < 0.8, 10_000, 1))
    micro: rows.Ints = np.maximum((shares * 1e6).astype(np.int64) // unit * unit, 1_000_000)
    return micro


def _complementary(
    rng: np.random.Generator,
    fills: _Fills,
    venue: Venue,
    fill_of: rows.Ints,
    is_taker: rows.Flags,
) -> rows.Flags:
    """Which maker rows are on the opposite token; three outcomes have no opposite."""
    by_fill = rng.random(len(fills)) < COMPLEMENTARY
    mixed = (rng.random(len(fill_of)) < 0.08) & ~fills.twins[fill_of]
    binary = venue.outcomes[fills.condition] == 2
    flags: rows.Flags = (by_fill[fill_of] ^ mixed) & binary[fill_of] & ~is_taker
    return flags


def _sizes(
    rng: np.random.Generator,
    fills: _Fills,
    fill_of: rows.Ints,
    first: rows.Ints,
    taker_at: rows.Ints,
) -> rows.Ints:
    """Maker pieces that sum to the taker's size exactly; twins get two equal halves."""
    totals = fills.micro + (fills.twins & (fills.micro % 2 == 1))
    weight = rng.uniform(0.5, 1.5, len(fill_of))
    weight[fills.twins[fill_of]] = 1.0
    weight[taker_at] = 0.0
    share = weight / np.add.reduceat(weight, first)[fill_of]
    pieces: rows.Ints = np.floor(share * totals[fill_of]).astype(np.int64)
    cents = (totals % 10_000 == 0) & ~fills.twins
    unit = np.where(cents[fill_of], 10_000, 1)
    pieces -= pieces % unit
    pieces[taker_at] = 0
    missing = totals - np.add.reduceat(pieces, first)
    pieces[taker_at - 1] += missing
    pieces[taker_at] = totals
    return pieces


def _prices(
    rng: np.random.Generator,
    fills: _Fills,
    fill_of: rows.Ints,
    first: rows.Ints,
    *,
    maker_micro: rows.Ints,
) -> tuple[rows.Ints, rows.Floats]:
    """Ticks of each maker row on the taker's token, and the taker's average (10 decimals)."""
    swept = (fills.makers > 1) & (rng.random(len(fills)) < 0.35) & ~fills.twins
    slip = np.where(swept[fill_of], rng.integers(0, 12, len(fill_of)), 0)
    ticks: rows.Ints = np.clip(fills.ticks[fill_of] + slip, 1, 999)
    paid = np.add.reduceat(maker_micro * ticks, first)
    average = paid / np.add.reduceat(maker_micro, first) / 1000
    return ticks, np.where(swept, np.round(average, 10), fills.ticks / 1000)


def _wallets(
    rng: np.random.Generator,
    fills: _Fills,
    wallet_set: wallets.WalletSet,
    fill_of: rows.Ints,
    is_taker: rows.Flags,
) -> rows.Ints:
    """A wallet per row. Nobody trades with himself; twins belong to one maker."""
    drawn = rng.choice(len(wallet_set.ordinary), size=len(fill_of), p=wallet_set.chances)
    makers = wallet_set.ordinary[drawn].astype(np.int64)
    own = (makers == fills.taker[fill_of]) & ~is_taker
    makers[own] = wallet_set.ordinary[(drawn[own] + 7) % len(wallet_set.ordinary)]
    wallet: rows.Ints = np.where(is_taker, fills.taker[fill_of], makers)
    firsts = np.flatnonzero(fills.twins[fill_of] & ~is_taker)[0::2]
    wallet[firsts + 1] = wallet[firsts]
    return wallet
