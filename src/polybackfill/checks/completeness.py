"""Part by part: what was to be fetched, what is proven complete by a receipt, and what is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polybackfill.checkpoint import ledgers
from polybackfill.checks import receipt_table
from polybackfill.store import client, plan_table

LISTED = 20  # keys named of what is not proven

# Part → the kinds of units it is made of.
LISTS = {"markets": ("clob", "markets", "lookups"), "events": ("events",)}
# Part → the table whose rows it brings.
_TABLES = {
    "markets": "api_markets_staging",
    "events": "api_events_staging",
    "conditions": "external_trades_raw",
    "wallets": "external_trades_raw",
    "positions": "api_positions_staging",
    "resolutions": "api_resolutions",
    "user-stats": "api_user_stats",
}
# Part → the keys it is about.
_ALL_KEYS = {
    "positions": "SELECT wallet_address AS key FROM wallet_backfill_plan WHERE status != 'skip'",
    "resolutions": "SELECT condition_id AS key FROM api_market_rows WHERE condition_id != '' "
    "UNION DISTINCT SELECT condition_id AS key FROM external_trades_raw",
    # How many of the plan are read is a setting of the run, so what was ever begun counts.
    "user-stats": "SELECT wallet_address AS key FROM api_user_stats",
}

# Of a list, the units of its newest reading; those that were never begun are in no ledger.
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
# A resolution is final: what is stored is not asked for again, and needs no newer receipt.
_SETTLED = {
    "positions": "SELECT '' AS key WHERE false",
    "resolutions": "SELECT condition_id AS key FROM api_resolutions WHERE status = 'resolved'",
    "user-stats": "SELECT '' AS key WHERE false",
}
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
    store: client.Store, ledger: ledgers.Ledger | None
) -> list[PartCompleteness]:
    """All parts in the order in which they feed on each other."""
    async with receipt_table.filled(store, ledger) as units:
        figures = [
            await _part(store, name, _slices(units, kinds), kinds, units=units)
            for name, kinds in LISTS.items()
        ]
        for kind in ("conditions", "wallets"):
            table, key = plan_table.TABLES[kind]
            planned = _PLANNED.format(key=key, table=table, units=units, kind=kind)
            figures.append(await _part(store, kind, planned, (kind,), units=units))
        for kind, keys in _ALL_KEYS.items():
            expected = _EXPECTED.format(keys=keys, settled=_SETTLED[kind], units=units, kind=kind)
            figures.append(await _part(store, kind, expected, (kind,), units=units))
        # A run may be told to leave out what Polymarket says; then there is nothing to prove.
        return [part for part in figures if part.keys or part.name != "user-stats"]


def _slices(units: str, kinds: tuple[str, ...]) -> str:
    return _SLICES.format(units=units, kinds=_quote_kinds(kinds))


async def _part(
    store: client.Store, name: str, part: str, kinds: tuple[str, ...], *, units: str
) -> PartCompleteness:
    (sums,) = await store.rows(_SUMS.format(part=part))
    (counts,) = await store.rows(_COUNTS.format(units=units, kinds=_quote_kinds(kinds)))
    table = _TABLES[name]
    (stored,) = await store.rows(f"SELECT count() AS n FROM {table}")
    unproven = []
    if sums["proven"] < sums["keys"]:
        unproven = await store.rows(_UNPROVEN.format(part=part, limit=LISTED))
    return PartCompleteness(name=name, stored=stored["n"], counts=counts, unproven=unproven, **sums)


def _quote_kinds(kinds: tuple[str, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)
