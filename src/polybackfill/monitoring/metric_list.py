"""The list of the metrics of a run, each with what of its facts it shows.

Labels take their values from lists that the program itself ends: parts, tables, budgets, hosts,
routes, disks and the words below. A wallet or a market is never one, so the number of series stays.
A figure that nobody can tell at the moment has no sample, which is not the same as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from polybackfill.monitoring import run_facts

PREFIX = "polybackfill_"
STATES = ("starting", "running", "draining", "finishing", "finished", "stopped", "failed")
# What workers wait for (`worker_progress`): a reason that begins or ends so, and its label.
_REASONS = (
    ("working", "working"),
    ("queue", "queue"),
    ("limit", "limit"),
    ("pace", "pace"),
    ("pause ", "pause"),
    ("back-off", "backoff"),
    ("store", "store"),
    ("lag", "source_lag"),
)
_HOST_SUFFIX = " to answer again"

Sample = tuple[tuple[str, ...], float | None]
Read = Callable[[run_facts.RunFacts], Iterable[Sample]]


@dataclass(frozen=True)
class Metric:
    """One metric. `read`: its samples, label values before the value; None: no sample now."""

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    labels: tuple[str, ...]
    read: Read


def _one(value: Callable[[run_facts.RunFacts], float | None]) -> Read:
    return lambda facts: [((), value(facts))]


def _parts(value: Callable[[run_facts.PartFacts], float | None]) -> Read:
    return lambda facts: [((kind,), value(part)) for kind, part in facts.parts.items()]


def _budgets(value: Callable[[run_facts.BudgetFacts], float | None]) -> Read:
    return lambda facts: [((name,), value(budget)) for name, budget in facts.budgets.items()]


def _machine(value: Callable[[run_facts.MachineFacts], float | None]) -> Read:
    return lambda facts: [((), None if facts.machine is None else value(facts.machine))]


def _disks(value: Callable[[run_facts.DiskFacts], float]) -> Read:
    return lambda facts: (
        [((name,), value(disk)) for name, disk in facts.machine.disks.items()]
        if facts.machine is not None
        else []
    )


def _keys(facts: run_facts.RunFacts) -> Iterator[Sample]:
    for kind, part in facts.parts.items():
        missing = max(0, part.units - part.done - part.error - part.open)
        states = {"done": part.done, "error": part.error, "open": part.open, "missing": missing}
        yield from (((kind, state), count) for state, count in states.items())


def _workers(facts: run_facts.RunFacts) -> Iterator[Sample]:
    for kind, part in facts.parts.items():
        counts: dict[str, int] = {}
        for reason, count in part.waits.items():
            label = name_wait(reason)
            counts[label] = counts.get(label, 0) + count
        yield from (((kind, label), count) for label, count in counts.items())


def name_wait(reason: str) -> str:
    """The label of what a worker waits for: one of a few words, whatever stands in the reason."""
    if reason.endswith(_HOST_SUFFIX):
        return "host"
    return next((label for prefix, label in _REASONS if reason.startswith(prefix)), "other")


METRICS: tuple[Metric, ...] = (
    Metric(
        "run_state",
        "gauge",
        "1 for the state that the run is in, 0 for the others.",
        ("state",),
        lambda facts: [((state,), float(facts.state == state)) for state in STATES],
    ),
    Metric(
        "run_start_timestamp_seconds",
        "gauge",
        "When the run began, since the epoch.",
        (),
        _one(lambda facts: facts.started_at),
    ),
    Metric(
        "run_stop_timestamp_seconds",
        "gauge",
        "When `--until` will stop the run, since the epoch; absent without it.",
        (),
        _one(lambda facts: facts.stop_at),
    ),
    Metric(
        "facts_timestamp_seconds",
        "gauge",
        "When these figures were taken, since the epoch; once a second.",
        (),
        _one(lambda facts: facts.now),
    ),
    Metric(
        "no_progress_seconds",
        "gauge",
        "Since the last page or acknowledged insert.",
        (),
        _one(lambda facts: facts.still_s),
    ),
    Metric(
        "waiting",
        "gauge",
        "1 while the run waits for something outside: a limit, a host, the store.",
        (),
        _one(lambda facts: float(facts.waiting_for is not None)),
    ),
    Metric(
        "proven_ratio",
        "gauge",
        "Share of the run's work that is proven, 0 to 1: of its requests those that are over, less "
        "the share of its keys that ended in error; absent until every part was counted.",
        (),
        _one(lambda facts: facts.proven_share),
    ),
    Metric(
        "time_left_seconds",
        "gauge",
        "Until the run ends; absent while nobody can tell.",
        (),
        _one(lambda facts: facts.eta_s),
    ),
    Metric(
        "part_keys",
        "gauge",
        "Keys (wallets, conditions, spans of a list) by what is known of them: done (proven), "
        "error, open (a worker has them) or missing.",
        ("part", "state"),
        _keys,
    ),
    Metric(
        "part_ended_ratio",
        "gauge",
        "Share of the part's keys that are done or in error, 0 to 1; absent until they were "
        "counted.",
        ("part",),
        _parts(lambda part: part.share),
    ),
    Metric(
        "part_complete",
        "gauge",
        "1 when the part has nothing left to do.",
        ("part",),
        _parts(lambda part: float(part.complete)),
    ),
    Metric(
        "part_time_left_seconds",
        "gauge",
        "Until the part alone would end; absent while nobody can tell.",
        ("part",),
        _parts(lambda part: part.eta_s),
    ),
    Metric(
        "part_requests_left",
        "gauge",
        "Requests that the part still needs; absent while nobody can tell.",
        ("part",),
        _parts(lambda part: part.requests_left),
    ),
    Metric(
        "pages_total",
        "counter",
        "Pages that were fetched and understood.",
        ("part",),
        _parts(lambda part: part.pages),
    ),
    Metric(
        "retries_total",
        "counter",
        "Units that were given back to be tried again later.",
        ("part",),
        _parts(lambda part: part.retries),
    ),
    Metric(
        "stalls_total",
        "counter",
        "Workers that made no progress and were replaced.",
        ("part",),
        _parts(lambda part: part.stalls),
    ),
    Metric(
        "workers",
        "gauge",
        "Workers by what they do: working, or what they wait for (queue, limit, pace, pause, "
        "backoff, host, store, source_lag, other).",
        ("part", "activity"),
        _workers,
    ),
    Metric(
        "workers_busy",
        "gauge",
        "Workers that hold a unit.",
        ("part",),
        _parts(lambda part: part.busy),
    ),
    Metric(
        "worker_idle_seconds",
        "gauge",
        "The longest time that a worker of the part has shown nothing; declared waits not counted.",
        ("part",),
        _parts(lambda part: part.longest_idle_s),
    ),
    Metric(
        "set_aside_rows",
        "gauge",
        "Rows in quarantine, those of earlier runs included.",
        ("part",),
        _parts(lambda part: part.set_aside),
    ),
    Metric(
        "unknown_fields",
        "gauge",
        "Different fields that the source sends and this program does not know: it has changed.",
        ("part",),
        _parts(lambda part: len(part.unknown_fields)),
    ),
    Metric(
        "part_held_back",
        "gauge",
        "1 for a part that is not fetched since the API has changed (docs/probe.md).",
        ("part",),
        lambda facts: [((kind,), 1.0) for kind in facts.held_back],
    ),
    Metric(
        "rows_total",
        "counter",
        "Rows that the store has acknowledged.",
        ("table",),
        lambda facts: [((table,), count) for table, count in facts.rows.items()],
    ),
    Metric(
        "refused_rows_total",
        "counter",
        "Rows that the store refused.",
        (),
        _one(lambda facts: facts.refused_rows),
    ),
    Metric(
        "buffer_rows",
        "gauge",
        "Rows that were fetched and wait for an insert.",
        (),
        _one(lambda facts: facts.batch.rows),
    ),
    Metric(
        "buffer_bytes",
        "gauge",
        "Bytes of the rows that wait for an insert.",
        (),
        _one(lambda facts: facts.batch.bytes),
    ),
    Metric(
        "insert_lag_seconds",
        "gauge",
        "How long the oldest row that was fetched has waited for an insert.",
        (),
        _one(lambda facts: facts.batch.age_s),
    ),
    Metric(
        "store_wait_seconds",
        "gauge",
        "How long the present insert has waited for the store; 0 between inserts.",
        (),
        _one(lambda facts: facts.store_wait_s),
    ),
    Metric(
        "budget_limit_requests",
        "gauge",
        "Requests that the budget allows in one window.",
        ("budget",),
        _budgets(lambda budget: budget.limit),
    ),
    Metric(
        "budget_window_seconds",
        "gauge",
        "Length of the budget's sliding window.",
        ("budget",),
        _budgets(lambda budget: budget.window_s),
    ),
    Metric(
        "budget_used_ratio",
        "gauge",
        "Requests sent in the last window, of the limit: 1 is at the limit, above 1 is over it.",
        ("budget",),
        _budgets(lambda budget: budget.utilisation),
    ),
    Metric(
        "budget_allowed_requests_per_second",
        "gauge",
        "Rate that congestion control allows at present.",
        ("budget",),
        _budgets(lambda budget: budget.allowed_per_s),
    ),
    Metric(
        "budget_requests_total",
        "counter",
        "Requests sent. A request counts in each budget of its route, the narrow and the wide.",
        ("budget",),
        _budgets(lambda budget: budget.sent),
    ),
    Metric(
        "budget_requests_in_flight",
        "gauge",
        "Requests that were sent and not answered.",
        ("budget",),
        _budgets(lambda budget: budget.in_flight),
    ),
    Metric(
        "budget_latency_seconds",
        "gauge",
        "What an answer usually takes; absent before the first few.",
        ("budget",),
        _budgets(lambda budget: budget.usual_latency_s),
    ),
    Metric(
        "budget_refusals_total",
        "counter",
        "Requests that the server refused as too many (429).",
        ("budget",),
        _budgets(lambda budget: budget.refusals),
    ),
    Metric(
        "budget_violations_total",
        "counter",
        "Requests that left while the window was full: it must stay 0.",
        ("budget",),
        _budgets(lambda budget: budget.violations),
    ),
    Metric(
        "budget_cuts_total",
        "counter",
        "How often the rate was lowered, after a refusal or slower answers.",
        ("budget",),
        _budgets(lambda budget: budget.cuts),
    ),
    Metric(
        "host_pauses_total",
        "counter",
        "Pauses that the host asked for.",
        ("host",),
        lambda facts: [((host,), pause.pauses) for host, pause in facts.pauses.items()],
    ),
    Metric(
        "host_pause_seconds",
        "gauge",
        "Left of the host's present pause.",
        ("host",),
        lambda facts: [((host,), pause.left_s) for host, pause in facts.pauses.items()],
    ),
    Metric(
        "route_out_seconds",
        "gauge",
        "How long a route with work has answered nothing; absent while it answers.",
        ("route",),
        lambda facts: [((route,), out_s) for route, out_s in facts.out.items()],
    ),
    Metric(
        "requests_total",
        "counter",
        "Requests by how they ended: response, retry (asked again), give_up (refused for good), "
        "stop (the run ends). A response that made no sense counts as unreadable, too.",
        ("route", "outcome"),
        lambda facts: [
            ((route, outcome), count)
            for route, outcomes in facts.outcomes.items()
            for outcome, count in outcomes.items()
        ],
    ),
    Metric(
        "source_lag_seconds",
        "gauge",
        "How far the Data API was behind the chain when a unit last asked, at most once a minute; "
        "absent before.",
        (),
        _one(lambda facts: facts.source_lag_s),
    ),
    Metric(
        "following_lag_seconds",
        "gauge",
        "How far the stored trades lie behind now while the run follows; absent when it does not.",
        (),
        _one(lambda facts: facts.following.lag_s if facts.following else None),
    ),
    Metric(
        "following_gap_seconds",
        "gauge",
        "How many seconds since it first followed are not proven; absent when it does not follow.",
        (),
        _one(lambda facts: facts.following.gap_s if facts.following else None),
    ),
    Metric(
        "checkpoint_age_seconds",
        "gauge",
        "Since the checkpoint was last written.",
        (),
        _machine(lambda machine: machine.checkpoint_age_s),
    ),
    Metric(
        "resident_memory_bytes",
        "gauge",
        "Memory of the program, without the embedded store's process.",
        (),
        _machine(lambda machine: machine.memory_bytes),
    ),
    Metric(
        "disk_free_bytes",
        "gauge",
        "Room on the disk of the data, and of the checkpoint.",
        ("disk",),
        _disks(lambda disk: disk.free_bytes),
    ),
    Metric(
        "disk_stop_below_bytes",
        "gauge",
        "A run stops cleanly when less than this is free.",
        ("disk",),
        _disks(lambda disk: disk.stop_below_bytes),
    ),
)
