"""What a run will cost: units, requests, rows, disk and hours at the limits, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polybackfill.kinds import registry, size
from polybackfill.polymarket import endpoints
from polybackfill.store import backlog_counts, client


@dataclass(frozen=True)
class Line:
    """One kind of unit. `hosts`: addresses between which its keys are divided. `hours`: at its own
    limit, with everything else out of the way. Where nobody knows the `rows`, requests and hours
    are the least it takes.
    """

    kind: str
    units: int
    requests: int
    rows: int | None
    bytes: int | None
    route: str
    hours: float
    hosts: int = 1


async def make_lines(
    store: client.Store,
    kinds_of_run: Sequence[str],
    ahead: backlog_counts.Outlook,
    budgets: Mapping[str, endpoints.Budget],
    share: float,
    *,
    hosts: int = 1,
) -> list[Line]:
    """The kinds asked for, each with what it has before it. Raises what the store raises."""
    sizes = [(kind, await registry.KINDS[kind].estimate(store, ahead)) for kind in kinds_of_run]
    return [_line(kind, ahead_of_kind, budgets, share, hosts) for kind, ahead_of_kind in sizes]


def hours(
    lines_of_run: Sequence[Line], budgets: Mapping[str, endpoints.Budget], share: float
) -> float:
    """The parts run side by side: the slowest budget decides, a shared one with all it carries on
    the address that reads the lists.
    """
    requests: dict[str, float] = {}
    for line in lines_of_run:
        for name in registry.KINDS[line.kind].route.budgets:
            requests[name] = requests.get(name, 0) + line.requests / line.hosts
    return max((_hours(count, budgets[name], share) for name, count in requests.items()), default=0)


def within(lines_of_run: Sequence[Line], seconds: float) -> tuple[int, int]:
    """Requests and known rows that so many seconds are enough for, side by side."""
    parts = [min(1.0, seconds / 3_600 / line.hours) if line.hours else 1.0 for line in lines_of_run]
    pairs = list(zip(lines_of_run, parts, strict=True))
    requests = sum(round(line.requests * part) for line, part in pairs)
    return requests, sum(round((line.rows or 0) * part) for line, part in pairs)


def describe_addresses(hosts: int) -> str:
    """From how many the API is asked."""
    return "one address" if hosts == 1 else f"{hosts:,} addresses"


def last(lines_of_run: Sequence[Line]) -> Line | None:
    """The part that ends last."""
    return max(lines_of_run, key=lambda line: line.hours, default=None)


def _line(
    kind: str, ahead: size.Size, budgets: Mapping[str, endpoints.Budget], share: float, hosts: int
) -> Line:
    route = registry.KINDS[kind].route
    hosts = hosts if registry.KINDS[kind].is_shared else 1
    each = ahead.requests / hosts
    slowest = max(_hours(each, budgets[name], share) for name in route.budgets)
    on_disk = None if ahead.rows is None else ahead.rows * ahead.row_bytes
    return Line(kind, ahead.units, ahead.requests, ahead.rows, on_disk, route.name, slowest, hosts)


def _hours(requests: float, budget: endpoints.Budget, share: float) -> float:
    return requests / (budget.requests / budget.window_s * share) / 3_600
