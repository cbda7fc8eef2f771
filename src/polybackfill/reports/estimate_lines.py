"""What a run will cost: units, requests, rows, disk and hours at the limits, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polybackfill import clocks, units
from polybackfill.engine import kinds
from polybackfill.polymarket import endpoints, gamma_queries, list_partitions, market_lookup
from polybackfill.store import backlog_counts

_KEYS_PER_BATCH = units.MAX_KEYS_PER_BATCH
# Bytes on disk, measured (docs/store.md for trades; markets with their descriptions).
_TRADE_BYTES = 124
_MARKET_BYTES = 400
_POSITION_BYTES = 90
_RESOLUTION_BYTES = 60
_STATS_BYTES = 150
# Positions of a wallet: 9 at the median (published data set of 2.9 million wallets, mid-2026).
_POSITIONS_PER_WALLET = 20


@dataclass(frozen=True)
class Line:
    """One kind of unit. `hours`: at its own limit, with everything else out of the way. Where
    nobody knows the `rows`, requests and hours are the least it takes.
    """

    kind: str
    units: int
    requests: int
    rows: int | None
    bytes: int | None
    route: str
    hours: float


def lines(
    kinds_of_run: Sequence[str],
    ahead: backlog_counts.Outlook,
    budgets: Mapping[str, endpoints.Budget],
    share: float,
) -> list[Line]:
    """The kinds asked for, each with what it has before it."""
    return [_line(kind, ahead, budgets, share) for kind in kinds_of_run]


def hours(
    lines_of_run: Sequence[Line], budgets: Mapping[str, endpoints.Budget], share: float
) -> float:
    """The parts run side by side: the slowest budget decides, a shared one with all it carries."""
    requests: dict[str, int] = {}
    for line in lines_of_run:
        for name in kinds.KINDS[line.kind].route.budgets:
            requests[name] = requests.get(name, 0) + line.requests
    return max((_hours(count, budgets[name], share) for name, count in requests.items()), default=0)


def within(lines_of_run: Sequence[Line], seconds: float) -> tuple[int, int]:
    """Requests and known rows that so many seconds are enough for, side by side."""
    parts = [min(1.0, seconds / 3_600 / line.hours) if line.hours else 1.0 for line in lines_of_run]
    pairs = list(zip(lines_of_run, parts, strict=True))
    requests = sum(round(line.requests * part) for line, part in pairs)
    return requests, sum(round((line.rows or 0) * part) for line, part in pairs)


def last(lines_of_run: Sequence[Line]) -> Line | None:
    """The part that ends last."""
    return max(lines_of_run, key=lambda line: line.hours, default=None)


def _line(
    kind: str,
    ahead: backlog_counts.Outlook,
    budgets: Mapping[str, endpoints.Budget],
    share: float,
) -> Line:
    count, requests, rows, row_bytes = _SIZES[kind](ahead)
    route = kinds.KINDS[kind].route
    slowest = max(_hours(requests, budgets[name], share) for name in route.budgets)
    size = None if rows is None else rows * row_bytes
    return Line(kind, count, requests, rows, size, route.name, slowest)


def _hours(requests: int, budget: endpoints.Budget, share: float) -> float:
    return requests / (budget.requests / budget.window_s * share) / 3_600


def _pages(rows: int, page: int = endpoints.PAGE_ROWS) -> int:
    return -(-rows // page)


def _spans() -> int:
    """Spans a sweep begins with, open and closed, each with a page that is not full."""
    return 2 * sum(1 for _ in list_partitions.sweep(clocks.SystemClock().now(), closed=True))


def _full_pages(rows: int | None) -> int:
    """Pages before the last one of each key; 0 of rows that nobody knows."""
    return (rows or 0) // endpoints.PAGE_ROWS


# Units, requests, rows, bytes a row.
_SIZES: dict[str, Callable[[backlog_counts.Outlook], tuple[int, int, int | None, int]]] = {
    units.CLOB: lambda a: (_pages(a.markets), _pages(a.markets), a.markets, _MARKET_BYTES),
    units.MARKETS: lambda a: (
        _spans() + _pages(a.markets, 2_000),
        _spans() + _pages(a.markets, gamma_queries.PAGE_ROWS),
        a.markets,
        _MARKET_BYTES,
    ),
    units.EVENTS: lambda a: (
        _spans() + _pages(a.events, 2_000),
        _spans() + _pages(a.events, gamma_queries.PAGE_ROWS),
        a.events,
        _MARKET_BYTES,
    ),
    units.LOOKUPS: lambda a: (
        a.unlisted,
        # once among the open ones, once among the closed ones
        2 * _pages(a.unlisted, market_lookup.MAX_CONDITIONS),
        None if a.finds_markets else a.unlisted,
        _MARKET_BYTES,
    ),
    units.CONDITIONS: lambda a: (
        a.conditions + a.open_again,
        _pages(a.conditions, _KEYS_PER_BATCH)
        + _pages(a.open_again, _KEYS_PER_BATCH)
        + _full_pages(a.condition_rows),
        a.condition_rows,
        _TRADE_BYTES,
    ),
    units.WALLETS: lambda a: (
        a.wallets,
        a.wallets + _full_pages(a.wallet_rows),
        a.wallet_rows,
        # most of what a wallet walk brings the market walks have brought already
        0,
    ),
    units.POSITIONS: lambda a: (
        a.holders,
        2 * a.holders,
        _POSITIONS_PER_WALLET * a.holders,
        _POSITION_BYTES,
    ),
    units.RESOLUTIONS: lambda a: (
        a.unresolved,
        _pages(a.unresolved, _KEYS_PER_BATCH),
        None if a.finds_markets else a.unresolved,
        _RESOLUTION_BYTES,
    ),
    units.USER_STATS: lambda a: (a.official, a.official, a.official, _STATS_BYTES),
}
