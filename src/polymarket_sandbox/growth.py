"""A universe that goes on while it is read: the newest of what happens in it happens meanwhile.

`Warp` moves the time of everything since some of the newest markets were made behind the start, at
an even rate of rows. `present` is what has happened and become visible until a second, a universe
like any other. A row is visible `SHOWN_AFTER_S` seconds after it happened, which is less than what
the status route says; some are late.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from polymarket_sandbox import catalog, markets, rows, universe

SHOWN_AFTER_S = 2
_LEAST_MARKETS = 5  # made while it grows, or one in so many:
_MARKETS_SHARE = 12
_KNOTS = 400
_TIMES = ("start", "end", "created", "closed_at")
Item = TypeVar("Item", catalog.Market, catalog.Event)


class Warp:
    """Seconds of a universe → when they happen: what is older than `cut` stays, the rest takes
    place from `now` to `now + grow_s`.
    """

    def __init__(self, ts: rows.Ints, created: Sequence[int], *, now: int, grow_s: float) -> None:
        count = max(_LEAST_MARKETS, len(created) // _MARKETS_SHARE)
        self.now, self.cut = now, sorted(created)[-min(count, len(created))] - 1
        later = ts[ts > self.cut]
        shares = np.linspace(0, 1, _KNOTS)
        moments = np.quantile(later, shares) if len(later) else np.array([self.cut, now])
        shares = shares if len(later) else np.array([0, 1])
        self._moments = np.concatenate(([self.cut], moments, [now]))
        self._happens = now + np.concatenate(([0], shares, [1])) * (grow_s - 1) + 1
        self._grow_s = round(grow_s)

    def move(self, ts: rows.Ints) -> rows.Ints:
        """When these seconds take place, in the same order."""
        moved = np.interp(ts, self._moments, self._happens).astype(np.int64)
        moved = np.where(ts > self.now, ts + self._grow_s, moved)
        result: rows.Ints = np.where(ts > self.cut, moved, ts)
        return result

    def move_one(self, second: int) -> int:
        """The same for one of them."""
        return int(self.move(np.array([second]))[0])

    def move_lists(self, draft: markets.CatalogDraft) -> None:
        """Move the times of markets and events."""
        for item in (*draft.markets, *draft.events):
            for name in _TIMES:
                setattr(item, name, self.move_one(getattr(item, name)))


def choose_arrivals(
    rng: np.random.Generator, columns: rows.Rows, *, now: int, late_rows: int, late_after_s: float
) -> rows.Ints:
    """When each row becomes visible; of the trades since `now` some are late."""
    arrivals = columns.ts + np.where(columns.ts > now, SHOWN_AFTER_S, 0)
    growing = np.flatnonzero(columns.is_trade & columns.listed & (columns.ts > now))
    late = rng.permutation(growing)[:late_rows]
    arrivals[late] += round(late_after_s)
    return arrivals


def delay(world: universe.Universe, seconds: int) -> universe.Universe:
    """All that is still to come comes so many seconds later."""
    table, start = world.table, world.now

    def later(second: int) -> int:
        return second + seconds if second > start else second

    columns = replace(
        table,
        ts=np.where(table.ts > start, table.ts + seconds, table.ts),
        arrives=np.where(table.arrives > start, table.arrives + seconds, table.arrives),
    )
    columns = replace(columns, seq=rows.sequence_of(columns.ts))
    lists = world.lists.fork()
    lists.markets = [_delayed(market, later) for market in lists.markets]
    lists.events = [_delayed(event, later) for event in lists.events]
    return replace(
        world,
        table=columns,
        renderer=world.renderer.over(columns),
        lists=lists,
        transfers=[(who, token, later(at), n) for who, token, at, n in world.transfers],
    )


def _delayed(item: Item, later: Callable[[int], int]) -> Item:
    delayed = copy.copy(item)
    for name in _TIMES:
        setattr(delayed, name, later(getattr(item, name)))
    return delayed


def end(world: universe.Universe) -> int:
    """From this second on nothing more happens, and everything is visible."""
    of_lists = (max(market.created, market.closed_at) for market in world.lists.markets)
    return max(int(world.table.arrives.max(initial=0)), *of_lists)


def present(world: universe.Universe, now: int) -> universe.Universe:
    """What is there at a second of the universe's own time."""
    table = world.table.only(world.table.arrives <= now)
    volumes = universe.taker_volumes(table, len(world.tables.conditions))
    lists = _lists(world.lists, now)
    for market in lists.markets:
        number = world.condition_number.get(market.condition_id)
        market.volume = market.volume if number is None else float(volumes[number])
    markets.sum_volumes(lists.markets, lists.events)
    return replace(
        world,
        table=table,
        renderer=world.renderer.over(table),
        lists=lists,
        transfers=[transfer for transfer in world.transfers if transfer[2] <= now],
    )


def _lists(lists: catalog.Catalog, now: int) -> catalog.Catalog:
    """Without what was made later; open what was closed later."""
    places = [place for place, market in enumerate(lists.markets) if market.created <= now]
    place_now = {place: number for number, place in enumerate(places)}
    listed = [_market(lists.markets[place], now) for place in places]
    open_ids = {market.id for market in listed if not market.closed}
    known = {market.id for market in listed}
    events = [
        _event(event, [number for number in event.market_ids if number in known], open_ids)
        for event in lists.events
    ]
    events = [event for event in events if event.market_ids]
    shown_events = {event.id for event in events}
    for market in listed:
        if market.event_ids is not None:
            market.event_ids = tuple(one for one in market.event_ids if one in shown_events)
    return catalog.Catalog(
        listed,
        events,
        lists.tags,
        [place_now[place] for place in lists.clob if place in place_now],
        render_market=lists.render_market,
        render_event=lists.render_event,
    )


def _market(market: catalog.Market, now: int) -> catalog.Market:
    if not market.closed or market.closed_at <= now:
        return replace(market)
    return replace(market, closed=False, closed_at=0, payouts=(), uma_status="")


def _event(event: catalog.Event, members: list[int], open_ids: set[int]) -> catalog.Event:
    if event.closed and open_ids.intersection(members):
        event = replace(event, closed=False, closed_at=0)
    return replace(event, market_ids=tuple(members))
