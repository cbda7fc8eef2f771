"""The facts of the morning report. None stands for what is not known, never for zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from polybackfill import formats
from polybackfill.reports import coverage_figures, error_causes, night_record

_LAG_S = 60.0  # the source is usually some seconds behind the chain
_LATENCY_S = 2.0


@dataclass(frozen=True)
class Drift:
    """What changed in the API. `checked_at`: the newest check of an assumption, epoch seconds.

    `broken`: assumption → what was seen. `held_back`: kinds that were not fetched, with the reason.
    `unknown_fields`: kind → fields of its rows that this program does not know, with their number.
    """

    checked_at: float | None
    broken: dict[str, str] = field(default_factory=dict)
    held_back: dict[str, str] = field(default_factory=dict)
    unknown_fields: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Slowdown:
    """What cost time in the night: where, and how much of it."""

    where: str
    what: str


@dataclass(frozen=True)
class MorningFacts:
    """Everything the report says.

    `at`: when it was made, epoch seconds; `state`: of the run (`run_state.RunState.name`).
    `night`: the last picture of the run, None where no run has left one. `coverage`: the figures of
    the coverage report, None while the store cannot be read, for the reason in `store_trouble`.
    `errors`: None without a checkpoint. `set_aside`: rows in quarantine by reason. `now`, `before`:
    the store after this night and after the one before it. `tonight`: the estimate of the next run.
    """

    at: float
    run: str
    state: str
    night: dict[str, Any] | None
    coverage: coverage_figures.CoverageFigures | None
    store_trouble: str
    errors: list[error_causes.ErrorCause] | None
    set_aside: list[dict[str, Any]] | None
    drift: Drift
    now: night_record.NightRecord | None
    before: night_record.NightRecord | None
    tonight: dict[str, Any] | None

    @property
    def slowdowns(self) -> list[Slowdown] | None:
        """What cost time; None where no run has left a picture."""
        return None if self.night is None else list(_slowdowns(self.night))

    @property
    def units_in_error(self) -> int | None:
        """Units in error now; None without a checkpoint."""
        return None if self.errors is None else sum(cause.units for cause in self.errors)

    @property
    def rows_set_aside(self) -> int | None:
        """Rows in quarantine now; None while the store cannot be read."""
        return None if self.set_aside is None else sum(one["rows"] for one in self.set_aside)


def _slowdowns(night: Mapping[str, Any]) -> Iterator[Slowdown]:
    for kind, part in night["parts"].items():
        if part["stalls"]:
            yield Slowdown(kind, f"{formats.counted(part['stalls'], 'worker')} stalled")
        if part["retries"]:
            yield Slowdown(kind, f"{formats.counted(part['retries'], 'unit')} tried again")
    for route, outcomes in night.get("outcomes", {}).items():
        again, unreadable = outcomes.get("retry", 0), outcomes.get("unreadable", 0)
        if again or unreadable:
            requests = formats.counted(again, "request")
            yield Slowdown(route, f"{requests} sent again, {unreadable:,} responses unreadable")
    for name, budget in night["budgets"].items():
        if text := _describe_budget(budget):
            yield Slowdown(name, text)
    for host, pause in night["pauses"].items():
        if pause["pauses"]:
            yield Slowdown(host, f"asked for {formats.counted(pause['pauses'], 'pause')}")
    lag_s = night.get("source_lag_s")
    if lag_s is not None and lag_s > _LAG_S:
        yield Slowdown("data-api", f"{formats.duration(lag_s)} behind the chain at the end")
    followed = night.get("following")
    if followed and followed["lag_s"] > _LAG_S:
        yield Slowdown("new trades", f"{formats.duration(followed['lag_s'])} late at the end")


def _describe_budget(budget: Mapping[str, Any]) -> str:
    """How the limiter was held back; empty when it was not."""
    pieces = []
    if budget["violations"]:
        pieces.append(f"{formats.counted(budget['violations'], 'request')} over the limit")
    if budget["refusals"] or budget["cuts"]:
        limit = formats.per_second(budget["limit"] / budget["window_s"])
        pieces.append(
            f"{formats.counted(budget['refusals'], 'refusal')}, rate cut {budget['cuts']:,} times, "
            f"{formats.per_second(budget['allowed_per_s'])} of {limit} requests/s at the end"
        )
    latency_s = budget["usual_latency_s"]
    if latency_s is not None and latency_s >= _LATENCY_S:
        pieces.append(f"a response takes {latency_s:.1f} s")
    return "; ".join(pieces)
