"""All positions of a universe: what trades, splits, merges, conversions and redemptions leave."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import orjson

from polymarket_sandbox import holdings, moves, rows, universe

DUST_SHARES = 0.1  # Data API v2, /v2/positions: the default floor


@dataclass(frozen=True, repr=False)
class PositionBook:
    """All positions, one entry per (wallet, token), sorted so. Sizes in shares, the rest in USD."""

    wallet: rows.Ints
    token: rows.Ints
    size: rows.Floats
    bought: rows.Floats
    average: rows.Floats
    fees: rows.Floats
    price: rows.Floats
    realized: rows.Floats
    settled: rows.Flags
    paired: rows.Flags
    hidden: rows.Flags
    archived: rows.Flags
    first_at: rows.Ints
    last_at: rows.Ints


def build_book(world: universe.Universe, changes: moves.Moves | None = None) -> PositionBook:
    """All positions of a universe; half a second of work for a million rows. `changes`: all moves,
    None to work them out."""
    changes = moves.all_moves(world) if changes is None else changes
    balances = holdings.from_trades(
        wallet=changes.wallet,
        token=changes.token,
        ts=changes.ts,
        buying=changes.buying,
        micro=changes.micro,
        price=changes.price,
    )
    held = np.maximum(balances.net, 0) / 1e6
    bought, sold = balances.bought / 1e6, balances.sold / 1e6
    average = np.divide(balances.cost, bought, out=np.zeros_like(bought), where=bought > 0)
    prices = markets(world, balances.token)
    condition = world.tables.token_condition[balances.token].astype(np.int64)
    place = np.unique(
        balances.wallet * len(world.tables.conditions) + condition, return_inverse=True
    )[1]
    return PositionBook(
        wallet=balances.wallet,
        token=balances.token,
        size=held,
        bought=bought,
        average=average,
        fees=_entry_fees(world, balances),
        price=prices.price[balances.token],
        realized=balances.proceeds - average * sold,
        settled=prices.settled[balances.token],
        paired=(np.bincount(place, weights=held > 0)[place] > 1) & (held > 0),
        hidden=prices.hidden[balances.token],
        archived=prices.archived[balances.token],
        first_at=balances.first_ts,
        last_at=balances.last_ts,
    )


def _entry_fees(world: universe.Universe, balances: holdings.Balances) -> rows.Floats:
    """USD of fees on all purchases of each balance."""
    table, width = world.table, len(world.tables.tokens)
    chosen = np.flatnonzero(table.is_trade & table.listed & (table.side == rows.BUY))
    fee = np.abs(table.usdc[chosen] - table.micro[chosen] / 1e6 * table.price[chosen])
    keys = table.wallet[chosen].astype(np.int64) * width + table.token[chosen]
    place = np.searchsorted(balances.wallet * width + balances.token, keys)
    return np.bincount(place, weights=fee, minlength=len(balances)).astype(np.float64)


def with_recorded(held: PositionBook, world: universe.Universe) -> PositionBook:
    """The book in which wallets with recorded positions have these and no others."""
    if not world.recorded_positions:
        return held
    keys = sorted(world.recorded_positions)
    listed = [world.recorded_positions[key] for key in keys]

    def numbers(name: str, default: float = 0.0) -> rows.Floats:
        return np.array([float(str(row.get(name, default))) for row in listed])

    def flags(name: str) -> rows.Flags:
        return np.array([bool(row.get(name)) for row in listed], dtype=np.bool_)

    moment = numbers("last_event_at").astype(np.int64)
    recorded = {
        "wallet": np.array([wallet for wallet, _ in keys], dtype=np.int64),
        "token": np.array([token for _, token in keys], dtype=np.int64),
        "size": numbers("current_size"),
        "bought": numbers("total_size"),
        "average": numbers("avg_price"),
        "fees": numbers("entry_fees_usdc"),
        "price": numbers("current_price"),
        "realized": numbers("realized_pnl"),
        "settled": flags("redeemable"),
        "paired": flags("mergeable"),
        "hidden": np.zeros(len(keys), dtype=np.bool_),
        "archived": flags("archived"),
        "first_at": moment,
        "last_at": moment,
    }
    stay = ~np.isin(held.wallet, recorded["wallet"])
    joined = {
        each.name: np.concatenate((getattr(held, each.name)[stay], recorded[each.name]))
        for each in fields(held)
    }
    order = np.lexsort((joined["token"], joined["wallet"]))
    return PositionBook(**{name: column[order] for name, column in joined.items()})


def settle(
    held: PositionBook, tables: universe.Tables, condition: int, payouts: tuple[int, ...]
) -> None:
    """The market of a condition number is settled: its positions have a price for good."""
    for outcome, payout in enumerate(payouts):
        in_outcome = tables.token_condition[held.token] == condition
        in_outcome &= tables.token_outcome[held.token] == outcome
        held.price[in_outcome], held.settled[in_outcome] = payout / 1e6, True


def move(held: PositionBook, wallet: int, moment: int) -> None:
    """The wallet's most valuable position leaves by a direct transfer, which no feed shows, and its
    least valuable one grows to twice the other's worth: one is closed, the other comes first where
    lists go by value. Both were changed at that epoch second. A wallet of one position stays."""
    low, high = np.searchsorted(held.wallet, (wallet, wallet + 1)).tolist()
    entries = np.arange(low, high)
    shown = (held.size[entries] >= DUST_SHARES) & (held.price[entries] > 0)
    entries = entries[shown & ~held.hidden[entries] & ~held.archived[entries]]
    if len(entries) < 2:
        return
    worth = held.size[entries] * held.price[entries]
    largest, least = entries[np.argmax(worth)], entries[np.argmin(worth)]
    held.size[least] = round(2 * float(worth.max()) / float(held.price[least]), 6)
    held.size[largest] = 0.0
    held.paired[largest] = False
    held.last_at[largest] = held.last_at[least] = moment


@dataclass(frozen=True, repr=False)
class Prices:
    """By token number; `known` is false where no list has the market."""

    price: rows.Floats
    known: rows.Flags
    settled: rows.Flags
    hidden: rows.Flags
    archived: rows.Flags


def markets(world: universe.Universe, token: rows.Ints) -> Prices:
    """What the markets of these tokens say of them: payout, or Gamma's price while open."""
    size = len(world.tables.tokens)
    price = np.full(size, 0.5)
    known, settled, hidden, archived = (np.zeros(size, dtype=np.bool_) for _ in range(4))
    for number in np.unique(token).tolist():
        condition = int(world.tables.token_condition[number])
        market, payouts = world.market_of(condition), world.payouts_of(condition)
        outcome = int(world.tables.token_outcome[number])
        if 0 <= outcome < len(payouts):
            price[number], known[number] = payouts[outcome] / 1e6, True
            settled[number] = True
        if market is None or outcome < 0:
            continue
        if not payouts:
            prices = orjson.loads(str(world.lists.market_body(market).get("outcomePrices") or "[]"))
            if outcome < len(prices):
                price[number], known[number] = float(prices[outcome]), True
        hidden[number], archived[number] = not market.active, market.archived
    return Prices(price, known, settled, hidden, archived)
