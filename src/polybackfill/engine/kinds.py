"""The kinds of units: which route answers each, and how one is walked to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from polybackfill import units
from polybackfill.polymarket import (
    clob,
    endpoints,
    gamma,
    market_lookup,
    pagination,
    positions,
    resolutions,
    route_health,
    trade_feed,
    user_stats,
)

ProbeParams = tuple[tuple[str, str], ...]
Walk = Callable[
    [units.Unit, pagination.Resume | None, pagination.RequestContext],
    AsyncIterator[pagination.Page],
]


@dataclass(frozen=True)
class Kind:
    """One kind of unit.

    `route`: where most of its requests go, whose narrow budget it is paced by. `keys_per_request`:
    how many keys share a request when each has few rows; `lists`: how many are read for each.
    """

    name: str
    route: endpoints.Route
    walk: Walk
    keys_per_request: int = 1
    lists: int = 1

    @property
    def probe_params(self) -> ProbeParams:
        """What the route answers at once, with or without rows, as long as it works at all."""
        return route_health.CONTROLS[self.route].params

    def requests(self, keys: int, rows: int | None = 0) -> int:
        """How many are expected for so many keys with so many rows together; of keys whose rows
        nobody knows the fewest that there can be.
        """
        return self.lists * -(-keys // self.keys_per_request) + (rows or 0) // endpoints.PAGE_ROWS


def _wallets(
    unit: units.Unit, resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    feed = trade_feed.build_wallet_query(unit.keys[0], unit.since, unit.until)
    return trade_feed.pages(feed, resume, context)


def _conditions(
    unit: units.Unit, resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    feed = trade_feed.build_condition_query(unit.keys, unit.since, unit.until)
    return trade_feed.pages(feed, resume, context)


# A walk that knows from a unit's keys what to ask.
WalkUnit = Callable[
    [tuple[str, ...], pagination.Resume | None, pagination.RequestContext],
    AsyncIterator[pagination.Page],
]


def _by_keys(walk_unit: WalkUnit) -> Walk:
    return lambda unit, resume, context: walk_unit(unit.keys, resume, context)


_ALL = (
    Kind(units.CLOB, endpoints.CLOB_MARKETS, _by_keys(clob.walk_unit)),
    Kind(units.MARKETS, endpoints.MARKETS, _by_keys(gamma.walk_markets)),
    Kind(units.EVENTS, endpoints.EVENTS, _by_keys(gamma.walk_events)),
    Kind(
        units.LOOKUPS,
        endpoints.MARKETS,
        _by_keys(market_lookup.walk_unit),
        keys_per_request=market_lookup.MAX_CONDITIONS,
    ),
    Kind(
        units.CONDITIONS,
        endpoints.TRADES,
        _conditions,
        keys_per_request=units.MAX_KEYS_PER_BATCH,
    ),
    Kind(
        units.WALLETS,
        endpoints.ACTIVITY,
        _wallets,
    ),
    Kind(
        units.POSITIONS,
        endpoints.POSITIONS,
        _by_keys(positions.walk_unit),
        lists=2,  # a third only for who had an event within a day, few of all wallets
    ),
    Kind(
        units.RESOLUTIONS,
        endpoints.RESOLUTIONS,
        _by_keys(resolutions.walk_unit),
        keys_per_request=units.MAX_KEYS_PER_BATCH,
    ),
    Kind(units.USER_STATS, endpoints.USER_STATS, _by_keys(user_stats.walk_unit)),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
