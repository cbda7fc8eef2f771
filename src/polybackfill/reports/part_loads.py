"""What each part of a run has done and has left, in requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import request_estimate, running_part, time_left
from polybackfill.kinds import registry
from polybackfill.polymarket import http, rate_limiter
from polybackfill.reports import fetch_rates


class PartLoads:
    """Judges the parts of one run by the units that ended, in it and before."""

    def __init__(
        self,
        parts: Mapping[str, running_part.RunningPart],
        *,
        checkpoint: run_checkpoint.Checkpoint,
        limits: rate_limiter.RateLimiter,
        client: http.Client,
        rates: fetch_rates.FetchRates,
    ) -> None:
        self._parts = parts
        self._checkpoint = checkpoint
        self._limits = limits
        self._answers = client.answers
        self._rates = rates
        self._estimates = {
            kind: request_estimate.RequestEstimate(registry.KINDS[kind]) for kind in parts
        }
        self._pages_per_key = _pages_per_key(checkpoint, parts)

    def unit_ended(self, unit: units.Unit, pages: int) -> None:
        """Learn from a unit that took so many pages."""
        self._estimates[unit.kind].unit_ended(unit, pages)

    def read(
        self, budgets: Mapping[str, Mapping[str, Any]], pages_per_s: Mapping[str, float]
    ) -> dict[str, time_left.Load | None]:
        """By kind; None while nobody knows. `budgets`: `RateLimiter.stats`."""
        return {
            kind: self._load(part, budgets, pages_per_s[kind]) for kind, part in self._parts.items()
        }

    def out_s(self) -> dict[str, float]:
        """Routes of the parts that have work and only fail: for how many seconds."""
        routes = [part.route for part in self._parts.values() if part.has_work]
        return {
            route.name: round(out_s, 1) for route in routes if (out_s := self._answers.out_s(route))
        }

    def _load(
        self,
        part: running_part.RunningPart,
        budgets: Mapping[str, Mapping[str, Any]],
        pages_per_s: float,
    ) -> time_left.Load | None:
        kind, known, stats = part.queue.kind, part.source.known, part.queue.stats()
        estimate, backlog = self._estimates[kind], self._remaining_work(part)
        leased = [lease.unit for lease in part.queue.leases()]
        longest = max(
            (estimate.of_unit(unit, self._checkpoint.pages(unit)) for unit in leased), default=0.0
        )
        left = estimate.left(backlog)
        before = known.done_before - known.again + stats["skipped_done"]
        done = estimate.pages + sum(pages for _, pages in backlog.begun)
        if part.queue.complete:
            longest, left = 0.0, 0.0
        elif not part.source.counted:
            return None
        narrow = part.route.budgets[0]
        rate_per_s = self._rates.expected_per_s(
            kind, float(budgets[narrow]["allowed_per_s"]), pages_per_s
        )
        if left and (rate_per_s <= 0 or self._answers.out_s(part.route)):
            return None
        return time_left.Load(
            done=done + max(0, before) * self._pages_per_key[kind],
            left=left,
            rate_per_s=rate_per_s,
            budgets=part.route.budgets,
            chain_s=longest * (self._limits.latency_s(narrow) or 0.0),
            is_known=part.queue.complete or estimate.is_known(backlog),
            is_behind=part.source.is_behind,
        )

    def _remaining_work(self, part: running_part.RunningPart) -> request_estimate.RemainingWork:
        pages, known = self._checkpoint.pages, part.source.known
        leased = [lease.unit for lease in part.queue.leases()]
        waiting = [(unit, pages(unit)) for unit in part.queue.waiting_units()]
        begun = [(unit, pages(unit)) for unit in leased] + [each for each in waiting if each[1]]
        fresh = [unit for unit, count in waiting if not count]
        return request_estimate.RemainingWork(begun, fresh, known.requests, known.unsized)


def _pages_per_key(
    checkpoint: run_checkpoint.Checkpoint, kinds_of_run: Iterable[str]
) -> dict[str, float]:
    """What a key took in earlier runs; where there was none, its part of a request."""
    totals = checkpoint.totals()
    return {
        kind: totals[kind].pages / totals[kind].keys
        if kind in totals and totals[kind].keys
        else 1 / registry.KINDS[kind].keys_per_request
        for kind in kinds_of_run
    }
