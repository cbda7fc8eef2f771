"""What may change while a client reads: a market closes or appears, a wallet's positions move.

It happens on request, as faults that spoil no answer: the request they meet is answered honestly,
from the changed universe, and so is everything after it.
"""

from __future__ import annotations

from collections.abc import Callable

from polymarket_sandbox import (
    apis,
    faults,
    listings,
    portfolio,
    positions,
    truth,
    universe,
    v2_query,
)


class Changes:
    """The changes of one sandbox. `now`: the universe's present, epoch seconds."""

    def __init__(self, present: apis.PresentApis, now: Callable[[], int]) -> None:
        self._present = present
        self._now = now

    @property
    def _world(self) -> universe.Universe:
        return self._present().world

    @property
    def _positions(self) -> positions.Positions:
        return self._present().positions

    def check(self, rule: faults.Rule) -> None:
        """Whether the rule's target exists. Raises FaultError."""
        if rule.kind in faults.CHANGES and self._present.grows:
            raise faults.FaultError(f"{rule.kind}: this universe grows by itself")
        if rule.kind == "market_closes":
            market = self._world.lists.markets[self._market(rule)]
            if rule.payouts and len(rule.payouts) != len(market.outcomes):
                raise faults.FaultError(f"{rule.kind}: payouts must be {len(market.outcomes)}")
        elif rule.kind == "market_appears":
            if self._world.lists.markets[self._market(rule)].listed:
                raise faults.FaultError(f"{rule.kind}: {rule.target} is listed already")
        elif rule.kind == "positions_change":
            self._wallet(rule)

    def apply(self, rule: faults.Rule) -> None:
        """Do what the rule asks for."""
        if rule.kind == "market_closes":
            self._close(rule)
        elif rule.kind == "market_appears":
            self._world.lists.show(self._market(rule))
        else:
            wallet = self._wallet(rule)
            portfolio.move(self._positions.book, wallet, self._now())
            self._positions.transferred.add(wallet)

    def _close(self, rule: faults.Rule) -> None:
        lists, place = self._world.lists, self._market(rule)
        market = lists.markets[place]
        if market.closed:
            return
        first_wins = (1_000_000, *(0 for _ in market.outcomes[1:]))
        payouts = rule.payouts or first_wins
        lists.settle(place, payouts, self._now())
        market = lists.markets[place]
        if market.body is not None:
            market.body = {**market.body, **listings.settled(market)}
        for event in map(lists.event, market.event_ids or ()):
            if event.closed and event.body is not None:
                event.body = {**event.body, "closed": True}
        number = self._world.condition_number.get(market.condition_id)
        if number is not None:
            portfolio.settle(self._positions.book, self._world.tables, number, payouts)

    def _market(self, rule: faults.Rule) -> int:
        condition = v2_query.normal_condition(truth.with_0x(rule.target))
        place = self._world.lists.index.by_condition.get(condition)
        if place is None:
            raise faults.FaultError(f"{rule.kind}: target {rule.target!r} is no known condition")
        return place

    def _wallet(self, rule: faults.Rule) -> int:
        number = self._world.wallet_number.get(truth.with_0x(rule.target))
        if number is None:
            raise faults.FaultError(f"{rule.kind}: target {rule.target!r} is no known wallet")
        return number
