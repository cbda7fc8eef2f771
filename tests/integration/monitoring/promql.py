"""As much of PromQL as the shipped rules and the dashboard use, over scrapes that a test keeps.

The grammar is that of Prometheus (promql-parser). What it means is written here from its manual
(prometheus.io/docs/prometheus/latest/querying): `rate` and `increase` from the first and the last
sample of their range, without the extrapolation to its edges. Anything else is refused.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import promql_parser
from prometheus_client import parser

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "*": operator.mul,
    "/": lambda left, right: (
        left / right if right else math.copysign(math.inf, left) if left else math.nan
    ),
    "+": operator.add,
    "-": operator.sub,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_SETS = frozenset({"and", "or", "unless"})
_NAME = "__name__"


@dataclass(frozen=True)
class Scrape:
    """What one scrape brought, as Prometheus stores it: with the target's labels, and `up`."""

    at: float
    samples: Vector
    exposition: str | None = None


def make_scrape(at: float, exposition: str | None) -> Scrape:
    """`exposition`: what `/metrics` sent, None when nobody answered."""
    target = {"job": "polybackfill", "instance": "127.0.0.1:9464"}
    up = {_NAME: "up", **target}
    samples: Vector = {frozenset(up.items()): float(exposition is not None)}
    for family in parser.text_string_to_metric_families(exposition or ""):
        for sample in family.samples:
            samples[frozenset({_NAME: sample.name, **sample.labels, **target}.items())] = (
                sample.value
            )
    return Scrape(at, samples, exposition)


def evaluate(query: str, scrapes: list[Scrape]) -> Value:
    """What a query says at the moment of the last scrape. Raises ValueError if it is none."""
    return _evaluate(promql_parser.parse(query), scrapes)


def _evaluate(node: Any, scrapes: list[Scrape]) -> Value:
    match type(node).__name__:
        case "NumberLiteral":
            return float(node.val)
        case "ParenExpr":
            return _evaluate(node.expr, scrapes)
        case "VectorSelector":
            return _select(node, scrapes[-1])
        case "AggregateExpr":
            return _aggregate(node, scrapes)
        case "Call":
            return _call(node, scrapes)
        case "BinaryExpr":
            return _combine(node, _evaluate(node.lhs, scrapes), _evaluate(node.rhs, scrapes))
        case other:
            raise NotImplementedError(other)


def _select(selector: Any, scrape: Scrape) -> Vector:
    assert selector.name
    assert selector.offset is None
    assert selector.at is None
    assert not selector.matchers.or_matchers
    return {
        labels: value
        for labels, value in scrape.samples.items()
        if dict(labels)[_NAME] == selector.name
        and all(_matches(matcher, dict(labels)) for matcher in selector.matchers.matchers)
    }


def _matches(matcher: Any, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    match str(matcher.op).rpartition(".")[2]:
        case "Equal":
            return bool(value == matcher.value)
        case "NotEqual":
            return bool(value != matcher.value)
        case "Re":
            return re.fullmatch(matcher.value, value) is not None
        case other:
            raise NotImplementedError(other)


def _aggregate(node: Any, scrapes: list[Scrape]) -> Vector:
    keep = set(node.modifier.labels) if node.modifier is not None else set()
    assert node.modifier is None or str(node.modifier.type).endswith("By")
    reduce = {"sum": sum, "max": max}[str(node.op)]
    groups: dict[Labels, list[float]] = {}
    vector = _evaluate(node.expr, scrapes)
    assert isinstance(vector, dict)
    for labels, value in vector.items():
        key = frozenset(pair for pair in labels if pair[0] in keep)
        groups.setdefault(key, []).append(value)
    return {labels: float(reduce(values)) for labels, values in groups.items()}


def _call(node: Any, scrapes: list[Scrape]) -> Value:
    now = scrapes[-1].at
    match node.func.name:
        case "time":
            return now
        case "hour":
            return {frozenset(): float(datetime.fromtimestamp(now, UTC).hour)}
        case "rate":
            return _change(node.args[0], scrapes, is_rate=True)
        case "increase":
            return _change(node.args[0], scrapes, is_rate=False)
        case "last_over_time":
            latest: Vector = {}
            for scrape in _in_range(node.args[0], scrapes):
                latest |= _select(node.args[0].vector_selector, scrape)
            return latest
        case other:
            raise NotImplementedError(other)


def _in_range(matrix: Any, scrapes: list[Scrape]) -> list[Scrape]:
    since = scrapes[-1].at - matrix.range.total_seconds()
    return [scrape for scrape in scrapes if scrape.at > since]


def _change(matrix: Any, scrapes: list[Scrape], *, is_rate: bool) -> Vector:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for scrape in _in_range(matrix, scrapes):
        for labels, value in _select(matrix.vector_selector, scrape).items():
            nameless = frozenset(pair for pair in labels if pair[0] != _NAME)
            series.setdefault(nameless, []).append((scrape.at, value))
    return {
        labels: _growth([value for _, value in points])
        / (points[-1][0] - points[0][0] if is_rate else 1)
        for labels, points in series.items()
        if len(points) > 1
    }


def _growth(values: list[float]) -> float:
    """A counter that is less than before has begun anew, at zero."""
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def _combine(node: Any, left: Value, right: Value) -> Value:
    op = str(node.op)
    if node.modifier is not None:
        assert not node.modifier.return_bool
        assert node.modifier.card == promql_parser.VectorMatchCardinality.OneToOne or op in _SETS
    if op in _SETS:
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        keys = {_key(node, labels) for labels in right}
        if op == "or":
            have = {_key(node, labels) for labels in left}
            return left | {k: value for k, value in right.items() if _key(node, k) not in have}
        return {k: value for k, value in left.items() if (_key(node, k) in keys) == (op == "and")}
    if isinstance(left, dict) and isinstance(right, dict):
        others = {_key(node, labels): value for labels, value in right.items()}
        assert len(others) == len(right), "many to one"
        pairs = [(k, value, others.get(_key(node, k))) for k, value in left.items()]
        return _apply(op, [(k, value, other) for k, value, other in pairs if other is not None])
    if isinstance(left, dict):
        return _apply(op, [(labels, value, right) for labels, value in left.items()])
    if isinstance(right, dict):
        assert op in _ARITHMETIC, "a number is compared on the right"
        return _apply(op, [(labels, left, value) for labels, value in right.items()])
    return _ARITHMETIC[op](left, right)


def _apply(op: str, pairs: list[tuple[Labels, float, Any]]) -> Vector:
    if op in _COMPARISONS:
        return {labels: left for labels, left, right in pairs if _COMPARISONS[op](left, right)}
    return {
        frozenset(pair for pair in labels if pair[0] != _NAME): _ARITHMETIC[op](left, right)
        for labels, left, right in pairs
    }


def _key(node: Any, labels: Labels) -> Labels:
    """By which two samples belong together: the labels of `on`, or all but the name."""
    matching = node.modifier.matching if node.modifier is not None else None
    if matching is None:
        return frozenset(pair for pair in labels if pair[0] != _NAME)
    assert matching.type == promql_parser.LabelModifierType.Include
    return frozenset(pair for pair in labels if pair[0] in set(matching.labels))
