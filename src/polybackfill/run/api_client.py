"""The client of the API as the settings want it, for a run and for what asks beside one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from polybackfill import clocks, redaction, settings, worker_progress
from polybackfill.polymarket import (
    address,
    endpoints,
    http,
    rate_limiter,
    retry,
    route_health,
)
from polybackfill.run import bootstrap


def make_limits(chosen: settings.Settings, clock: clocks.Clock) -> rate_limiter.RateLimiter:
    """The budgets of the settings, each as far as this process may spend it."""
    return rate_limiter.RateLimiter(
        bootstrap.budgets(chosen), clock=clock, share=chosen.backfill.share
    )


def base_urls(chosen: settings.Settings) -> dict[str, redaction.Url]:
    """Where each host of the routes is."""
    backfill = chosen.backfill
    return {"data": backfill.data_url, "gamma": backfill.gamma_url, "clob": backfill.clob_url}


def make_client(
    chosen: settings.Settings,
    within: rate_limiter.RateLimiter,
    clock: clocks.Clock,
    *,
    deadline_s: float | None = None,
) -> http.Client:
    """A client of the hosts of the settings; who asked for it closes it."""
    backfill = chosen.backfill
    return http.Client(
        base_urls=base_urls(chosen),
        limits=within,
        clock=clock,
        deadline_s=backfill.request_deadline_s if deadline_s is None else deadline_s,
        refusal_pause_s=backfill.host_pause_s,
        controls=route_health.CONTROLS,
        hear_time=clock.hear if isinstance(clock, clocks.SourceClock) else None,
        source_address=backfill.source_address,
    )


def page_retries(
    chosen: settings.Settings, clock: clocks.Clock, *, attempts: int | None = None
) -> retry.PageRetries:
    """How often a page is asked for: as the settings say, or `attempts` times."""
    backfill = chosen.backfill
    return retry.PageRetries(
        attempts=backfill.page_attempts if attempts is None else attempts,
        clock=clock,
        rng=random.Random(),  # noqa: S311  (jitter)
        backoff_cap_s=backfill.backoff_cap_s,
    )


@contextlib.asynccontextmanager
async def open_client(
    chosen: settings.Settings,
    clock: clocks.Clock,
    *,
    deadline_s: float | None = None,
    what: str = "a few questions",
    brief: bool = True,
) -> AsyncIterator[http.Client]:
    """A client beside no run. `what`: the command that asks; it is waited for if it is `brief`.

    Raises errors.Stop (exit 75) naming who spends the limits of this address.
    """
    async with hold_limits(chosen, what, brief=brief):
        http_client = make_client(chosen, make_limits(chosen, clock), clock, deadline_s=deadline_s)
        try:
            yield http_client
        finally:
            await http_client.close()


@contextlib.asynccontextmanager
async def open_get(
    chosen: settings.Settings,
    what: str,
    *,
    attempts: int,
    deadline_s: float | None = None,
) -> AsyncIterator[http.Get]:
    """Asks inside the limits, each question so many times while it fails; as `client` otherwise."""
    clock = clocks.SystemClock()
    mark = worker_progress.Progress(clock)
    retries = page_retries(chosen, clock, attempts=attempts)
    async with open_client(chosen, clock, deadline_s=deadline_s, what=what) as http_client:

        async def get(route: endpoints.Route, params: Sequence[tuple[str, str]]) -> http.Response:
            return await retries.run(lambda: http_client.get(route, params, mark), mark)

        yield get


def hosts(chosen: settings.Settings) -> frozenset[str]:
    """Host and port of each API, by which processes that share its limits know each other, and the
    address from which it is asked: each has limits of its own.
    """
    address_of_own = chosen.backfill.source_address
    source = f" from {address_of_own}" if address_of_own else ""
    return frozenset(f"{url.host_and_port}{source}" for url in base_urls(chosen).values())


def hold_limits(
    chosen: settings.Settings, what: str, *, brief: bool = False
) -> contextlib.AbstractAsyncContextManager[None]:
    """Spend this process's share of the limits inside the block; `what`: the command.

    `brief`: a few questions, which others wait for. Raises errors.Stop (exit 75) naming who is in
    the way.
    """
    backfill = chosen.backfill
    return address.spending(
        hosts(chosen), backfill.share, what, run_name=backfill.run_name, brief=brief
    )


def limit_holder(chosen: settings.Settings) -> str:
    """Who spends the limits of this address, and the remedy; empty when they are free."""
    others = address.in_the_way(hosts(chosen), chosen.backfill.share)
    return address.refusal(others) if others else ""
