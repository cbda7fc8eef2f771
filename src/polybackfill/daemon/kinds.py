"""The kinds of units: which route answers each, and how one is walked to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from polybackfill import clock as clocks
from polybackfill.polymarket import endpoints, walk
from polybackfill.work import units


class Ground(Protocol):
    """What a walk stands on while it lasts: how it fetches, how often it tries, whose it is."""

    @property
    def fetch(self) -> walk.Fetch: ...

    @property
    def persist(self) -> walk.Persist: ...

    @property
    def clock(self) -> clocks.Clock: ...


Harmless = tuple[tuple[str, str], ...]
Walk = Callable[[units.Unit, walk.Resume | None, Ground], AsyncIterator[walk.Page]]


@dataclass(frozen=True)
class Kind:
    """One kind of unit.

    `route`: where most of its requests go, whose narrow budget it is paced by. `harmless`: what the
    route answers at once, with or without rows, as long as it works at all. `keys_per_request`: how
    many keys share a request when each has few rows.
    """

    name: str
    route: endpoints.Route
    walk: Walk
    harmless: Harmless
    keys_per_request: int = 1


def _wallets(
    unit: units.Unit, resume: walk.Resume | None, ground: Ground
) -> AsyncIterator[walk.Page]:
    feed = walk.feed_for_wallet(unit.keys[0], unit.since, unit.until)
    return _feed(feed, unit, resume, ground)


def _conditions(
    unit: units.Unit, resume: walk.Resume | None, ground: Ground
) -> AsyncIterator[walk.Page]:
    feed = walk.feed_for_conditions(unit.keys, unit.since, unit.until)
    return _feed(feed, unit, resume, ground)


def _feed(
    feed: walk.Feed, unit: units.Unit, resume: walk.Resume | None, ground: Ground
) -> AsyncIterator[walk.Page]:
    return walk.pages(
        ground.fetch, feed, resume, clock=ground.clock, unit=unit.id, persist=ground.persist
    )


_ALL = (
    Kind(
        units.CONDITIONS,
        endpoints.TRADES,
        _conditions,
        harmless=(("limit", "1"),),
        keys_per_request=units.MAX_KEYS_PER_BATCH,
    ),
    Kind(
        units.WALLETS,
        endpoints.ACTIVITY,
        _wallets,
        harmless=(("user", f"0x{1:040x}"), ("limit", "1")),
    ),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
