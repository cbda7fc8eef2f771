"""Gamma's lists, from the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import harness
from tests.unit.polymarket.test_gamma import CLOCK

from polybackfill import errors, records
from polybackfill.polymarket import gamma, list_partitions, pagination

Walker = Callable[..., Any]


async def swept(
    fetch: pagination.Fetch, walker: Walker, kind: type[Any], *, now: float
) -> dict[str, Any]:
    """Every row of one list, its units cut where they ask for it; by id."""
    found: dict[str, Any] = {}
    context = pagination.RequestContext(fetch, CLOCK)
    waiting = [key for closed in (True, False) for key in list_partitions.sweep(now, closed=closed)]
    while waiting:
        key = waiting.pop()
        try:
            async for page in walker((key,), None, context):
                for row in page.rows_of(kind):
                    found[_name(row)] = row
                assert not page.rows_of(records.Rejected)
        except errors.Retry as problem:
            if not problem.split:
                raise
            waiting += list_partitions.split(key)
    return found


def _name(row: records.Market | records.Event) -> str:
    return row.market_id if isinstance(row, records.Market) else row.event_id


async def test_a_sweep_of_the_sandbox_brings_every_listed_market(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    """Seed 002, api_markets_staging + markets backfill: open and closed both present, page clamp to
    100 handled.
    """
    found = await swept(fetch, gamma.walk_markets, records.Market, now=CLOCK.now())
    truth = sandbox.truth()["markets"]
    assert sum(row.closed for row in found.values()) == truth["gamma_closed"]
    assert sum(not row.closed for row in found.values()) == truth["gamma_open"]
    assert sum(row.protocol_version == "v2" for row in found.values()) == truth["gamma_v2"]
    without = [row for row in found.values() if not row.condition_id]
    assert len(without) == truth["without_condition"]["count"]
    assert any(row.tags for row in found.values())
    assert all(row.resolved or row.closed or row.winning_outcome is None for row in found.values())
    assert any(row.winning_outcome == 1 for row in found.values())


async def test_a_sweep_of_the_sandbox_brings_every_event(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    found = await swept(fetch, gamma.walk_events, records.Event, now=CLOCK.now())
    assert len(found) == sandbox.truth()["events"]["count"]
    assert any(row.tags and row.market_ids for row in found.values())
