"""A client of the API for commands that ask it beside or after a run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from polybackfill import clock as clocks
from polybackfill import errors, settings
from polybackfill.commands import context
from polybackfill.polymarket import http, limits
from polybackfill.work import lock


@contextlib.asynccontextmanager
async def client(chosen: settings.Settings, clock: clocks.Clock) -> AsyncIterator[http.Client]:
    """Ask the hosts of the settings, inside the published limits.

    Raises errors.Stop when a run already spends the limits of this address.
    """
    backfill = chosen.backfill
    runs = lock.holder(chosen.ledger_dir)
    if runs is not None and backfill.share == 1.0:
        raise errors.Stop(
            f"a run spends the limits of this address ({runs}): wait for its end, or give each its "
            "part with BACKFILL_SHARE, say 0.8 and 0.2",
            exit_code=errors.EXIT_UNAVAILABLE,
        )
    hosts = {"data": backfill.data_url, "gamma": backfill.gamma_url, "clob": backfill.clob_url}
    made = http.Client(
        base_urls=hosts,
        limits=limits.Limits(context.budgets(chosen), clock=clock, share=backfill.share),
        clock=clock,
        deadline_s=backfill.request_deadline_s,
        refusal_pause_s=backfill.host_pause_s,
    )
    try:
        yield made
    finally:
        await made.close()
