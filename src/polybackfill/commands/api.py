"""The client of the API as the settings want it, for a run and for what asks beside one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from polybackfill import clock as clocks
from polybackfill import errors, settings
from polybackfill.commands import context
from polybackfill.polymarket import controls, http, limits
from polybackfill.work import lock


def limits_of(chosen: settings.Settings, clock: clocks.Clock) -> limits.Limits:
    """The budgets of the settings, each as far as this process may spend it."""
    return limits.Limits(context.budgets(chosen), clock=clock, share=chosen.backfill.share)


def base_urls(chosen: settings.Settings) -> dict[str, str]:
    """Where each host of the routes is."""
    backfill = chosen.backfill
    return {"data": backfill.data_url, "gamma": backfill.gamma_url, "clob": backfill.clob_url}


def client_of(
    chosen: settings.Settings,
    within: limits.Limits,
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
        controls=controls.CONTROLS,
        hear_time=clock.hear if isinstance(clock, clocks.SourceClock) else None,
    )


@contextlib.asynccontextmanager
async def client(
    chosen: settings.Settings, clock: clocks.Clock, *, deadline_s: float | None = None
) -> AsyncIterator[http.Client]:
    """A client for a few requests, whether a run is going on or not."""
    made = client_of(chosen, limits_of(chosen, clock), clock, deadline_s=deadline_s)
    try:
        yield made
    finally:
        await made.close()


def spent(chosen: settings.Settings) -> str:
    """Who spends the limits of this address, and the remedy; empty when they are free."""
    runs = lock.holder(chosen.ledger_dir)
    if runs is None or chosen.backfill.share < 1.0:
        return ""
    return (
        f"a run spends the limits of this address ({runs}): wait for its end, or give each its "
        "part with BACKFILL_SHARE, say 0.8 and 0.2"
    )


def require_free(chosen: settings.Settings) -> None:
    """Raise errors.Stop when a run already spends the limits of this address."""
    if told := spent(chosen):
        raise errors.Stop(told, exit_code=errors.EXIT_UNAVAILABLE)
