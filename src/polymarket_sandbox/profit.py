"""What every wallet earned, from the ledger of balances and the cash of every row.

Per wallet and market: what was bought, sold, split, merged, redeemed and converted, the fees, what
is held now and what that is worth, and two profits. The economic profit is all cash in and out,
plus what is held at its payout or, while the market is open, at Gamma's price. The profit held to
resolution counts trades alone, before fees, as if nothing was sold or redeemed before the end:
net shares at their payout, less purchases, plus sales; it does not exist in an open market.

A wallet is inexact when its rows do not close its books. Its reasons: `transfer` (shares came or
went by a direct transfer, which no feed shows), `migration` (shares of an older account),
`combos` (left out of all figures), `disputed` (held in a market whose sources contradict each
other over whether it is resolved), `short` (more went than ever came), `no_price` (held in a market
that no list knows). Its economic profit is None.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from polymarket_sandbox import moves, portfolio, rows, universe

# Kinds of rows whose cash belongs to a wallet and to no market.
INCOMES: Mapping[str, tuple[str, ...]] = {
    "reward": ("REWARD", "REFERRAL_REWARD"),
    "rebate": ("MAKER_REBATE", "TAKER_REBATE"),
    "yield": ("YIELD",),
}
# Columns of `Books.usd`, in USD; `converted`: cash that several No bring, (n - 1) x amount.
MARKET_CASH = ("bought", "sold", "fees", "split", "merged", "redeemed", "converted", "value")
SIGNS = (-1, 1, -1, -1, 1, 1, 1, 1)


@dataclass(frozen=True, repr=False)
class Books:
    """One entry per (wallet, condition), sorted so, in `wallet` to `held_to_resolution` (NaN in an
    open market); one per (wallet, token) ever held in `held_*`, its entry above in `held_entry`.
    `prices`: USD a share by token number. `shares`: bought, sold and No converted; `income` and
    `reasons`: by wallet number."""

    wallet: rows.Ints
    condition: rows.Ints
    usd: Mapping[str, rows.Floats]
    shares: Mapping[str, rows.Floats]
    resolved: rows.Flags
    held_to_resolution: rows.Floats
    held_entry: rows.Ints
    held_token: rows.Ints
    held_micro: rows.Ints
    prices: rows.Floats
    income: Mapping[str, rows.Floats]
    reasons: Mapping[int, tuple[str, ...]]

    @property
    def economic(self) -> rows.Floats:
        """By entry, whatever is known of the wallet."""
        signed = [sign * self.usd[name] for sign, name in zip(SIGNS, MARKET_CASH, strict=True)]
        total: rows.Floats = np.sum(signed, axis=0)
        return total

    def by_wallet(self, values: rows.Floats) -> rows.Floats:
        """Sums of entries by wallet number; NaN counts as nothing."""
        size = len(next(iter(self.income.values())))
        return added(self.wallet, np.nan_to_num(values), size)


def added(place: rows.Ints | rows.SmallInts, values: rows.Floats, size: int) -> rows.Floats:
    """The values of each of `size` places, summed."""
    return np.bincount(place, weights=values, minlength=size).astype(np.float64)


def books(
    world: universe.Universe, changes: moves.Moves, transferred: Collection[int] = ()
) -> Books:
    """The books of a universe as it is now; a second of work for a million rows. `changes`: all
    moves; `transferred`: wallets whose positions were moved on request."""
    table = world.table
    width = len(world.tables.conditions)
    token_condition = world.tables.token_condition.astype(np.int64)
    of_move = changes.wallet.astype(np.int64) * width + token_condition[changes.token]
    of_row = table.wallet.astype(np.int64) * width + table.condition
    counted = table.listed & ~table.combo & (table.condition >= 0)
    usd_rows = _cash_rows(world, counted)
    keys = np.unique(
        np.concatenate([of_move, *(of_row[chosen] for chosen, _ in usd_rows.values())])
    )
    usd = {name: _sums(keys, of_row[chosen], cash) for name, (chosen, cash) in usd_rows.items()}
    pays = portfolio.markets(world, changes.token.astype(np.int64))
    held = _held(changes, len(world.tables.tokens))
    entry = np.searchsorted(keys, held.wallet * width + token_condition[held.token])
    worth = held.micro / 1e6 * pays.price[held.token]
    usd["value"] = added(entry, worth, len(keys))
    traded = changes.why == moves.TRADED
    signed = np.where(changes.buying, changes.micro, -changes.micro) / 1e6
    paid = _sums(keys, of_move[traded], (signed * pays.price[changes.token])[traded])
    settled = np.array([_is_resolved(world, number) for number in range(width)])
    resolved = settled[keys % width]
    burnt = (changes.why == moves.CONVERTED) & ~changes.buying
    shares = {
        "bought": _sums(keys, of_move[traded & changes.buying], signed[traded & changes.buying]),
        "sold": _sums(keys, of_move[traded & ~changes.buying], -signed[traded & ~changes.buying]),
        "converted": _sums(keys, of_move[burnt], -signed[burnt]),
    }
    return Books(
        wallet=keys // width,
        condition=keys % width,
        usd=usd,
        shares=shares,
        resolved=resolved,
        held_to_resolution=np.where(resolved, paid - usd["bought"] + usd["sold"], np.nan),
        held_entry=entry,
        held_token=held.token,
        held_micro=held.micro,
        prices=pays.price,
        income=_income(world),
        reasons=_reasons(world, held, pays, transferred),
    )


@dataclass(frozen=True, repr=False)
class _Held:
    """Micro-shares by (wallet, token), those that came to nothing included."""

    wallet: rows.Ints
    token: rows.Ints
    micro: rows.Ints


def _held(changes: moves.Moves, tokens: int) -> _Held:
    keys, place = np.unique(
        changes.wallet.astype(np.int64) * tokens + changes.token, return_inverse=True
    )
    micro = np.zeros(len(keys), dtype=np.int64)
    np.add.at(micro, place, np.where(changes.buying, changes.micro, -changes.micro))
    return _Held(keys // tokens, keys % tokens, micro)


def _sums(keys: rows.Ints, of_each: rows.Ints, values: rows.Floats) -> rows.Floats:
    """Sums by key; every key of `of_each` is among the sorted `keys`."""
    return added(np.searchsorted(keys, of_each), values, len(keys))


def _cash_rows(
    world: universe.Universe, counted: rows.Flags
) -> dict[str, tuple[rows.Ints, rows.Floats]]:
    """Rows and their USD, by column of cash; all positive."""
    table = world.table
    trades = np.flatnonzero(counted & table.is_trade)
    worth = table.micro[trades] / 1e6 * table.price[trades]
    buying = table.side[trades] == rows.BUY
    fee = np.round(np.abs(table.usdc[trades] - worth), 6)
    found = {
        "bought": (trades[buying], worth[buying]),
        "sold": (trades[~buying], worth[~buying]),
        "fees": (trades, fee),
    }
    for name, kind in (("split", "SPLIT"), ("merged", "MERGE"), ("redeemed", "REDEEM")):
        chosen = np.flatnonzero(counted & (table.kind == rows.KIND[kind]))
        found[name] = (chosen, table.usdc[chosen])
    found["converted"] = conversion_cash(world)
    return found


def conversion_cash(world: universe.Universe) -> tuple[rows.Ints, rows.Floats]:
    """One row per transaction; of several No, the chain pays all but one in cash."""
    table = world.table
    chosen: dict[int, float] = {}
    seen: set[int] = set()
    for number in np.flatnonzero(table.kind == rows.KIND["CONVERSION"]).tolist():
        tx = int(table.tx[number])
        burnt = sum(change < 0 for _, change, _ in world.effects.get(tx, ()))
        if tx not in seen:
            chosen[number] = max(burnt - 1, 0) * int(table.micro[number]) / 1e6
        seen.add(tx)
    numbers = np.fromiter(chosen, dtype=np.int64, count=len(chosen))
    return numbers, np.fromiter(chosen.values(), dtype=np.float64, count=len(chosen))


def _is_resolved(world: universe.Universe, condition: int) -> bool:
    return bool(world.payouts_of(condition))


def _income(world: universe.Universe) -> dict[str, rows.Floats]:
    table, size = world.table, len(world.tables.wallets)
    numbers = {name: [rows.KIND[kind] for kind in kinds] for name, kinds in INCOMES.items()}
    chosen = {name: np.isin(table.kind, kinds) for name, kinds in numbers.items()}
    return {
        name: added(table.wallet[flags], table.usdc[flags], size) for name, flags in chosen.items()
    }


def _reasons(
    world: universe.Universe,
    held: _Held,
    pays: portfolio.Prices,
    transferred: Collection[int],
) -> dict[int, tuple[str, ...]]:
    """Why a wallet is inexact, by wallet number; the exact ones are absent."""
    table = world.table
    named = {
        "transfer": np.array([*(t[0] for t in world.transfers), *transferred], dtype=np.int64),
        "migration": table.wallet[table.kind == rows.KIND["MIGRATION"]],
        "combos": table.wallet[table.combo],
        "disputed": held.wallet[np.isin(held.token, _disputed(world)) & (held.micro != 0)],
        "short": held.wallet[held.micro < 0],
        "no_price": held.wallet[~pays.known[held.token] & (held.micro != 0)],
    }
    found: dict[int, tuple[str, ...]] = {}
    for reason, wallets in named.items():
        for number in np.unique(wallets).tolist():
            found[number] = (*found.get(number, ()), reason)
    return found


def _disputed(world: universe.Universe) -> rows.Ints:
    """Token numbers of the markets whose resolution row says disputed."""
    places = [
        world.condition_number[market.condition_id]
        for market in world.lists.markets
        if market.resolution_status == "disputed" and market.condition_id in world.condition_number
    ]
    return np.flatnonzero(np.isin(world.tables.token_condition, places))
