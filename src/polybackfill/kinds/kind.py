"""What a kind of unit declares: its requests, its keys, its tables, its estimate, its proof."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from polybackfill import units
from polybackfill.kinds import key_source, proof, size, stored_table
from polybackfill.polymarket import endpoints, pagination, route_health

ProbeParams = tuple[tuple[str, str], ...]
Walk = Callable[
    [units.Unit, pagination.Resume | None, pagination.RequestContext],
    AsyncIterator[pagination.Page],
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of unit.

    `route`: where most of its requests go, whose narrow budget it is paced by. `keys_per_request`:
    how many keys share a request when each has few rows; `lists`: how many are read for each.
    `keys`: where its keys come from; from which kinds, `kinds.MODULES` says. `key_flag`: the part
    under whose flag (`--wallet`, `--condition-id`) its keys can be typed, "" for none;
    `needed_for`: the planned lists, by part, whose profit takes it.
    """

    name: str
    route: endpoints.Route
    walk: Walk
    keys: key_source.KeySource
    tables: tuple[stored_table.StoredTable, ...]
    estimate: size.Estimate
    proof: proof.Proof
    keys_per_request: int = 1
    lists: int = 1
    key_flag: str = ""
    needed_for: tuple[str, ...] = ()

    @property
    def probe_params(self) -> ProbeParams:
        """What the route answers at once, with or without rows, as long as it works at all."""
        return route_health.CONTROLS[self.route].params

    @property
    def is_followed(self) -> bool:
        """Its units are windows of the present: part of a run that follows, and of no other."""
        return isinstance(self.keys, key_source.TimeWindows)

    @property
    def is_swept(self) -> bool:
        """It is read anew in every sweep, whose name is part of each key."""
        return not isinstance(self.keys, key_source.PlanTable)

    @property
    def is_shared(self) -> bool:
        """The daemons of a job divide its keys; a whole list is read by one of them."""
        return not isinstance(self.keys, key_source.WholeList)

    def requests(self, keys: int, rows: int | None = 0) -> int:
        """How many are expected for so many keys with so many rows together; of keys whose rows
        nobody knows the fewest that there can be.
        """
        return self.lists * -(-keys // self.keys_per_request) + (rows or 0) // endpoints.PAGE_ROWS


# A walk that knows from a unit's keys what to ask.
WalkUnit = Callable[
    [tuple[str, ...], pagination.Resume | None, pagination.RequestContext],
    AsyncIterator[pagination.Page],
]


def by_keys(walk_unit: WalkUnit) -> Walk:
    """A kind's walk that takes the keys alone."""
    return lambda unit, resume, context: walk_unit(unit.bare_keys, resume, context)
