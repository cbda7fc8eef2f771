"""Part by part: what was to be fetched, what is proven complete by a receipt, and what is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import receipt_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.kinds import proof, registry
from polybackfill.store import client, plan_table, query_files

LISTED = 20  # keys named of what is not proven

_SLICES = query_files.read("units_of_newest_reading")
_PLANNED = query_files.read("planned_keys")
_EXPECTED = query_files.read("expected_keys")
_SUMS = """
SELECT count() AS keys, countIf(is_proven) AS proven, countIf(is_failed) AS failed,
    countIf(is_open) AS open, sum(weight) AS trades, sumIf(weight, is_proven) AS trades_proven
FROM ({part})
"""
_UNPROVEN = """
SELECT key, if(is_failed, 'error', if(is_open, 'in progress', 'not begun')) AS state, error
FROM ({part}) WHERE NOT is_proven ORDER BY is_failed DESC, rank, key LIMIT {limit}
"""
_COUNTS = query_files.read("figures_of_receipts")


class ReceiptCounts(TypedDict):
    """What the receipts of a part add up to; seconds are epoch seconds, None without a receipt.

    `ends_seen`: receipts whose feed said when it ended; `lag_s`: seconds behind the chain at most.
    """

    units: int
    rows: int
    pages: int
    rejected: int
    first_second: int | None
    last_second: int | None
    ends_seen: int
    first_end: int | None
    last_end: int | None
    lag_s: float | None
    lags_unknown: int
    newest: str | None


class UnprovenKey(TypedDict):
    """A key without a receipt; `state`: error, in progress or not begun."""

    key: str
    state: str
    error: str | None


class PartSums(TypedDict):
    """What a part has to prove: `keys` are units of a list, wallets or conditions; `trades` those
    that the plan expects, 0 where it does not say.
    """

    keys: int
    proven: int
    failed: int
    open: int
    trades: int
    trades_proven: int


class PartCompleteness(PartSums):
    """One part. `share`: of its keys, `trade_share`: by expected trades, how much is proven, from 0
    to 1, None of nothing; `complete`: everything that is known of it is; `unproven`: some of the
    keys without a receipt; `stored`: rows.
    """

    name: str
    share: float | None
    trade_share: float | None
    complete: bool
    stored: int
    counts: ReceiptCounts
    unproven: list[UnprovenKey]


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
        return [part for part, is_optional in figures if part["keys"] or not is_optional]


def _is_optional(of_kind: proof.Proof) -> bool:
    return isinstance(of_kind, proof.EachKey) and of_kind.is_optional


def _select_keys(kinds: tuple[unit_kind.Kind, ...], units: str) -> str:
    """SQL of the keys that a part has to prove, and how far each has come."""
    first = kinds[0]
    match first.proof:
        case proof.NewestSweep() | proof.TimeSpan():
            swept = [kind for kind in kinds if not kind.is_followed]
            return _SLICES.format(units=units, kinds=_quote_kinds(swept))
        case proof.WholePlan():
            table, key = plan_table.TABLES[first.name]
            return _PLANNED.format(key=key, table=table, units=units, kind=first.name)
        case proof.EachKey(keys=keys, settled=settled):
            return _EXPECTED.format(keys=keys, settled=settled, units=units, kind=first.name)


async def _measure(
    store: client.Store, name: str, kinds: tuple[unit_kind.Kind, ...], units: str
) -> PartCompleteness:
    part = _select_keys(kinds, units)
    (sums,) = await store.records(_SUMS.format(part=part), PartSums)
    (counts,) = await store.records(
        _COUNTS.format(units=units, kinds=_quote_kinds(kinds)), ReceiptCounts
    )
    (stored,) = await store.rows(f"SELECT count() AS n FROM {kinds[0].tables[0].shown}")
    unproven = []
    if sums["proven"] < sums["keys"]:
        unproven = await store.records(_UNPROVEN.format(part=part, limit=LISTED), UnprovenKey)
    keys, trades = sums["keys"], sums["trades"]
    return {
        **sums,
        "name": name,
        "share": sums["proven"] / keys if keys else None,
        "trade_share": sums["trades_proven"] / trades if trades else None,
        "complete": keys > 0 and sums["proven"] == keys,
        "stored": stored["n"],
        "counts": counts,
        "unproven": unproven,
    }


def _quote_kinds(kinds: Iterable[unit_kind.Kind]) -> str:
    return ", ".join(f"'{kind.name}'" for kind in kinds)
