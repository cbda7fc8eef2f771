"""The lists together, and lookups of what only one of them knows, are the whole truth."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable

import pytest
from tests import harness
from tests.integration.conftest import fetching

from polybackfill import clocks, errors, records
from polybackfill.kinds import clob
from polybackfill.polymarket import (
    gamma,
    gamma_queries,
    list_partitions,
    market_lookup,
    pagination,
)

CLOCK = clocks.SystemClock()


def digest(lines: Iterable[str]) -> tuple[int, str]:
    """As docs/sandbox.md describes it."""
    heads = [hashlib.md5(line.encode(), usedforsecurity=False).digest()[:8] for line in lines]
    return len(heads), str(sum(int.from_bytes(head, "big") for head in heads) % 2**64)


async def swept(
    pages_of: object, fetch: pagination.Fetch, keys: Iterable[str] = ()
) -> AsyncIterator[pagination.Page]:
    """Every page of a sweep, or of some spans; they are cut where they ask for it."""
    sweep = [
        key for closed in (True, False) for key in list_partitions.sweep(CLOCK.now(), closed=closed)
    ]
    context = pagination.RequestContext(fetch, CLOCK)
    waiting = list(keys) or sweep
    while waiting:
        key = waiting.pop()
        try:
            async for page in pages_of((key,), None, context):  # type: ignore[operator]
                yield page
        except errors.Retry as problem:
            if not problem.split:
                raise
            waiting += list_partitions.split(key)


def line(gamma_row: records.Market | None, book_row: records.Market | None) -> str:
    """One market as the truth tells it: Gamma's word first, the order book's where it has none."""
    known = [row for row in (gamma_row, book_row) if row is not None]
    first = known[0]
    winner = next((r.winning_outcome for r in known if r.winning_outcome is not None), None)
    resolved, closed = (any(getattr(r, n) for r in known) for n in ("resolved", "closed"))
    head = f"{first.condition_id}|{first.market_id}|{first.market_slug}|{closed:d}|{resolved:d}"
    return f"{head}|{'' if winner is None else winner}"


async def test_order_book_gamma_and_lookups_together_equal_the_truth(
    fetch: pagination.Fetch, sandbox: harness.Sandbox
) -> None:
    """Seed 002, api_markets_staging + markets backfill: a full run equals the simulator universe
    exactly.
    """
    by_book: dict[str, records.Market] = {}
    context = pagination.RequestContext(fetch, CLOCK)
    async for page in clob.walk_unit(("clob:0-",), None, context):
        by_book |= {row.condition_id: row for row in page.rows_of(records.Market)}
    by_gamma: dict[str, records.Market] = {}
    nameless: dict[str, records.Market] = {}

    def keep(page: pagination.Page) -> None:
        assert not page.rows_of(records.Rejected)
        for row in page.rows_of(records.Market):
            if not row.condition_id:
                nameless[row.market_id] = row
            elif row.source == "gamma":
                held = by_gamma.get(row.condition_id)
                if held is None or int(held.market_id) <= int(row.market_id):
                    by_gamma[row.condition_id] = row

    async for page in swept(gamma.walk_markets, fetch):
        keep(page)
    missing = tuple(sorted(set(by_book) - set(by_gamma) - {""}))
    assert 0 < len(missing) <= gamma_queries.MAX_CONDITIONS
    async for page in market_lookup.walk_unit(
        missing, None, pagination.RequestContext(fetch, CLOCK)
    ):
        keep(page)

    truth = sandbox.truth()["markets"]
    conditions = set(by_book) - {""} | set(by_gamma)
    lines = [line(by_gamma.get(one), by_book.get(one)) for one in conditions]
    assert digest(lines) == (truth["count"], truth["digest"])
    apart = truth["without_condition"]
    assert digest(line(row, None) for row in nameless.values()) == (apart["count"], apart["digest"])


@pytest.mark.parametrize("fault", ["403_html", "500", "cut_json"])
async def test_cursors_that_trip_the_edge_lose_nothing(fault: str) -> None:
    """Issue, statement 5: a cursor that trips the edge; a list that dies halfway."""
    ever = ("open:1577836800..1893456000", "closed:1577836800..1893456000")  # 2020 to 2030
    with harness.sandbox(trades=6_500, wallets=40, markets=400) as sandbox:
        async with fetching(sandbox) as fetch:
            found = {m.market_id async for m in markets_of(fetch, ever)}
            tripping: dict[str, str] = {}

            async def watched(
                feed: pagination.FeedQuery, cursor: str | None
            ) -> pagination.ResponseBody:
                if cursor is not None and len(tripping) < 2 and cursor not in tripping:
                    tripping[cursor] = fault
                    rule = {"kind": fault, "route": "markets", "match": f"after_cursor={cursor}"}
                    sandbox.ask("faults", rule)
                return await fetch(feed, cursor)

            again = {m.market_id async for m in markets_of(watched, ever)}
            assert len(found) > 390
            assert again == found
            assert sandbox.fired()[fault] >= 2


async def markets_of(fetch: pagination.Fetch, keys: Iterable[str]) -> AsyncIterator[records.Market]:
    async for page in swept(gamma.walk_markets, fetch, keys):
        for row in page.rows_of(records.Market):
            yield row


async def test_events_equal_the_truth(fetch: pagination.Fetch, sandbox: harness.Sandbox) -> None:
    events: dict[str, records.Event] = {}
    async for page in swept(gamma.walk_events, fetch):
        events |= {row.event_id: row for row in page.rows_of(records.Event)}
    lines = [
        f"{e.event_id}|{e.event_slug}|{e.closed:d}|{','.join(sorted(e.market_ids, key=int))}"
        for e in events.values()
    ]
    truth = sandbox.truth()["events"]
    assert digest(lines) == (truth["count"], truth["digest"])
