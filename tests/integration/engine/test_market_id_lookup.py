"""A lookup against the sandbox: batches, workers, outages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests import harness

from polybackfill import clocks, errors
from polybackfill.engine import market_id_lookup
from polybackfill.inputs import lookup_results
from polybackfill.polymarket import endpoints, gamma_queries, http, rate_limiter, retry


@pytest_asyncio.fixture
async def client(sandbox: harness.Sandbox) -> AsyncIterator[http.Client]:
    made = client_of(f"{sandbox.url}/gamma")
    yield made
    await made.close()


def client_of(url: str) -> http.Client:
    clock = clocks.SystemClock()
    return http.Client(
        base_urls={"gamma": url},
        limits=rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock),
        clock=clock,
        deadline_s=2.0,
    )


def search(
    conditions: list[str],
    client: http.Client,
    folder: Path,
    *,
    spacing_s: float = 0.0,
    page_attempts: int = 3,
    **changes: int,
) -> market_id_lookup.MarketIdLookup:
    chosen = {"workers": 5, "batch": 40} | changes
    clock = clocks.SystemClock()
    return market_id_lookup.MarketIdLookup(
        {condition.removeprefix("0x"): () for condition in conditions},
        client=client,
        book=lookup_results.ResultsFile(folder),
        spacing_s=spacing_s,
        retries=retry.PageRetries(page_attempts, clock, random.Random(1), backoff_cap_s=0.05),
        clock=clock,
        **chosen,
    )


def requests(sandbox: harness.Sandbox) -> int:
    return int(sandbox.ask("stats")["routes"].get("markets", {"requests": 0})["requests"])


async def test_many_who_wait_for_one_condition_share_its_request(
    sandbox: harness.Sandbox, client: http.Client, tmp_path: Path
) -> None:
    """Seed 004, ingestion resolver: concurrent misses cause one request."""
    twice = sandbox.conditions * 2
    tally = await search(twice, client, tmp_path, workers=8, batch=10).run()
    asked = len(set(twice))
    assert tally.requested == asked == tally.matched + tally.missed
    assert requests(sandbox) == tally.requests
    # Every condition once among the closed markets; the rest, packed anew, among the open ones.
    assert tally.requests <= -(-asked // 10) + asked // 10 + 8
    hits = lookup_results.read(tmp_path / lookup_results.RESULTS)
    assert hits.repeated == 0


async def test_five_workers_keep_their_spacing_and_the_limit(
    sandbox: harness.Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Seed 004, market-id resolver: 5 workers, spacing configurable, observed rate below limit."""
    conditions = [f"{number:064x}" for number in range(30)]  # in no list: asked open and closed
    budget = endpoints.Budget(40, window_s=2.0)
    spaced_s, bound_s = await asyncio.gather(
        *(
            timed(sandbox, conditions, tmp_path_factory.mktemp(name), budget, spacing_s)
            for name, budget, spacing_s in (
                ("spaced", endpoints.Budget(10_000), 0.3),
                ("bound", budget, 0.0),
            )
        )
    )
    assert spaced_s > (len(conditions) / 5 - 1) * 0.3
    assert 2 * len(conditions) / bound_s < 1.1 * budget.requests / budget.window_s


async def timed(
    sandbox: harness.Sandbox,
    conditions: list[str],
    folder: Path,
    budget: endpoints.Budget,
    spacing_s: float,
) -> float:
    """Seconds that five workers take for conditions that no list knows, one a request."""
    clock = clocks.SystemClock()
    client = http.Client(
        base_urls={"gamma": f"{sandbox.url}/gamma"},
        limits=rate_limiter.RateLimiter(
            {**endpoints.PUBLISHED, "gamma/markets": budget, "gamma/listings": budget}, clock=clock
        ),
        clock=clock,
    )
    began_at = clock.monotonic()
    tally = await search(conditions, client, folder, batch=1, spacing_s=spacing_s).run()
    await client.close()
    assert tally.reasons == {"market_id_not_found": len(conditions)}
    return clock.monotonic() - began_at


async def test_a_misspelt_filter_is_found_out(
    sandbox: harness.Sandbox,
    client: http.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seed 004, market-id resolver: misspelt parameter simulation is detected. Gamma ignores the
    name and answers with the first markets of its list.
    """
    monkeypatch.setattr(gamma_queries, "CONDITION_FILTER", "condition_id")
    real, invented = sandbox.conditions[:5], [f"{number:064x}" for number in range(5)]
    tally = await search([*real, *invented], client, tmp_path).run()
    told = lookup_results.read(tmp_path / lookup_results.RESULTS)
    assert tally.foreign > 0
    # What happens to stand on the first page names itself; nobody else is mapped to it.
    assert tally.matched == len(told.hits) <= 5
    assert set(told.hits) <= {condition.removeprefix("0x") for condition in real}
    assert {told.misses[one].reason for one in invented} == {"answer_for_another_condition"}
    assert len({hit.market_id for hit in told.hits.values()}) == len(told.hits)


async def test_a_host_that_answers_nobody_ends_the_lookup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was settled is kept, and the rest is not marked as tried in vain."""
    monkeypatch.setattr(market_id_lookup, "_SILENT_S", 0.0)
    client = client_of("http://127.0.0.1:9")
    conditions = [f"{number:064x}" for number in range(500)]
    try:
        with pytest.raises(errors.Stop, match="Gamma does not answer") as stop:
            await search(conditions, client, tmp_path, page_attempts=1).run()
    finally:
        await client.close()
    assert stop.value.exit_code == errors.EXIT_UNAVAILABLE
    told = lookup_results.read(tmp_path / lookup_results.RESULTS)
    assert 0 < len(told.misses) <= 5 * 40
    assert {miss.reason for miss in told.misses.values()} == {"api_error"}


async def test_timeouts_are_told_from_other_errors(
    sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    sandbox.faults({"kind": "hang", "route": "markets"})
    clock = clocks.SystemClock()
    client = http.Client(
        base_urls={"gamma": f"{sandbox.url}/gamma"},
        limits=rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock),
        clock=clock,
        deadline_s=0.2,
    )
    tally = await search(sandbox.conditions[:5], client, tmp_path, page_attempts=1).run()
    await client.close()
    assert tally.reasons == {"api_timeout": 5}


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    class Stepped(clocks.SystemClock):
        at = 0.0

        def monotonic(self) -> float:
            return self.at

    clock = Stepped()
    rate = market_id_lookup.Rate(clock)
    for second in range(1, 121):
        clock.at = float(second)
        shown = rate.per_s(second * 10 if second < 60 else 600 + (second - 60) * 40)
    assert shown == pytest.approx(40.0, rel=0.05)
