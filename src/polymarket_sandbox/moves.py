"""The ledger of balances: every change of what a wallet holds of a token, and why.

It follows the chain, not the feeds. Where a row tells less than what happened (a conversion does
not name the rivals, a combined redemption not the tokens), the universe keeps the `Effect` of its
transaction; recorded universes have none and fall back on the rule of the row's own condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from polymarket_sandbox import rows, universe

_PAIR_PRICE = 0.5  # a split pays one USD for a pair

TRADED, SPLIT, MERGED, REDEEMED, CONVERTED, TRANSFERRED = range(6)


@dataclass(frozen=True, repr=False)
class Moves:
    """One entry per change; `micro` shares in millionths, never negative, `price` USD a share."""

    wallet: rows.SmallInts
    token: rows.SmallInts
    ts: rows.Ints
    buying: rows.Flags
    micro: rows.Ints
    price: rows.Floats
    why: rows.Ints

    def __len__(self) -> int:
        return len(self.wallet)

    def taken(self, chosen: rows.Ints) -> Moves:
        """The chosen moves in the order given."""
        return Moves(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})


def all_moves(world: universe.Universe) -> Moves:
    """Every change of a balance, trades first."""
    parts = [_trades(world), *_pairs(world), _named_redemptions(world), *_unnamed(world)]
    names = [each.name for each in fields(Moves)]
    return Moves(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def _of_rows(
    table: rows.Rows,
    chosen: rows.Ints,
    *,
    token: rows.SmallInts,
    buying: rows.Flags,
    price: rows.Floats,
    why: int,
) -> Moves:
    """One move per chosen row, of the row's wallet, second and size."""
    of_wallet, micro = table.wallet[chosen], table.micro[chosen]
    reason = np.full(len(chosen), why)
    return Moves(of_wallet, token, table.ts[chosen], buying, micro, price, reason)


def _trades(world: universe.Universe) -> Moves:
    table = world.table
    chosen = np.flatnonzero(table.is_trade & table.listed)
    buying = table.side[chosen] == rows.BUY
    token, price = table.token[chosen], table.price[chosen]
    return _of_rows(table, chosen, token=token, buying=buying, price=price, why=TRADED)


def _pairs(world: universe.Universe) -> Iterator[Moves]:
    """Splits and merges: all outcomes of the condition at once."""
    table, held = world.table, world.condition_tokens
    for kind, gains, why in (("SPLIT", True, SPLIT), ("MERGE", False, MERGED)):
        of_kind = np.flatnonzero((table.kind == rows.KIND[kind]) & (table.condition >= 0))
        for outcome in range(held.shape[1]):
            token = held[table.condition[of_kind], outcome]
            chosen, token = of_kind[token >= 0], token[token >= 0]
            buying, price = np.full(len(chosen), gains), np.full(len(chosen), _PAIR_PRICE)
            yield _of_rows(table, chosen, token=token, buying=buying, price=price, why=why)


def _named_redemptions(world: universe.Universe) -> Moves:
    """Redemptions whose row names its token, of transactions without a kept effect."""
    table = world.table
    named = (table.kind == rows.KIND["REDEEM"]) & ~table.combo & (table.token >= 0)
    chosen = np.flatnonzero(named & ~_is_kept(world))
    price = table.usdc[chosen] * 1e6 / np.maximum(table.micro[chosen], 1)
    sold = np.zeros(len(chosen), dtype=np.bool_)
    token = table.token[chosen]
    return _of_rows(table, chosen, token=token, buying=sold, price=price, why=REDEEMED)


def _unnamed(world: universe.Universe) -> Iterator[Moves]:
    """Conversions, redemptions and transfers whose tokens no row names."""
    entries: list[tuple[float, ...]] = []
    for number, why in _unnamed_rows(world):
        effect = world.effects.get(int(world.table.tx[number])) or _presumed(world, number)
        wallet, ts = int(world.table.wallet[number]), int(world.table.ts[number])
        entries += [(wallet, token, ts, change, worth, why) for token, change, worth in effect]
    entries += [(*transfer, 0.0, TRANSFERRED) for transfer in world.transfers]
    if entries:
        wallet, token, ts, change, worth, why = np.array(entries, dtype=np.float64).T
        yield Moves(
            wallet=wallet.astype(np.int32),
            token=token.astype(np.int32),
            ts=ts.astype(np.int64),
            buying=change > 0,
            micro=np.abs(change).astype(np.int64),
            price=worth,
            why=why.astype(np.int64),
        )


def _is_kept(world: universe.Universe) -> rows.Flags:
    """By row: whether the universe keeps the effect of its transaction."""
    kept = np.fromiter(world.effects, dtype=np.int64, count=len(world.effects))
    flags: rows.Flags = np.isin(world.table.tx, kept)
    return flags


def _unnamed_rows(world: universe.Universe) -> Iterator[tuple[int, int]]:
    """(row, why) of what `_named_redemptions` leaves, one row per transaction kept."""
    table, is_kept = world.table, _is_kept(world)
    converted = table.kind == rows.KIND["CONVERSION"]
    redeemed = (table.kind == rows.KIND["REDEEM"]) & ~table.combo & (table.condition >= 0)
    chosen = converted | (redeemed & ((table.token < 0) | is_kept))
    seen: set[int] = set()
    for number in np.flatnonzero(chosen).tolist():
        tx = int(table.tx[number])
        if not (is_kept[number] and tx in seen):
            yield number, CONVERTED if converted[number] else REDEEMED
        seen.add(tx)


def _presumed(world: universe.Universe, number: int) -> universe.Effect:
    """What a recorded row without a token moved: a conversion gives Yes of all rivals for the No
    of its condition, a redemption takes all that its wallet holds of its condition."""
    table, tokens = world.table, world.condition_tokens
    condition, micro = int(table.condition[number]), int(table.micro[number])
    if table.kind[number] == rows.KIND["REDEEM"]:
        return _all_held(world, number)
    market = world.market_of(condition) if condition >= 0 else None
    if market is None or not market.event_ids:
        return ()
    rivals = world.conditions_of_event[market.event_ids[0]]
    gained = [(int(tokens[r, 0]), micro, 0.0) for r in rivals if r != condition]
    return ((int(tokens[condition, 1]), -micro, 0.0), *gained)


def _all_held(world: universe.Universe, number: int) -> universe.Effect:
    """Everything the wallet of this row held of its condition before it, at the row's average."""
    table = world.table
    wallet, condition = int(table.wallet[number]), int(table.condition[number])
    mine = world.by_wallet.rows_of(wallet)
    mine = mine[(mine < number) & (table.condition[mine] == condition)]
    traded = mine[table.is_trade[mine]]
    signed = np.where(table.side[traded] == rows.BUY, table.micro[traded], -table.micro[traded])
    split = int(table.micro[mine[table.kind[mine] == rows.KIND["SPLIT"]]].sum())
    merged = int(table.micro[mine[table.kind[mine] == rows.KIND["MERGE"]]].sum())
    tokens = [int(token) for token in world.condition_tokens[condition] if token >= 0]
    held = [int(signed[table.token[traded] == t].sum()) + split - merged for t in tokens]
    total = sum(max(micro, 0) for micro in held)
    worth = float(table.usdc[number]) * 1e6 / total if total else 0.0
    return tuple((t, -micro, worth) for t, micro in zip(tokens, held, strict=True) if micro > 0)
