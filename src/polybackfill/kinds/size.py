"""How much of a kind a run has before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from polybackfill import clocks
from polybackfill.polymarket import endpoints, gamma, gamma_queries, list_partitions
from polybackfill.store import backlog_counts, client

MARKET_BYTES = 400  # on disk, measured, with their descriptions


@dataclass(frozen=True, slots=True)
class Size:
    """`units` and `requests`, of rows nobody knows the least; `rows` (None: unknown) of so many
    `row_bytes` on disk.
    """

    units: int
    requests: int
    rows: int | None
    row_bytes: int


Estimate = Callable[[client.Store, backlog_counts.Outlook], Awaitable[Size]]


def count_pages(rows: int, page_rows: int = endpoints.PAGE_ROWS) -> int:
    """How many pages so many rows fill, the last one in part."""
    return -(-rows // page_rows)


def count_full_pages(rows: int | None) -> int:
    """Pages before the last one of each key; 0 of rows that nobody knows."""
    return (rows or 0) // endpoints.PAGE_ROWS


def measure_gamma_list(rows: int) -> Size:
    """A list of Gamma's: the spans a sweep begins with, open and closed, each with a page that is
    not full, and those that are cut.
    """
    full_span = gamma.MANY_PAGES * gamma_queries.PAGE_ROWS  # a fuller one is cut in two
    spans = 2 * sum(1 for _ in list_partitions.sweep(clocks.SystemClock().now(), closed=True))
    return Size(
        units=spans + count_pages(rows, full_span),
        requests=spans + count_pages(rows, gamma_queries.PAGE_ROWS),
        rows=rows,
        row_bytes=MARKET_BYTES,
    )
