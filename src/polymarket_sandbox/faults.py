"""Faults on request: which response is damaged, and how.

A rule is a JSON object: `kind`, and optionally `route` (a route name such as "activity", a host
name such as "gamma", a path prefix, or "*"), `probability` (default 1), `count` (fires at most so
often; a change once, unless told otherwise), `after` (lets so many matching requests pass first),
`match` (only queries that contain this text), `retry_after_s`, `interval_s` (of a dripping body),
`limit` (of a clamped page), `filters` (those that are ignored, by default the ones that name what
is wanted), `fields` and `factor` (of rows that have drifted), `headers` (that are added), `target`
(the condition or wallet of a change), `payouts` (of a market that closes, micro-USDC a share). The
draws depend on the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

# What a rule may do, by when it acts.
INSTEAD = (
    "429_json",
    "429_html",
    "403_html",
    "400",
    "404",
    "408",
    "500",
    "502",
    "503",
    "504",
    "520",
    "reset",
    "hang",
    "empty",
    "cursor_trips",
)
SPOILED_BODY = ("truncated", "cut_json", "invalid_json", "drip")
SPOILED_ROWS = (
    "wrong_rows",
    "cursor_repeat",
    "cursor_refused",
    "bad_row",
    "unknown_field",
)
# The API has changed: what was true of its answers is so no longer.
DRIFTED = (
    "rows_lost",
    "rows_repeated",
    "rows_reversed",
    "field_gone",
    "field_text",
    "field_scaled",
    "field_shifted",
    "cursor_gone",
    "cursor_opaque",
    "accepted",
    "headers",
)
# The answer is that to another question than was asked.
OTHER_QUESTION = ("ignored_filter", "clamped")
# Nothing is spoiled: the universe changes, and the answer shows it.
CHANGES = ("market_closes", "market_appears", "positions_change")
KINDS = (*INSTEAD, *SPOILED_BODY, *SPOILED_ROWS, *DRIFTED, *OTHER_QUESTION, *CHANGES)
_NEEDS_CURSOR = ("cursor_repeat", "cursor_refused", "cursor_trips")
_FIELDS = {
    "kind",
    "route",
    "probability",
    "count",
    "after",
    "match",
    "retry_after_s",
    "interval_s",
    "limit",
    "filters",
    "fields",
    "factor",
    "headers",
    "target",
    "payouts",
}


class FaultError(ValueError):
    """A rule makes no sense; the message names the part."""


@dataclass
class Trigger:
    """Which requests a rule hits, and which it has seen and hit so far."""

    route: str = "*"
    probability: float = 1.0
    count: int | None = None
    after: int = 0
    match: str = ""
    tripped: set[str] = field(default_factory=set, repr=False)
    seen: int = 0
    fired: int = 0
    dice: random.Random = field(default_factory=random.Random, repr=False)

    def fits(self, names: Sequence[str], path: str, raw_query: str) -> bool:
        """Whether the rule speaks of this request at all."""
        is_route = self.route == "*" or self.route in names or path.startswith(self.route)
        return is_route and self.match in raw_query

    def fire(self) -> bool:
        """Whether a request that fits is hit; counts it."""
        self.seen += 1
        spent = self.count is not None and self.fired >= self.count
        if self.seen <= self.after or spent or self.dice.random() >= self.probability:
            return False
        self.fired += 1
        return True


@dataclass
class Rule:
    """What is done to the requests that `trigger` hits."""

    kind: str
    trigger: Trigger = field(default_factory=Trigger)
    retry_after_s: float = 1.0
    interval_s: float = 1.0
    limit: int = 10
    filters: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    factor: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    payouts: tuple[int, ...] = ()

    def draw(self, names: Sequence[str], path: str, raw_query: str, *, cursor: str) -> bool:
        """Whether this request is hit; counts it. A cursor that tripped once does so for ever."""
        trigger = self.trigger
        if not trigger.fits(names, path, raw_query) or (self.kind in _NEEDS_CURSOR and not cursor):
            return False
        if cursor in trigger.tripped:
            return True
        if not trigger.fire():
            return False
        if self.kind == "cursor_trips":
            trigger.tripped.add(cursor)
        return True

    def report(self) -> dict[str, object]:
        """The rule and its counters as JSON."""
        known = {**vars(self.trigger), **vars(self)}
        shown = {name: known[name] for name in sorted(_FIELDS)}
        return {**shown, "seen": self.trigger.seen, "fired": self.trigger.fired}


class Faults:
    """The rules in force, tried in order; the first that hits decides."""

    def __init__(self, seed: int, check: Callable[[Rule], None] = lambda _rule: None) -> None:
        """`check` raises FaultError for a rule that this universe cannot hold."""
        self._seed = seed
        self._check = check
        self._made = 0
        self.rules: list[Rule] = []

    def add(self, described: object) -> None:
        """Add a list of rules (or one) given as JSON. Raises FaultError; adds all or nothing."""
        listed = described if isinstance(described, list) else [described]
        self.rules += [self._rule(one) for one in listed]

    def replace(self, described: object) -> None:
        """Put these rules in place of the present ones."""
        listed = described if isinstance(described, list) else [described]
        self.rules = [self._rule(one) for one in listed]

    def draw(self, names: Sequence[str], path: str, raw_query: str, *, cursor: str) -> Rule | None:
        """The rule that hits this request, None for an honest answer."""
        for rule in self.rules:
            if rule.draw(names, path, raw_query, cursor=cursor):
                return rule
        return None

    def report(self) -> list[dict[str, object]]:
        """All rules with their counters."""
        return [rule.report() for rule in self.rules]

    def _rule(self, described: object) -> Rule:
        if not isinstance(described, Mapping):
            raise FaultError("a fault must be a JSON object")
        unknown = set(described) - _FIELDS
        if unknown:
            raise FaultError(f"unknown fields of a fault: {', '.join(sorted(map(str, unknown)))}")
        kind = str(described.get("kind"))
        if kind not in KINDS:
            raise FaultError(f"unknown kind of fault {kind!r}; known: {', '.join(KINDS)}")
        self._made += 1
        count = described.get("count", 1 if kind in CHANGES else None)
        try:
            rule = Rule(
                kind=kind,
                trigger=Trigger(
                    route=str(described.get("route", "*")),
                    probability=float(described.get("probability", 1.0)),
                    count=None if count is None else int(count),
                    after=int(described.get("after", 0)),
                    match=str(described.get("match", "")),
                    dice=random.Random(f"fault-{self._seed}-{self._made}"),
                ),
                retry_after_s=float(described.get("retry_after_s", 1.0)),
                interval_s=float(described.get("interval_s", 1.0)),
                limit=int(described.get("limit", 10)),
                filters=tuple(str(name) for name in described.get("filters", ())),
                fields=tuple(str(name) for name in described.get("fields", ())),
                factor=float(described.get("factor", 1.0)),
                headers={str(k): str(v) for k, v in dict(described.get("headers", {})).items()},
                target=str(described.get("target", "")),
                payouts=tuple(int(payout) for payout in described.get("payouts", ())),
            )
        except (TypeError, ValueError) as wrong:
            raise FaultError(f"fault {kind}: {wrong}") from wrong
        self._check(rule)
        return rule
