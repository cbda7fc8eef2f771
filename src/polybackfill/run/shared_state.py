"""What the stages of a run share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from polybackfill import clocks, settings, units
from polybackfill.engine import running_part, store_writer, systemd_notify
from polybackfill.polymarket import endpoints, http, rate_limiter
from polybackfill.run import (
    api_client,
    bootstrap,
    disk_space,
    paused_parts,
    retry_requests,
    run_context,
    run_request,
)
from polybackfill.store import client


@dataclass(frozen=True)
class Api:
    """How a run asks Polymarket. `budgets`: the limits in force, by name."""

    budgets: Mapping[str, endpoints.Budget]
    limits: rate_limiter.RateLimiter
    client: http.Client


@dataclass(frozen=True)
class SharedState:
    """Made when a run begins; every stage reads it, and `PartBuilder` adds to `parts`.

    `stop` is set to end the run. `parts`: the parts that run, by kind; `paused`: those of them
    that a person has paused; `retries`: units in error that one wants tried again.
    """

    chosen: settings.Settings
    request: run_request.RunRequest
    context: run_context.RunContext
    stop: asyncio.Event
    space: disk_space.Watch
    clock: clocks.Clock
    api: Api
    buffer: store_writer.WriteBuffer
    notifier: systemd_notify.Notifier
    paused: paused_parts.PausedParts
    retries: retry_requests.RetryRequests
    parts: dict[str, running_part.RunningPart] = field(default_factory=dict)

    @property
    def store_to_write(self) -> client.Store | None:
        """None in a dry run, which writes nothing."""
        return None if self.request.dry_run else self.context.store

    @property
    def is_portion(self) -> bool:
        """The run takes some of the open keys, and no others."""
        return self.chosen.backfill.limit is not None or bool(self.chosen.backfill.skip)

    def leased_units(self, kind: str) -> list[units.Unit]:
        """What workers have in hand now."""
        part = self.parts.get(kind)
        return [lease.unit for lease in part.queue.leases()] if part is not None else []

    def silent_route(self) -> str | None:
        """A route of the run that has not answered for half of the bound of no progress."""
        bound_s = self.chosen.backfill.no_progress_s / 2
        routes = [part.route for part in self.parts.values()]
        answers = self.api.client.answers
        silent = [route.name for route in routes if answers.silent_s(route) > bound_s]
        return silent[0] if silent else None


def make_state(
    chosen: settings.Settings,
    request: run_request.RunRequest,
    context: run_context.RunContext,
    stop: asyncio.Event,
    space: disk_space.Watch,
) -> SharedState:
    """The state of a run that begins. Whoever asks for it closes `api.client`."""
    clock = clocks.SourceClock()
    limits = api_client.make_limits(chosen, clock)
    return SharedState(
        chosen=chosen,
        request=request,
        context=context,
        stop=stop,
        space=space,
        clock=clock,
        api=Api(bootstrap.budgets(chosen), limits, api_client.make_client(chosen, limits, clock)),
        buffer=_make_buffer(chosen.backfill, clock),
        notifier=systemd_notify.Notifier.from_environment(),
        paused=paused_parts.PausedParts(chosen),
        retries=retry_requests.RetryRequests(chosen),
    )


def _make_buffer(
    backfill: settings.BackfillSettings, clock: clocks.Clock
) -> store_writer.WriteBuffer:
    return store_writer.WriteBuffer(
        cut_rows=backfill.batch_rows,
        cut_bytes=backfill.batch_bytes,
        cut_age_s=backfill.batch_age_s,
        buffer_bytes=backfill.buffer_bytes,
        clock=clock,
    )
