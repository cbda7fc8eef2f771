"""The facts of a run that the endpoint, the metrics and the alerts stand on.

They are the fields of the run's picture (`reports.snapshot`) that are used here, with their types.
A picture that lacks one, or has another type, is refused at once instead of shown half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class PartFacts(msgspec.Struct, frozen=True):
    """One part. `units`, `done`, `error`, `open` count keys; `waits`: workers by what they do.

    `set_aside`: rows in quarantine; `retries`: units given back. `share`, of the keys those that
    have ended, is None until they are counted; `requests_left` and `eta_s` while nobody can tell.
    """

    units: int
    done: int
    error: int
    open: int
    complete: bool
    share: float | None
    pages: int
    set_aside: int
    retries: int
    requests_left: int | None
    eta_s: float | None
    unknown_fields: dict[str, int]
    workers: int
    busy: int
    waits: dict[str, int]
    longest_idle_s: float
    stalls: int


class BudgetFacts(msgspec.Struct, frozen=True):
    """One budget of the rate limiter. `utilisation`: sent in the last window, of the limit."""

    limit: int
    window_s: float
    allowed_per_s: float
    sent: int
    utilisation: float
    in_flight: int
    usual_latency_s: float | None
    cuts: int
    refusals: int
    violations: int


class PauseFacts(msgspec.Struct, frozen=True):
    """Pauses that one host asked for, and seconds left of the present one."""

    pauses: int
    left_s: float


class BufferFacts(msgspec.Struct, frozen=True):
    """Rows that were fetched and wait for an insert; `age_s`: how long the oldest has waited."""

    rows: int
    bytes: int
    age_s: float


class DiskFacts(msgspec.Struct, frozen=True):
    """Room on one disk; a run stops when less than `stop_below_bytes` is free."""

    free_bytes: int
    stop_below_bytes: int


class MachineFacts(msgspec.Struct, frozen=True):
    """What the process takes of its machine. None: it cannot be told here."""

    memory_bytes: int | None
    checkpoint_age_s: float | None
    disks: dict[str, DiskFacts]


class FollowFacts(msgspec.Struct, frozen=True):
    """How fresh a run that follows is: since when, up to when (epoch seconds), and the gaps."""

    since: int
    fresh_to: int
    lag_s: float
    gaps: list[tuple[int, int]]

    @property
    def gap_s(self) -> int:
        """Seconds that are not proven."""
        return sum(until - since + 1 for since, until in self.gaps)


class RunFacts(msgspec.Struct, frozen=True):
    """A run at the second `now` (epoch). `still_s`: since the last page or acknowledged insert.

    `out`: routes that only fail, with seconds; `held_back`: kinds that are not fetched, and why;
    `outcomes`: requests by route and how they ended; `source_lag_s`: the API behind the chain.
    """

    run: str
    state: str
    still_s: float
    waiting_for: str | None
    started_at: float
    took_s: float
    stop_at: float | None
    now: float
    parts: dict[str, PartFacts]
    share: float | None
    eta_s: float | None
    rows: dict[str, int]
    refused_rows: int
    batch: BufferFacts
    store_wait_s: float
    budgets: dict[str, BudgetFacts]
    pauses: dict[str, PauseFacts]
    out: dict[str, float]
    outcomes: dict[str, dict[str, int]]
    source_lag_s: float | None
    held_back: dict[str, str]
    machine: MachineFacts | None = None
    following: FollowFacts | None = None

    @property
    def units_in_error(self) -> int:
        """Keys of all parts that ended in error."""
        return sum(part.error for part in self.parts.values())

    @property
    def proven_share(self) -> float | None:
        """What is over of the work, less what ended in error; None until every part was counted."""
        keys = sum(part.units for part in self.parts.values())
        if self.share is None or not keys:
            return self.share
        return self.share * (1 - self.units_in_error / keys)

    @property
    def set_aside_rows(self) -> int:
        """Rows that could not be read, or that the store refused."""
        return sum(part.set_aside for part in self.parts.values()) + self.refused_rows


def read_facts(picture: Mapping[str, Any]) -> RunFacts:
    """The facts of a picture. Raises msgspec.ValidationError when it is none."""
    return msgspec.convert(picture, RunFacts)
