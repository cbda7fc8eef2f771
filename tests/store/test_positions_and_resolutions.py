"""Positions and resolutions of a whole universe, from its routes into their tables."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest
import pytest_asyncio
from tests import harness

from polybackfill import clocks, records, worker_progress
from polybackfill.kinds import positions, resolutions
from polybackfill.polymarket import endpoints, http, pagination, rate_limiter
from polybackfill.store import client

CLOCK = clocks.SystemClock()
POSITIONS = """
SELECT wallet_address, condition_id, outcome, asset_id, size, status FROM api_positions_staging
"""
RESOLUTIONS = "SELECT condition_id, payouts FROM api_resolutions WHERE status = 'resolved'"


@pytest.fixture(scope="module")
def universe() -> Iterator[harness.Sandbox]:
    """Large enough for positions below the default dust floor."""
    with harness.sandbox(trades=20_000, wallets=200, markets=150) as running:
        yield running


@pytest_asyncio.fixture
async def fetch(universe: harness.Sandbox) -> AsyncIterator[pagination.Fetch]:
    budgets = {name: endpoints.Budget(1_000_000) for name in endpoints.PUBLISHED}
    asker = http.Client(
        base_urls={"data": f"{universe.url}/data"},
        limits=rate_limiter.RateLimiter(budgets, clock=CLOCK),
        clock=CLOCK,
    )

    async def ask(feed: pagination.FeedQuery, cursor: str | None) -> http.Response:
        return await asker.get(
            feed.route, feed.request_params(cursor), worker_progress.Progress(CLOCK)
        )

    yield ask
    await asker.close()


Walk = Callable[..., AsyncIterator[pagination.Page]]


async def load(
    store: client.Store,
    table: str,
    walks: Walk,
    fetch: pagination.Fetch,
    units: Sequence[Sequence[str]],
) -> int:
    """Read all units into the table, rows in the order of their pages; how many were delivered."""
    lines: list[bytes] = []
    delivered = 0
    context = pagination.RequestContext(fetch, CLOCK)
    for keys in units:
        async for page in walks(tuple(keys), None, context):
            assert not page.rows_of(records.Rejected)
            delivered += page.fetched_rows
            lines += [records.encode_lines(rows) for rows in page.rows if rows]
    content = b"".join(lines)
    await store.insert(table, content, rows=content.count(b"\n"))
    return delivered


def digest(lines: list[str]) -> dict[str, object]:
    """As the sandbox's truth describes it."""
    heads = (hashlib.md5(line.encode(), usedforsecurity=False).digest()[:8] for line in lines)
    total = sum(int.from_bytes(head, "big") for head in heads)
    return {"count": len(lines), "digest": str(total % 2**64)}


async def position_lines(store: client.Store) -> list[str]:
    rows = await store.rows(POSITIONS)
    return [
        "|".join(
            (
                row["wallet_address"],
                row["condition_id"],
                str(999 if row["outcome"] == records.UNKNOWN_OUTCOME else row["outcome"]),
                row["asset_id"],
                "CLOSED" if row["status"] == "CLOSED" else "OPEN",
                str(round(row["size"] * 1e6)),
            )
        )
        for row in rows
    ]


async def test_positions_equal_the_truth_however_often_they_are_read(
    universe: harness.Sandbox, fetch: pagination.Fetch, migrated: client.Store
) -> None:
    """Seed 002, api_positions_staging + wallet backfill: all pages per wallet; dust included; a
    re-run replaces, does not add; several conditions with the same outcome kept.
    """
    truth = universe.ask("truth")["positions"]
    expected = {name: truth[name] for name in ("count", "digest")}
    assert truth["count"] > truth["open"] + truth["closed"], "dust and archived ones are there"
    units = [(wallet.removeprefix("0x"),) for wallet in universe.wallets]
    for _ in range(2):
        table = "api_positions_landing"
        await load(migrated, table, positions.walk_unit, fetch, units)
        assert digest(await position_lines(migrated)) == expected
    (dust,) = await migrated.rows(
        "SELECT count() AS n FROM api_positions_staging WHERE size > 0 AND size < 0.1"
    )
    assert dust["n"] > 0
    (odd,) = await migrated.rows(
        "SELECT countIf(entry_price = 0) AS unpriced, min(timestamp) > 0 AS timed, "
        "uniqExact(wallet_address, condition_id, outcome) = count() AS once, "
        "uniqExact(wallet_address, outcome) < count() AS several FROM api_positions_staging"
    )
    assert odd == {"unpriced": 0, "timed": 1, "once": 1, "several": 1}


async def test_resolutions_equal_the_truth_however_often_they_are_read(
    universe: harness.Sandbox, fetch: pagination.Fetch, migrated: client.Store
) -> None:
    """Seed 004, P&L contract: fractional payouts; a market that is open is known to be open."""
    listed = {row["condition_id"] for row in universe.lines("markets")} - {None, ""}
    keys = sorted(key.removeprefix("0x") for key in listed)
    units = [keys[start : start + 20] for start in range(0, len(keys), 20)]
    truth = universe.ask("truth")["resolutions"]
    for _ in range(2):
        table = "api_resolution_rows"
        delivered = await load(migrated, table, resolutions.walk_unit, fetch, units)
        assert delivered >= len(keys)
        rows = await migrated.rows(RESOLUTIONS)
        lines = [
            f"{row['condition_id']}|{','.join(str(round(paid * 1e6)) for paid in row['payouts'])}"
            for row in rows
        ]
        assert digest(lines) == {name: truth[name] for name in ("count", "digest")}
    (known,) = await migrated.rows("SELECT count() AS n FROM api_resolutions")
    assert known["n"] == len(keys)
