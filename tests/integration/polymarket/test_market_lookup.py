"""Markets looked up by condition: found wherever they answer, never confused, never lost."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests import harness

from polybackfill import clocks, errors, records
from polybackfill.polymarket import market_lookup, pagination

CLOCK = clocks.SystemClock()
NOBODYS = "ab" * 32


async def looked_up(fetch: pagination.Fetch, *conditions: str) -> list[pagination.Page]:
    context = pagination.RequestContext(fetch, CLOCK)
    return [page async for page in market_lookup.walk_unit(conditions, None, context)]


def markets_of(pages: list[pagination.Page]) -> list[records.Market]:
    return [market for page in pages for market in page.rows_of(records.Market)]


def special(sandbox: harness.Sandbox, name: str) -> str:
    return str(sandbox.ask("universe")["special"][name]).removeprefix("0x")


async def test_open_closed_and_both_versions_are_found_in_one_batch(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    """Seed 004, market-id resolver: accepts only answers whose condition equals the request."""
    asked = [condition.removeprefix("0x") for condition in sandbox.conditions]
    asked = [
        *asked[:36],
        special(sandbox, "market_v2_binary"),
        special(sandbox, "market_v2_neg_risk"),
    ]
    asked = [records.normalise_condition(condition) for condition in dict.fromkeys(asked)]
    pages = await looked_up(fetch, *asked)
    found = markets_of(pages)
    assert {market.condition_id for market in found} == set(asked)
    assert {market.closed for market in found} == {True, False}
    assert {market.protocol_version for market in found} == {"v1", "v2"}
    assert pages[-1].last
    assert pages[-1].resume.ended


async def test_a_market_in_no_list_is_found_by_the_order_book_and_its_slug(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    condition = special(sandbox, "market_unlisted")
    found = markets_of(await looked_up(fetch, condition))
    assert {market.source for market in found} == {"clob", "gamma"}
    assert {market.condition_id for market in found} == {condition}
    assert {market.market_slug for market in found} == {special(sandbox, "slug_unlisted")}
    assert any(market.market_id for market in found)


async def test_a_condition_nobody_knows_is_set_aside_with_the_reason(
    fetch: pagination.Fetch,
) -> None:
    """Seed 004, market-id resolver: misses recorded with reason."""
    pages = await looked_up(fetch, NOBODYS)
    (missing,) = [row for page in pages for row in page.rows_of(records.Rejected)]
    assert missing.reason == market_lookup.UNKNOWN
    assert NOBODYS in missing.raw
    assert pages[-1].last


async def test_an_ignored_filter_is_noticed(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    """Seed 004, market-id resolver: misspelt parameter simulation is detected.

    Asked with a name it does not know, Gamma answers with the first markets of its list.
    """
    condition = sandbox.conditions[0].removeprefix("0x")

    async def misspelt(feed: pagination.FeedQuery, cursor: str | None) -> Any:
        params = [("condition_id" if n == "condition_ids" else n, v) for n, v in feed.params]
        return await fetch(dataclasses.replace(feed, params=tuple(params)), cursor)

    with pytest.raises(errors.Retry, match="another condition"):
        await looked_up(misspelt, condition)


@pytest.mark.parametrize("route", ["clob-market", "market"])
async def test_an_answer_about_another_market_is_no_answer(
    route: str, fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    """Seed 004, market-id resolver: neither a miss nor somebody else's id follows from it."""
    sandbox.faults({"kind": "wrong_rows", "route": route})
    with pytest.raises(errors.Retry, match="another market"):
        await looked_up(fetch, special(sandbox, "market_unlisted"))


async def test_a_batch_the_edge_refuses_is_split(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "403_html", "route": "markets"})
    with pytest.raises(errors.Retry) as caught:
        await looked_up(fetch, NOBODYS, "cd" * 32)
    assert caught.value.split
    with pytest.raises(errors.Retry) as caught:
        await looked_up(fetch, NOBODYS)
    assert not caught.value.split


async def test_an_order_book_that_is_out_loses_nothing(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "500", "route": "clob"})
    with pytest.raises(errors.Retry):
        await looked_up(fetch, special(sandbox, "market_unlisted"))


async def test_too_many_conditions_are_refused(fetch: pagination.Fetch) -> None:
    with pytest.raises(errors.GiveUp, match="at most 40"):
        await looked_up(fetch, *[f"{number:064x}" for number in range(41)])
