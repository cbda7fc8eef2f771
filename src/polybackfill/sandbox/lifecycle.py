"""What happens to shares besides trades: splits, merges, redemptions, conversions, credits, combos.

Splits come first: a wallet that sells more than it ever bought must have split collateral before,
so that no balance is ever negative. The rest follows from what is held at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from polybackfill.sandbox import holdings, people, rows, trading

DAY = 86_400

# REDEEM rows carry one row per outcome, with its token, since this day (live, August 2026).
REDEEM_PER_OUTCOME_SINCE = 1_786_320_000

_CREDITS = (
    ("REWARD", 0.34),
    ("MAKER_REBATE", 0.22),
    ("TAKER_REBATE", 0.08),
    ("REFERRAL_REWARD", 0.04),
    ("YIELD", 0.06),
    ("MIGRATION", 0.02),
    ("DEPOSIT", 0.14),
    ("WITHDRAWAL", 0.10),
)


@dataclass(frozen=True)
class Settlement:
    """By condition number: payouts in micro-USDC a share (`payouts[c, o]`, -1 unsettled) and when
    the redemption may start (0 unsettled); `rivals`: conditions that exclude each other."""

    payouts: rows.Ints
    since: rows.Ints
    rivals: Sequence[Sequence[int]]


@dataclass
class Writer:
    """Collects rows that are no trades. `tokenless`: display number of a condition without
    outcome; `blank`: display of a row about no market at all."""

    first_tx: int
    tokenless: int
    blank: int
    txs: int = 0
    values: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in rows.COLUMN_TYPES}
    )

    def add(
        self,
        kind: str,
        ts: int,
        wallet: int,
        micro: int,
        *,
        condition: int = -1,
        token: int = -1,
        payout: int = 1_000_000,
        tx: int | None = None,
    ) -> int:
        """One row; `payout` is micro-USDC a share. Returns its transaction."""
        if tx is None:
            tx = self.first_tx + self.txs
            self.txs += 1
        display = token if token >= 0 else self.blank
        if token < 0 <= condition:
            display = self.tokenless + condition
        row: dict[str, float] = {
            "ts": ts,
            "kind": rows.KIND[kind],
            "side": rows.NO_SIDE,
            "wallet": wallet,
            "profile": wallet,
            "condition": condition,
            "token": token,
            "display": display,
            "micro": micro,
            "price": 0.0,
            "usdc": round(micro / 1e6 * payout / 1e6, 6),
            "tx": tx,
            "taker": False,
            "combo": False,
        }
        for name, value in row.items():
            self.values[name].append(value)
        return tx

    def columns(self) -> trading.Columns:
        """The rows so far as columns."""
        return {
            name: np.array(self.values[name]).astype(kind)
            for name, kind in rows.COLUMN_TYPES.items()
        }


@dataclass(frozen=True)
class _Pairs:
    """One entry per (wallet, condition): shares of each outcome at the end, -1 where none exists."""

    wallet: rows.Ints
    condition: rows.Ints
    held: rows.Ints
    split: rows.Ints
    first_ts: rows.Ints
    last_ts: rows.Ints

    def __len__(self) -> int:
        return len(self.wallet)


def write(
    writer: Writer,
    rng: np.random.Generator,
    balances: holdings.Balances,
    venue: trading.Venue,
    settlement: Settlement,
    crowd: people.People,
    now: int,
) -> None:
    """All rows that follow from the trades, for every wallet but the reserved ones."""
    pairs = _pairs(balances, venue)
    reserved = [crowd.special[name] for name in people.RESERVED]
    free = ~np.isin(pairs.wallet, [*reserved, *crowd.contracts])
    _splits(writer, pairs, free)
    merged = _merges(writer, rng, pairs, free, venue, settlement, now)
    converted = _conversions(writer, rng, pairs, free, settlement, now)
    _redemptions(writer, rng, pairs, free & ~converted, settlement, now, merged, venue)


def _pairs(balances: holdings.Balances, venue: trading.Venue) -> _Pairs:
    """Balances folded by condition, with the split that keeps each of them above zero."""
    condition_of, outcome_of = _token_places(venue)
    condition = condition_of[balances.token]
    width = len(venue.tokens)
    keys, place = np.unique(balances.wallet * width + condition, return_inverse=True)
    shortage = np.zeros(len(keys), dtype=np.int64)
    np.maximum.at(shortage, place, -np.minimum(balances.lowest, 0))
    exists = venue.tokens[keys % width] >= 0
    held = np.where(exists, shortage[:, None], -1)
    np.add.at(held, (place, outcome_of[balances.token]), balances.net)
    first_ts = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(first_ts, place, balances.first_ts)
    last_ts = np.zeros(len(keys), dtype=np.int64)
    np.maximum.at(last_ts, place, balances.last_ts)
    return _Pairs(keys // width, keys % width, held, shortage, first_ts, last_ts)


def _token_places(venue: trading.Venue) -> tuple[rows.Ints, rows.Ints]:
    """Condition and outcome index of every token number."""
    size = int(venue.tokens.max()) + 1
    condition_of = np.zeros(size, dtype=np.int64)
    outcome_of = np.zeros(size, dtype=np.int64)
    conditions, outcomes = np.nonzero(venue.tokens >= 0)
    numbers = venue.tokens[conditions, outcomes]
    condition_of[numbers], outcome_of[numbers] = conditions, outcomes
    return condition_of, outcome_of


def _splits(writer: Writer, pairs: _Pairs, free: rows.Flags) -> None:
    for place in np.flatnonzero(free & (pairs.split > 0)).tolist():
        writer.add(
            "SPLIT",
            int(pairs.first_ts[place]) - 1 - place % 40,
            int(pairs.wallet[place]),
            int(pairs.split[place]),
            condition=int(pairs.condition[place]),
        )


def _merges(
    writer: Writer,
    rng: np.random.Generator,
    pairs: _Pairs,
    free: rows.Flags,
    venue: trading.Venue,
    settlement: Settlement,
    now: int,
) -> rows.Flags:
    """A quarter of the hedged wallets merge part of their pairs; `held` shrinks accordingly."""
    whole = np.where(pairs.held < 0, np.iinfo(np.int64).max, pairs.held).min(axis=1)
    before_end = settlement.since[pairs.condition]
    room = np.where(before_end > 0, before_end, now) - pairs.last_ts > 120
    lucky = rng.random(len(pairs)) < 0.25
    chosen: rows.Flags = free & (whole > 1_000_000) & room & lucky
    for place in np.flatnonzero(chosen).tolist():
        micro = int(whole[place]) // (1 + place % 3)
        condition = int(pairs.condition[place])
        ts = int(pairs.last_ts[place]) + 60
        writer.add("MERGE", ts, int(pairs.wallet[place]), micro, condition=condition)
        pairs.held[place, : int(venue.outcomes[condition])] -= micro
    return chosen


def _conversions(
    writer: Writer,
    rng: np.random.Generator,
    pairs: _Pairs,
    free: rows.Flags,
    settlement: Settlement,
    now: int,
) -> rows.Flags:
    """A few holders of No in an open neg-risk event turn it into Yes of all the rivals."""
    open_rivals = [
        number
        for group in settlement.rivals
        for number in group
        if all(settlement.since[rival] == 0 for rival in group)
    ]
    possible = free & np.isin(pairs.condition, open_rivals) & (pairs.held[:, 1] > 5_000_000)
    places = np.flatnonzero(possible)
    chosen = rng.permutation(places)[: max(12, len(places) // 50)]
    for place in np.sort(chosen).tolist():
        ts = min(int(pairs.last_ts[place]) + 90, now - 10)
        micro = int(pairs.held[place, 1]) // 2
        condition = int(pairs.condition[place])
        writer.add("CONVERSION", ts, int(pairs.wallet[place]), micro, condition=condition)
    flags = np.zeros(len(pairs), dtype=np.bool_)
    flags[chosen] = True
    return flags


def _redemptions(
    writer: Writer,
    rng: np.random.Generator,
    pairs: _Pairs,
    free: rows.Flags,
    settlement: Settlement,
    now: int,
    merged: rows.Flags,
    venue: trading.Venue,
) -> None:
    """Winners redeem within three days: per outcome since August 2026, combined before.

    A loser's redemption has size 0 and v2 drops such rows, so it leaves no trace here.
    """
    since = settlement.since[pairs.condition]
    payouts = settlement.payouts[pairs.condition]
    winning = ((payouts > 0) & (pairs.held > 0)).any(axis=1)
    chosen = free & (since > 0) & winning & (merged | (rng.random(len(pairs)) < 0.85))
    delays = rng.integers(60, 3 * DAY, len(pairs))
    threshold = min(REDEEM_PER_OUTCOME_SINCE, now - 60 * DAY)
    for place in np.flatnonzero(chosen).tolist():
        ts = int(since[place] + delays[place])
        if ts > now - 60:
            continue
        _redeem(writer, pairs, place, ts, payouts[place], venue, combined=ts < threshold)


def _redeem(
    writer: Writer,
    pairs: _Pairs,
    place: int,
    ts: int,
    payouts: rows.Ints,
    venue: trading.Venue,
    *,
    combined: bool,
) -> None:
    wallet, condition = int(pairs.wallet[place]), int(pairs.condition[place])
    held = pairs.held[place]
    winners = [o for o in range(len(held)) if payouts[o] > 0 and held[o] > 0]
    if combined:
        worth = sum(int(held[o]) * int(payouts[o]) // 1_000_000 for o in winners)
        if worth:
            writer.add("REDEEM", ts, wallet, worth, condition=condition)
        return
    tx: int | None = None
    for outcome in winners:
        tx = writer.add(
            "REDEEM",
            ts,
            wallet,
            int(held[outcome]),
            condition=condition,
            token=int(venue.tokens[condition, outcome]),
            payout=int(payouts[outcome]),
            tx=tx,
        )


def write_credits(
    writer: Writer, rng: np.random.Generator, crowd: people.People, count: int, now: int
) -> None:
    """Rewards, rebates, deposits and the like: rows about no market."""
    names = [name for name, _ in _CREDITS]
    chances = [chance for _, chance in _CREDITS]
    people_free = crowd.ordinary[~np.isin(crowd.ordinary, crowd.contracts)]
    kinds = [*names, *rng.choice(names, size=max(count - len(names), 0), p=chances).tolist()]
    wallets = rng.choice(people_free, size=len(kinds)).tolist()
    days = rng.integers(1, 800, len(kinds)).tolist()
    micros = (np.maximum(rng.lognormal(2.0, 1.5, len(kinds)), 0.02) * 1e6).astype(int).tolist()
    for kind, wallet, day, micro in zip(kinds, wallets, days, micros, strict=True):
        ts = (now // DAY - day) * DAY + (wallet * 37 + micro) % 900
        writer.add(kind, ts, wallet, micro)


def write_combos(
    writer: Writer,
    rng: np.random.Generator,
    crowd: people.People,
    combos: Sequence[tuple[int, int]],
    count: int,
    now: int,
) -> None:
    """Trades and redemptions of combos, given as (condition number, token number)."""
    people_free = crowd.ordinary[~np.isin(crowd.ordinary, crowd.contracts)]
    for number, wallet in enumerate(rng.choice(people_free, size=count).tolist()):
        condition, token = combos[number % len(combos)]
        ts = now - 60 - int(rng.integers(0, 100 * DAY))
        micro = int(rng.integers(1_000_000, 90_000_000))
        kind = "REDEEM" if number % 5 == 4 else "TRADE"
        writer.add(kind, ts, wallet, micro, condition=condition, token=token, payout=310_000)
        writer.values["combo"][-1] = True
        if kind == "TRADE":
            writer.values["side"][-1] = rows.BUY
            writer.values["price"][-1] = 0.31
