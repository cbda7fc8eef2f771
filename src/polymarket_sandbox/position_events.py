"""What happens to shares besides trades: splits, merges, redemptions, conversions, credits, combos.

Splits come first: a wallet that sells more than it ever bought must have split collateral before,
so that no balance is ever negative. The rest follows from what is held at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from polymarket_sandbox import holdings, rows, trading, universe, wallets

DAY = 86_400

# REDEEM rows carry one row per outcome, with its token, since this day (live, August 2026).
REDEEM_PER_OUTCOME_SINCE = 1_786_320_000
# Rows of September 2026 list losing tokens too, with their size and usdc 0 (live).
LOSERS_LISTED_SINCE = 1_788_220_800

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
class EventWriter:
    """Collects rows that are no trades. `tokenless`: display number of a condition without
    outcome; `blank`: display of a row about no market at all; `effects`: what was moved by the
    transactions whose rows do not say it."""

    first_tx: int
    tokenless: int
    blank: int
    txs: int = 0
    written: list[tuple[float, ...]] = field(default_factory=list)
    effects: dict[int, universe.Effect] = field(default_factory=dict)

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
        combo: bool = False,
    ) -> int:
        """One row; `payout` is micro-USDC a share, and the price where it is a combo's trade.
        Returns its transaction."""
        if tx is None:
            tx = self.first_tx + self.txs
            self.txs += 1
        display = token if token >= 0 else self.blank
        if token < 0 <= condition:
            display = self.tokenless + condition
        is_trade = kind == "TRADE"
        side = rows.BUY if is_trade else rows.NO_SIDE
        price = payout / 1e6 if is_trade else 0.0
        usdc = round(micro * payout / 1e12, 6)
        # In the order of rows.COLUMN_TYPES.
        place = (ts, rows.KIND[kind], side, wallet, wallet, condition, token, display)
        self.written.append((*place, micro, price, usdc, tx, False, combo))
        return tx

    def trade(
        self,
        ts: int,
        wallet: int,
        micro: int,
        *,
        condition: int,
        token: int,
        side: int,
        price: float,
        taker: bool,
        tx: int | None = None,
        usdc: float = math.nan,
    ) -> int:
        """One side of a fill; `usdc` is left open for the fees. Returns its transaction."""
        if tx is None:
            tx = self.first_tx + self.txs
            self.txs += 1
        place = (ts, rows.TRADE, side, wallet, wallet, condition, token, token)
        self.written.append((*place, micro, price, usdc, tx, taker, False))
        return tx

    def columns(self) -> trading.Columns:
        """The rows so far as columns."""
        table = np.array(self.written, dtype=np.float64).reshape(-1, len(rows.COLUMN_TYPES))
        kinds = rows.COLUMN_TYPES.items()
        return {name: table[:, place].astype(kind) for place, (name, kind) in enumerate(kinds)}


@dataclass(frozen=True)
class _Pairs:
    """One entry per (wallet, condition). `held`: micro-shares of each outcome at the end, -1 where
    there is no such outcome; `split`: the collateral split before the first trade."""

    wallet: rows.Ints
    condition: rows.Ints
    held: rows.Ints
    split: rows.Ints
    first_ts: rows.Ints
    last_ts: rows.Ints

    def __len__(self) -> int:
        return len(self.wallet)


@dataclass(frozen=True)
class _End:
    """What is known when trading is over. `free`: pairs whose wallet may do more than trade."""

    rng: np.random.Generator
    venue: trading.Venue
    settlement: Settlement
    now: int
    pairs: _Pairs
    free: rows.Flags

    def drawn(self, share: float) -> rows.Flags:
        """A random share of the pairs."""
        flags: rows.Flags = self.rng.random(len(self.pairs)) < share
        return flags


def write_events(
    writer: EventWriter,
    rng: np.random.Generator,
    balances: holdings.Balances,
    *,
    venue: trading.Venue,
    settlement: Settlement,
    wallet_set: wallets.WalletSet,
    now: int,
) -> None:
    """All rows that follow from the trades, for every wallet but the reserved ones."""
    pairs = _pairs(balances, venue)
    reserved = [wallet_set.special[name] for name in wallets.RESERVED]
    free = ~np.isin(pairs.wallet, [*reserved, *wallet_set.contracts])
    end = _End(rng, venue, settlement, now, pairs, free)
    _splits(writer, end)
    _merges(writer, end)
    _conversions(writer, end)
    _redemptions(writer, end)


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


def _splits(writer: EventWriter, end: _End) -> None:
    pairs = end.pairs
    for place in np.flatnonzero(end.free & (pairs.split > 0)).tolist():
        writer.add(
            "SPLIT",
            int(pairs.first_ts[place]) - 1 - place % 40,
            int(pairs.wallet[place]),
            int(pairs.split[place]),
            condition=int(pairs.condition[place]),
        )


def _merges(writer: EventWriter, end: _End) -> None:
    """A quarter of the hedged wallets merge part of their pairs; `held` shrinks accordingly."""
    pairs = end.pairs
    whole = np.where(pairs.held < 0, np.iinfo(np.int64).max, pairs.held).min(axis=1)
    closes = end.settlement.since[pairs.condition]
    has_time = np.where(closes > 0, closes, end.now) - pairs.last_ts > 120
    chosen = end.free & (whole > 1_000_000) & has_time & end.drawn(0.25)
    for place in np.flatnonzero(chosen).tolist():
        micro = int(whole[place]) // (1 + place % 3)
        condition = int(pairs.condition[place])
        ts = int(pairs.last_ts[place]) + 60
        writer.add("MERGE", ts, int(pairs.wallet[place]), micro, condition=condition)
        pairs.held[place, : int(end.venue.outcomes[condition])] -= micro


def _conversions(writer: EventWriter, end: _End) -> None:
    """A few holders of No in an open neg-risk event turn it into Yes of all the rivals: one No is
    worth as much as these together, so no money moves."""
    pairs, since = end.pairs, end.settlement.since
    group_of = {number: group for group in end.settlement.rivals for number in group}
    open_groups = [g for g in end.settlement.rivals if not any(since[rival] for rival in g)]
    open_rivals = [number for group in open_groups for number in group]
    possible = np.isin(pairs.condition, open_rivals) & (pairs.held[:, 1] > 5_000_000)
    places = np.flatnonzero(end.free & possible)
    chosen = end.rng.permutation(places)[: max(12, len(places) // 50)]
    for place in np.sort(chosen).tolist():
        ts = min(int(pairs.last_ts[place]) + 90, end.now - 10)
        micro = int(pairs.held[place, 1]) // 2
        condition = int(pairs.condition[place])
        wallet = int(pairs.wallet[place])
        tx = writer.add("CONVERSION", ts, wallet, micro, condition=condition, payout=0)
        tokens = end.venue.tokens
        gained = [(int(tokens[r, 0]), micro, 0.0) for r in group_of[condition] if r != condition]
        writer.effects[tx] = ((int(tokens[condition, 1]), -micro, 0.0), *gained)


def _redemptions(writer: EventWriter, end: _End) -> None:
    """Winners redeem within three days: per outcome since August 2026, combined before. On chain
    the losing tokens go with them; rows of size 0, which v2 drops, leave no trace here."""
    pairs = end.pairs
    since = end.settlement.since[pairs.condition]
    payouts = end.settlement.payouts[pairs.condition]
    winning = ((payouts > 0) & (pairs.held > 0)).any(axis=1)
    ts = since + end.rng.integers(60, 3 * DAY, len(pairs))
    in_time = (since > 0) & (ts <= end.now - 60)
    chosen = end.free & winning & in_time & end.drawn(0.85)
    threshold = min(REDEEM_PER_OUTCOME_SINCE, end.now - 60 * DAY)
    for place in np.flatnonzero(chosen & (ts < threshold)).tolist():
        _redeem_combined(writer, end, place, int(ts[place]))
    listed = min(LOSERS_LISTED_SINCE, end.now - 45 * DAY)
    for place in np.flatnonzero(chosen & (ts >= threshold)).tolist():
        _redeem_per_outcome(writer, end, place, int(ts[place]), losers=int(ts[place]) >= listed)
    # A generator of its own: the draws of everything else stay what they were.
    vain = end.rng.spawn(1)[0].random(len(pairs)) < 0.1
    vain &= end.free & ~winning & in_time & (pairs.held > 0).any(axis=1) & (ts >= listed)
    for place in np.flatnonzero(vain).tolist():
        _redeem_per_outcome(writer, end, place, int(ts[place]), losers=True)


def _holdings(end: _End, place: int) -> list[tuple[int, int, int]]:
    """(token, micro-shares, payout in micro-USDC a share) of what is held."""
    condition = int(end.pairs.condition[place])
    held = end.pairs.held[place].tolist()
    payouts = end.settlement.payouts[condition].tolist()
    tokens = end.venue.tokens[condition].tolist()
    return [(t, m, p) for t, m, p in zip(tokens, held, payouts, strict=True) if m > 0]


def _effect(held: Sequence[tuple[int, int, int]]) -> universe.Effect:
    return tuple((token, -micro, payout / 1e6) for token, micro, payout in held)


def _redeem_combined(writer: EventWriter, end: _End, place: int, ts: int) -> None:
    held = _holdings(end, place)
    worth = sum(micro * payout // 1_000_000 for _, micro, payout in held)
    if worth:
        wallet, condition = int(end.pairs.wallet[place]), int(end.pairs.condition[place])
        tx = writer.add("REDEEM", ts, wallet, worth, condition=condition)
        writer.effects[tx] = _effect(held)


def _redeem_per_outcome(
    writer: EventWriter, end: _End, place: int, ts: int, *, losers: bool
) -> None:
    """A row for each winner, and for each loser too when these are listed."""
    wallet, condition = int(end.pairs.wallet[place]), int(end.pairs.condition[place])
    held = _holdings(end, place)
    tx: int | None = None
    for token, micro, payout in held:
        if payout > 0 or losers:
            tx = writer.add(
                "REDEEM", ts, wallet, micro, condition=condition, token=token, payout=payout, tx=tx
            )
    if tx is not None:
        writer.effects[tx] = _effect(held)


def write_credits(
    writer: EventWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    count: int,
    now: int,
) -> None:
    """Rewards, rebates, deposits and the like: rows about no market."""
    names = [name for name, _ in _CREDITS]
    chances = [chance for _, chance in _CREDITS]
    people_free = wallet_set.ordinary[~np.isin(wallet_set.ordinary, wallet_set.contracts)]
    kinds = [*names, *rng.choice(names, size=max(count - len(names), 0), p=chances).tolist()]
    receivers = rng.choice(people_free, size=len(kinds)).tolist()
    receivers[: len(names)] = [wallet_set.special["wallet_big"]] * len(names)  # it knows every kind
    days = rng.integers(1, 800, len(kinds)).tolist()
    micros = (np.maximum(rng.lognormal(2.0, 1.5, len(kinds)), 0.02) * 1e6).astype(int).tolist()
    for kind, wallet, day, micro in zip(kinds, receivers, days, micros, strict=True):
        ts = (now // DAY - day) * DAY + (wallet * 37 + micro) % 900
        writer.add(kind, ts, wallet, micro)


def write_combos(
    writer: EventWriter,
    rng: np.random.Generator,
    wallet_set: wallets.WalletSet,
    combos: Sequence[tuple[int, int]],
    *,
    count: int,
    now: int,
) -> None:
    """Trades and redemptions of combos, given as (condition number, token number)."""
    people_free = wallet_set.ordinary[~np.isin(wallet_set.ordinary, wallet_set.contracts)]
    for number, wallet in enumerate(rng.choice(people_free, size=count).tolist()):
        condition, token = combos[number % len(combos)]
        ts = now - 60 - int(rng.integers(0, 100 * DAY))
        micro = int(rng.integers(1_000_000, 90_000_000))
        kind = "REDEEM" if number % 5 == 4 else "TRADE"
        writer.add(
            kind, ts, wallet, micro, condition=condition, token=token, payout=310_000, combo=True
        )
