"""The list of the order book, from the sandbox."""

from __future__ import annotations

from tests import harness
from tests.unit.kinds.test_clob import CLOCK, conditions_of, walked

from polybackfill.kinds import clob
from polybackfill.polymarket import pagination


async def test_the_whole_list_of_the_sandbox_in_one_part(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    """Seed 002, api_markets_staging + markets backfill: equals the simulator's universe exactly."""
    pages = await walked(fetch, "clob:0-")
    truth = sandbox.truth()["markets"]
    conditions = conditions_of(pages)
    assert len(conditions) == truth["clob_rows"]
    assert len({condition for condition in conditions if condition}) == truth["count"]
    assert pages[-1].last
    assert await clob.count_rows(pagination.RequestContext(fetch, CLOCK)) == truth["clob_rows"]
