"""Where the keys of a kind come from in a run that nobody gave any: five ways, all of them data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from polybackfill import settings
from polybackfill.polymarket import pagination
from polybackfill.store import client

Slices = Callable[[pagination.RequestContext, float], Awaitable[list[str]]]
AddKeys = Callable[[client.Store], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WholeList:
    """A list that is read from end to end, in slices. `slices` names them, given how to
    fetch, and when the sweep began (epoch seconds).
    """

    slices: Slices


@dataclass(frozen=True, slots=True)
class PlanTable:
    """The keys of a plan table (`plan_table.TABLES`). `add`: puts what the store has shown into the
    plan, in a run of everything; `grown`: SQL of the keys that may have grown since they were read
    (`stale_keys`).
    """

    add: AddKeys
    grown: str


@dataclass(frozen=True, slots=True)
class PlannedWallets:
    """Every wallet of the plan, in each sweep. `add`: as above; `most`: how many of them, by rank,
    a run reads, given its settings; None for all.
    """

    add: AddKeys
    most: Callable[[settings.BackfillSettings], int] | None = None


@dataclass(frozen=True, slots=True)
class MissingConditions:
    """Conditions of which something is not stored yet.

    `of_all`: SQL of those of everything, `of_lists`: of planned lists. Trades may show more while
    the lists are long read: those that `table` lacks. `also`: SQL of what is asked for besides.
    """

    table: str
    of_all: str
    of_lists: str
    also: str = ""


@dataclass(frozen=True, slots=True)
class TimeWindows:
    """Windows of the present, made as time passes, in a run that follows (`time_window`).

    `every_s`: seconds from one to the next, given the settings; `reach`: the first second that the
    feed shows, given the time, None for all.
    """

    every_s: Callable[[settings.BackfillSettings], float]
    reach: Callable[[float], int] | None = None


KeySource = TimeWindows | WholeList | PlanTable | PlannedWallets | MissingConditions
