"""What `/metrics` says, read by the official parsers."""

from __future__ import annotations

import re
import time

import pytest
from prometheus_client import Metric, parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from tests.unit.monitoring import conftest

from polybackfill.monitoring import metric_list, metrics, run_facts

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scrape(**changed: object) -> list[Metric]:
    """The families of a run's picture."""
    facts = run_facts.read_facts(conftest.picture(**changed))
    body, _ = metrics.render_metrics(facts, "")
    return list(parser.text_string_to_metric_families(body.decode()))


def samples(name: str, **changed: object) -> dict[tuple[str, ...], float]:
    """The samples of one metric by their label values, in the order in which it names them."""
    (metric,) = (metric for metric in metric_list.METRICS if metric.name == name)
    return {
        tuple(sample.labels[label] for label in metric.labels): sample.value
        for family in scrape(**changed)
        for sample in family.samples
        if sample.name == f"polybackfill_{name}"
    }


def test_every_metric_is_there_with_its_type_and_its_meaning() -> None:
    families = {family.name: family for family in scrape(stop_at=1_795_960_000.0)}
    for metric in metric_list.METRICS:
        family = families.pop(f"polybackfill_{metric.name}".removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert family.samples, f"{metric.name} shows nothing of a run that has everything"
        assert {frozenset(sample.labels) for sample in family.samples} == {frozenset(metric.labels)}
    assert families == {}


def test_names_say_units_and_counters_end_in_total() -> None:
    unitless = {
        "run_state",
        "waiting",
        "part_keys",
        "part_complete",
        "part_requests_left",
        "part_held_back",
        "workers",
        "workers_busy",
        "unknown_fields",
    }
    suffix = re.compile(
        r".*_(seconds|bytes|ratio|rows|requests|requests_per_second|requests_in_flight|total)$"
    )
    for metric in metric_list.METRICS:
        assert metric.name in unitless or suffix.match(metric.name), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert len({metric.name for metric in metric_list.METRICS}) == len(metric_list.METRICS)


def test_the_figures_are_those_of_the_run() -> None:
    assert samples("pages_total")[("wallets",)] == 4_321
    assert samples("rows_total")[("external_trades_landing",)] == 123_456
    keys = samples("part_keys")
    assert [keys["wallets", state] for state in ("done", "error", "open", "missing")] == [
        600,
        2,
        8,
        390,
    ]
    assert samples("budget_used_ratio")[("/v2/trades",)] == 0.98
    assert samples("disk_free_bytes") == {("data",): 9_000_000_000}
    assert samples("requests_total")["/v2/trades", "retry"] == 7
    assert samples("source_lag_seconds") == {(): 3.5}
    assert samples("following_lag_seconds") == {(): 7.8}
    assert samples("following_gap_seconds") == {(): 60}
    states = samples("run_state")
    assert states.pop(("running",)) == 1.0
    assert set(states.values()) == {0.0}


def test_what_nobody_can_tell_has_no_sample() -> None:
    unknown = {kind: conftest.part(eta_s=None, requests_left=None) for kind in ("wallets",)}
    assert samples("time_left_seconds", eta_s=None) == {}
    assert samples("part_time_left_seconds", parts=unknown) == {}
    assert samples("proven_ratio", share=None) == {}
    uncounted = {"wallets": conftest.part(share=None)}
    assert samples("part_ended_ratio", parts=uncounted) == {}
    assert samples("disk_free_bytes", machine=None) == {}
    assert samples("resident_memory_bytes", machine=None) == {}


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("working", "working"),
        ("back-off", "backoff"),
        ("pause data 12 s", "pause"),
        ("data to answer again", "host"),
        ("something that a later version waits for", "other"),
    ],
)
def test_a_wait_has_a_label_of_a_few_words(reason: str, label: str) -> None:
    assert metric_list.name_wait(reason) == label


def test_waits_of_the_same_word_are_added() -> None:
    waits = {"pause data 12 s": 2, "pause data 11 s": 3, "queue": 1}
    parts = {"wallets": conftest.part(waits=waits)}
    assert samples("workers", parts=parts) == {("wallets", "pause"): 5, ("wallets", "queue"): 1}


def test_the_number_of_series_does_not_grow_with_the_work() -> None:
    def count(keys: int) -> int:
        parts = {"wallets": conftest.part(units=keys, done=keys - 10, pages=keys * 3)}
        return sum(len(family.samples) for family in scrape(parts=parts))

    assert count(100) == count(3_000_000)


def test_openmetrics_is_sent_to_who_prefers_it() -> None:
    facts = run_facts.read_facts(conftest.picture())
    body, content_type = metrics.render_metrics(facts, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    families = list(openmetrics_parser.text_string_to_metric_families(body.decode()))
    assert len(families) == len(metric_list.METRICS)


def test_before_the_first_facts_there_is_no_metric() -> None:
    body, _ = metrics.render_metrics(None, "")
    assert body == b""


def test_a_scrape_takes_less_than_ten_milliseconds() -> None:
    """With every part and 64 workers in each; the best of some, since the machine is shared."""
    waits = {"working": 20, "limit": 30, "queue": 4} | {f"pause data {n} s": 1 for n in range(10)}
    busy = {kind: conftest.part(workers=64, waits=waits) for kind in conftest.picture()["parts"]}
    facts = run_facts.read_facts(conftest.picture(parts=busy))

    def took_s() -> float:
        began = time.process_time()
        metrics.render_metrics(facts, OPENMETRICS)
        return time.process_time() - began

    assert min(took_s() for _ in range(20)) < 0.010
