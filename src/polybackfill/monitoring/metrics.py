"""The metrics of a run, made of its facts when somebody asks: nothing is counted a second time."""

from __future__ import annotations

from collections.abc import Iterator

import prometheus_client
from prometheus_client import core, exposition, registry

from polybackfill.monitoring import metric_list, run_facts


class _RunCollector(registry.Collector):
    """All metrics of one moment, in the form of the official library."""

    def __init__(self, facts: run_facts.RunFacts | None) -> None:
        self._facts = facts

    def collect(self) -> Iterator[core.Metric]:
        if self._facts is None:
            return
        for metric in metric_list.METRICS:
            family = _family(metric)
            for labels, value in metric.read(self._facts):
                if value is not None:
                    family.add_metric(labels, value)
            yield family


def _family(metric: metric_list.Metric) -> core.GaugeMetricFamily | core.CounterMetricFamily:
    family = core.GaugeMetricFamily if metric.kind == "gauge" else core.CounterMetricFamily
    return family(f"{metric_list.PREFIX}{metric.name}", metric.meaning, labels=metric.labels)


def render_metrics(facts: run_facts.RunFacts | None, accept: str) -> tuple[bytes, str]:
    """The metrics and their content type, in the form that `accept` (a header) prefers.

    Before the first facts there are none: a run that starts has nothing to say about itself.
    """
    encode, content_type = exposition.choose_encoder(accept)
    collected = prometheus_client.CollectorRegistry(auto_describe=False)
    collected.register(_RunCollector(facts))
    return encode(collected), content_type
