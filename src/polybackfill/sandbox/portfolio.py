"""All positions of a universe: what trades, splits, merges, conversions and redemptions leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import orjson

from polybackfill.sandbox import holdings, rows, universe

DUST_SHARES = 0.1  # Data API v2, /v2/positions: the default floor
_SPLIT_PRICE = 0.5  # a split pays one USD for a pair


@dataclass(frozen=True, repr=False)
class Book:
    """All positions, one entry per (wallet, token), sorted so. Sizes in shares, the rest in USD."""

    wallet: rows.Ints
    token: rows.Ints
    size: rows.Floats
    bought: rows.Floats
    average: rows.Floats
    price: rows.Floats
    realized: rows.Floats
    settled: rows.Flags
    paired: rows.Flags
    hidden: rows.Flags
    archived: rows.Flags
    first_at: rows.Ints
    last_at: rows.Ints


def book(world: universe.Universe) -> Book:
    """All positions of a universe; a quarter second of work for a million rows."""
    moves = _moves(world)
    balances = holdings.from_trades(**moves)
    tables = world.tables
    condition = tables.token_condition[balances.token].astype(np.int64)
    keys = balances.wallet * len(tables.conditions) + condition
    redeemed_keys, redeemed_at = _redemptions(world)
    place = np.clip(np.searchsorted(redeemed_keys, keys), 0, max(len(redeemed_keys) - 1, 0))
    redeemed = np.zeros(len(keys), dtype=np.bool_)
    if len(redeemed_keys):
        redeemed = redeemed_keys[place] == keys
    held = np.where(redeemed, 0, np.maximum(balances.net, 0)) / 1e6
    bought, sold = balances.bought / 1e6, balances.sold / 1e6
    average = np.divide(balances.cost, bought, out=np.zeros_like(bought), where=bought > 0)
    price, settled, hidden, archived = _markets(world, balances.token)
    paid_out = np.where(redeemed, np.maximum(balances.net, 0) / 1e6 * (price - average), 0.0)
    last_at = balances.last_ts.copy()
    if len(redeemed_keys):
        last_at = np.where(redeemed, np.maximum(last_at, redeemed_at[place]), last_at)
    owners = np.bincount(np.unique(keys, return_inverse=True)[1], weights=held > 0)
    return Book(
        wallet=balances.wallet,
        token=balances.token,
        size=held,
        bought=bought,
        average=average,
        price=price,
        realized=balances.proceeds - average * sold + paid_out,
        settled=settled,
        paired=(owners[np.unique(keys, return_inverse=True)[1]] > 1) & (held > 0),
        hidden=hidden,
        archived=archived,
        first_at=balances.first_ts,
        last_at=last_at,
    )


def settle(held: Book, tables: universe.Tables, condition: int, payouts: tuple[int, ...]) -> None:
    """The market of a condition number is settled: its positions have a price for good."""
    for outcome, payout in enumerate(payouts):
        in_outcome = tables.token_condition[held.token] == condition
        in_outcome &= tables.token_outcome[held.token] == outcome
        held.price[in_outcome], held.settled[in_outcome] = payout / 1e6, True


def move(held: Book, wallet: int, moment: int) -> None:
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


def _moves(world: universe.Universe) -> dict[str, np.ndarray]:
    """Every change of a balance as a purchase or a sale, in the order of the rows."""
    table = world.table
    trades = np.flatnonzero(table.is_trade & table.listed)
    numbers = [trades]
    token = [table.token[trades]]
    buying = [table.side[trades] == rows.BUY]
    price = [table.price[trades]]
    for kind, gains in (("SPLIT", True), ("MERGE", False)):
        chosen = np.flatnonzero((table.kind == rows.KIND[kind]) & (table.condition >= 0))
        for outcome in range(world.condition_tokens.shape[1]):
            held = world.condition_tokens[table.condition[chosen], outcome]
            numbers.append(chosen[held >= 0])
            token.append(held[held >= 0])
            buying.append(np.full(len(token[-1]), gains))
            price.append(np.full(len(token[-1]), _SPLIT_PRICE))
    for number, changed, gains in _conversions(world):
        numbers.append(np.array([number]))
        token.append(np.array([changed], dtype=np.int32))
        buying.append(np.array([gains]))
        price.append(np.zeros(1))
    chosen = np.concatenate(numbers)
    return {
        "wallet": table.wallet[chosen],
        "token": np.concatenate(token),
        "ts": table.ts[chosen],
        "buying": np.concatenate(buying),
        "micro": table.micro[chosen],
        "price": np.concatenate(price),
    }


def _conversions(world: universe.Universe) -> list[tuple[int, int, bool]]:
    """(row, token, gained): No of the converted market is burnt, Yes of each rival appears."""
    table, tokens = world.table, world.condition_tokens
    changes: list[tuple[int, int, bool]] = []
    for number in np.flatnonzero(table.kind == rows.KIND["CONVERSION"]).tolist():
        condition = int(table.condition[number])
        market = world.market_of(condition) if condition >= 0 else None
        if market is None or not market.event_ids:
            continue
        changes.append((number, int(tokens[condition, 1]), False))
        rivals = world.conditions_of_event[market.event_ids[0]]
        changes += [(number, int(tokens[r, 0]), True) for r in rivals if r != condition]
    return changes


def _redemptions(world: universe.Universe) -> tuple[rows.Ints, rows.Ints]:
    """Sorted keys (wallet, condition) that were redeemed, and when."""
    table = world.table
    chosen = np.flatnonzero((table.kind == rows.KIND["REDEEM"]) & (table.condition >= 0))
    keys = table.wallet[chosen].astype(np.int64) * len(world.tables.conditions)
    keys += table.condition[chosen]
    distinct, place = np.unique(keys, return_inverse=True)
    when = np.zeros(len(distinct), dtype=np.int64)
    np.maximum.at(when, place, table.ts[chosen])
    return distinct, when


def _markets(
    world: universe.Universe, token: rows.Ints
) -> tuple[rows.Floats, rows.Flags, rows.Flags, rows.Flags]:
    """Price, settled, inactive and archived, by entry."""
    size = len(world.tables.tokens)
    price = np.full(size, 0.5)
    settled, hidden, archived = (np.zeros(size, dtype=np.bool_) for _ in range(3))
    for number in np.unique(token).tolist():
        market = world.market_of(int(world.tables.token_condition[number]))
        outcome = int(world.tables.token_outcome[number])
        if market is None or outcome < 0:
            continue
        if market.payouts:
            price[number] = market.payouts[outcome] / 1e6
        else:
            prices = orjson.loads(str(world.lists.market_body(market).get("outcomePrices") or "[]"))
            if outcome < len(prices):
                price[number] = float(prices[outcome])
        settled[number] = bool(market.payouts)
        hidden[number], archived[number] = not market.active, market.archived
    return price[token], settled[token], hidden[token], archived[token]
