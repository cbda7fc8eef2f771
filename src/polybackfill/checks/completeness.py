"""Part by part: what was to be fetched, what is proven complete by a receipt, and what is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import receipt_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.kinds import proof, registry
from polybackfill.store import client, plan_table

LISTED = 20  # keys named of what is not proven

# Of a list, the units of its newest reading; those that were never begun are in no checkpoint.
_SLICES = """
SELECT concat(kind, ' ', key) AS key, best = 3 AS is_proven, best = 1 AS is_failed,
    best = 2 AS is_open,
    error, 0 AS weight, 0 AS rank
FROM (
    SELECT kind, key, max(multiIf(state = 'done', 3, state = 'open', 2, 1)) AS best,
        max(error) AS error
    FROM {units}
    WHERE kind IN ({kinds})
        AND (kind, reading) IN (SELECT kind, max(reading) FROM {units} GROUP BY kind)
    GROUP BY kind, key
)
"""
# Of a plan, its keys and those that were fetched without standing in it.
_PLANNED = """
SELECT concat('0x', key) AS key, max(done) AS is_proven,
    max(in_error) AND NOT is_proven AS is_failed,
    max(begun) AND NOT is_proven AND NOT is_failed AS is_open, max(message) AS error,
    max(trade_count) AS weight, min(priority_rank) AS rank
FROM (
    SELECT {key} AS key, false AS done, false AS in_error, false AS begun, '' AS message,
        trade_count, priority_rank
    FROM {table} WHERE status != 'skip'
    UNION ALL
    SELECT key, state = 'done' AS done, state = 'error' AS in_error, state = 'open' AS begun,
        error AS message, 0 AS trade_count, 4294967295 AS priority_rank
    FROM {units} WHERE kind = '{kind}' AND whole
)
GROUP BY key
"""
_EXPECTED = """
SELECT concat('0x', key) AS key, max(done) AS is_proven,
    max(in_error) AND NOT is_proven AS is_failed,
    max(begun) AND NOT is_proven AND NOT is_failed AS is_open, max(message) AS error, 0 AS weight,
    0 AS rank
FROM (
    SELECT DISTINCT key, false AS done, false AS in_error, false AS begun, '' AS message
    FROM ({keys})
    UNION ALL
    SELECT key, true AS done, false AS in_error, false AS begun, '' AS message FROM ({settled})
    UNION ALL
    SELECT key, state = 'done' AS done, state = 'error' AS in_error, state = 'open' AS begun,
        error AS message
    FROM {units} WHERE kind = '{kind}'
)
GROUP BY key
"""
_SUMS = """
SELECT count() AS keys, countIf(is_proven) AS proven, countIf(is_failed) AS failed,
    countIf(is_open) AS open, sum(weight) AS trades, sumIf(weight, is_proven) AS trades_proven
FROM ({part})
"""
_UNPROVEN = """
SELECT key, if(is_failed, 'error', if(is_open, 'in progress', 'not begun')) AS state, error
FROM ({part}) WHERE NOT is_proven ORDER BY is_failed DESC, rank, key LIMIT {limit}
"""
_COUNTS = """
SELECT count() AS units, sum(any_rows) AS rows, sum(any_pages) AS pages,
    sum(any_rejected) AS rejected, min(first) AS first_second, max(last) AS last_second,
    countIf(ended IS NOT NULL) AS ends_seen, min(ended) AS first_end, max(ended) AS last_end,
    max(behind_s) AS lag_s, countIf(behind_s IS NULL) AS lags_unknown,
    toString(max(recorded)) AS newest
FROM (
    SELECT any(rows) AS any_rows, any(pages) AS any_pages, any(rejected) AS any_rejected,
        min(first_second) AS first, max(last_second) AS last, max(end_second) AS ended,
        max(lag_s) AS behind_s, max(at) AS recorded
    FROM {units} WHERE kind IN ({kinds}) AND state = 'done' GROUP BY unit
)
"""


@dataclass(frozen=True)
class PartCompleteness:
    """One part. `keys`: what it has to prove, units of a list or wallets or conditions; `trades`:
    expected by the plan, 0 where it does not say; `unproven`: some of the keys without a receipt.
    """

    name: str
    keys: int
    proven: int
    failed: int
    open: int
    trades: int
    trades_proven: int
    stored: int
    counts: dict[str, Any] = field(default_factory=dict)
    unproven: list[dict[str, str]] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Of the keys, how many are proven; None of nothing."""
        return self.proven / self.keys if self.keys else None

    @property
    def trade_share(self) -> float | None:
        """The same weighted by expected trades."""
        return self.trades_proven / self.trades if self.trades else None

    @property
    def complete(self) -> bool:
        """Everything that is known of the part is proven."""
        return self.keys > 0 and self.proven == self.keys


async def measure_parts(
    store: client.Store, checkpoint: run_checkpoint.Checkpoint | None
) -> list[PartCompleteness]:
    """All parts in the order in which they feed on each other."""
    async with receipt_table.filled(store, checkpoint) as units:
        figures = [
            (await _measure(store, part, kinds, units), _is_optional(kinds[0].proof))
            for part, kinds in registry.PARTS.items()
        ]
        # Of what a run may be told to leave out there is nothing to prove then.
        return [part for part, is_optional in figures if part.keys or not is_optional]


def _is_optional(of_kind: proof.Proof) -> bool:
    return isinstance(of_kind, proof.EachKey) and of_kind.is_optional


def _select_keys(kinds: tuple[unit_kind.Kind, ...], units: str) -> str:
    """SQL of the keys that a part has to prove, and how far each has come."""
    first = kinds[0]
    match first.proof:
        case proof.NewestSweep():
            return _SLICES.format(units=units, kinds=_quote_kinds(kinds))
        case proof.WholePlan():
            table, key = plan_table.TABLES[first.name]
            return _PLANNED.format(key=key, table=table, units=units, kind=first.name)
        case proof.EachKey(keys=keys, settled=settled):
            return _EXPECTED.format(keys=keys, settled=settled, units=units, kind=first.name)


async def _measure(
    store: client.Store, name: str, kinds: tuple[unit_kind.Kind, ...], units: str
) -> PartCompleteness:
    part = _select_keys(kinds, units)
    (sums,) = await store.rows(_SUMS.format(part=part))
    (counts,) = await store.rows(_COUNTS.format(units=units, kinds=_quote_kinds(kinds)))
    (stored,) = await store.rows(f"SELECT count() AS n FROM {kinds[0].tables[0].shown}")
    unproven = []
    if sums["proven"] < sums["keys"]:
        unproven = await store.rows(_UNPROVEN.format(part=part, limit=LISTED))
    return PartCompleteness(name=name, stored=stored["n"], counts=counts, unproven=unproven, **sums)


def _quote_kinds(kinds: tuple[unit_kind.Kind, ...]) -> str:
    return ", ".join(f"'{kind.name}'" for kind in kinds)
