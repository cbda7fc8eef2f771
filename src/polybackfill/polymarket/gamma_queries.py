"""Questions to Gamma's keyset lists: every filter that matters said aloud.

Without `closed` the closed ones are hidden, without `version` Protocol V2, and a name the server
does not know is ignored without a word. Parameters: docs.polymarket.com, read 2026-10 and 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from polybackfill import records
from polybackfill.polymarket import date_range, endpoints, pagination

# Gamma ignores a filter that it does not know, and answers with the first markets of its list.
CONDITION_FILTER = "condition_ids"
# More than 50 ids in one request met a web page of the edge (403, seen once; pmxt issue 981).
MAX_CONDITIONS = 40
# Clamped to this without a word since 2026-05-14.
PAGE_ROWS = 100
# A date filter may or may not include its bounds, and start dates carry fractions of seconds.
_MARGIN_S = 1


class Order(Enum):
    """How a list is sorted."""

    BY_ID = "id"
    EARLIEST_FIRST = "earliest"
    LATEST_FIRST = "latest"
    NEWEST_FIRST = "newest"


# Where a database puts rows without a value, first or last, depends on its make.
BOTH_ENDS = (Order.EARLIEST_FIRST, Order.LATEST_FIRST)
_ORDER_PARAMS = {
    Order.BY_ID: (("order", "id"), ("ascending", "true")),
    Order.EARLIEST_FIRST: (("order", "startDate"), ("ascending", "true")),
    Order.LATEST_FIRST: (("order", "startDate"), ("ascending", "false")),
    Order.NEWEST_FIRST: (("order", "createdAt"), ("ascending", "false")),
}


@dataclass(frozen=True, kw_only=True)
class GammaQuery(pagination.FeedQuery):
    """One span of one list, in one order; with `conditions`, what it knows about these."""

    span: date_range.DateRange
    order: Order = Order.BY_ID
    page_rows: int = PAGE_ROWS

    def request_params(self, cursor: str | None) -> pagination.Params:
        """As of any feed, but the parameter is `after_cursor`; `cursor` would be ignored."""
        params = (*self.params, ("limit", str(self.page_rows)))
        return params if cursor is None else (*params, ("after_cursor", cursor))


def build_range_query(
    route: endpoints.Route, span: date_range.DateRange, order: Order = Order.BY_ID
) -> GammaQuery:
    """The question for one span of `endpoints.MARKETS` or `endpoints.EVENTS`."""
    params = _params(route, closed=span.closed, order=order)
    if span.since is not None:
        params.append(("start_date_min", _rfc3339(span.since - _MARGIN_S)))
    if span.until is not None:
        params.append(("start_date_max", _rfc3339(span.until + _MARGIN_S)))
    return GammaQuery(route=route, params=tuple(params), span=span, order=order)


def build_new_query(route: endpoints.Route, since: int) -> GammaQuery:
    """What is open of a list, the newest first; `since`: made in this second or later."""
    return GammaQuery(
        route=route,
        params=tuple(_params(route, closed=False, order=Order.NEWEST_FIRST)),
        span=date_range.DateRange(closed=False),
        order=Order.NEWEST_FIRST,
        since=since,
    )


def condition_params(conditions: Sequence[str]) -> list[tuple[str, str]]:
    """What limits a list of markets to these conditions, at most `MAX_CONDITIONS`."""
    keys = map(records.padded, conditions)
    return [(CONDITION_FILTER, records.show(condition)) for condition in keys]


def build_condition_query(conditions: Sequence[str], *, closed: bool) -> GammaQuery:
    """The markets of one state of these conditions (normalised)."""
    params = _params(endpoints.MARKETS, closed=closed, order=Order.BY_ID)
    params += condition_params(conditions)
    return GammaQuery(
        route=endpoints.MARKETS,
        params=tuple(params),
        conditions=frozenset(map(records.padded, conditions)),
        span=date_range.DateRange(closed),
    )


def _params(route: endpoints.Route, *, closed: bool, order: Order) -> list[tuple[str, str]]:
    params = [
        ("closed", "true" if closed else "false"),  # without it closed ones are hidden
        ("version", "v1"),  # without both, Protocol V2 is hidden
        ("version", "v2"),
        *_ORDER_PARAMS[order],
    ]
    if route == endpoints.MARKETS:
        params.append(("include_tag", "true"))
    return params


def is_within(span: date_range.DateRange, start: int | None) -> bool:
    """Inside the span, as far as its margin; a row without a date contradicts nothing."""
    if start is None:
        return True
    after = span.since is None or start >= span.since - _MARGIN_S - 1
    before = span.until is None or start <= span.until + _MARGIN_S + 1
    return after and before


def _rfc3339(second: int) -> str:
    moment = datetime.fromtimestamp(max(0, second), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
