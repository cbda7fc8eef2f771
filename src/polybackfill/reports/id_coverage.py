"""How many trades carry a market id: as stored, and with what has been found meanwhile.

Everything is weighted by trades: a condition with a thousand of them counts a thousand times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from polybackfill import formats
from polybackfill.inputs import lookup_results
from polybackfill.store import market_ids

# Seed 004, ingestion plan: the aim, and when somebody should look.
AIM, LOW = 0.95, 0.90
PENDING_HIGH = 0.05


async def read(ids: market_ids.MarketIds, results: lookup_results.LookupResults) -> dict[str, Any]:
    """Coverage now and projected, what is pending, and what calls for attention.

    `projected`: the share when all mappings found so far are applied. `pending`: trades whose
    condition is still to be found; `lookup_failed`: trades whose condition was given up. `trades`
    counts those of external_trades_raw, `user_trades` those of trades_raw; the verdict is on the
    table that will have the smaller share.
    """
    stored, by_join = await ids.coverage(), await ids.user_coverage()
    counts = dict.fromkeys(("found", "pending", "lookup_failed"), 0)
    conditions, user_counts = dict(counts), dict(counts)
    async for one in ids.missing():
        miss = results.misses.get(one.condition_id)
        state = "pending"
        if one.condition_id in results.hits:
            state = "found"
        elif miss is not None and miss.status == lookup_results.LOOKUP_FAILED:
            state = "lookup_failed"
        counts[state] += one.trades
        user_counts[state] += one.user_trades
        conditions[state] += 1
    # Of conditions whose mapping is applied, whose trades only wait for the next fill.
    waiting = stored.trades - stored.with_id - sum(counts.values())
    share = stored.share
    projected = _share(stored.with_id + counts["found"] + waiting, stored.trades)
    shares = {"external_trades_raw": (share, _share(counts["pending"], stored.trades))}
    projections = [projected]
    if by_join is not None:
        projections.append(_share(by_join.with_id + user_counts["found"], by_join.trades))
        pending = _share(user_counts["pending"], by_join.trades)
        shares["trades_raw"] = (by_join.share, pending)
    return {
        "external_trades_raw": {**asdict(stored), "share": share, "projected_share": projected},
        "trades_raw": None
        if by_join is None
        else {
            **asdict(by_join),
            "share": by_join.share,
            "projected_share": projections[1],
        },
        "trades": {**counts, "to_fill": max(waiting, 0)},
        "user_trades": user_counts,
        "conditions": conditions,
        "verdict": _projection_text(projections),
        "alerts": [alert for table in shares for alert in _alerts(table, *shares[table])],
    }


def lines(coverage: dict[str, Any]) -> list[str]:
    """The same for a person."""
    texts = []
    for table in ("external_trades_raw", "trades_raw"):
        counts = coverage[table]
        if counts is None or not counts["trades"]:
            continue
        how = "" if table == "external_trades_raw" else " (its own, or by condition_market_ids)"
        texts.append(
            f"{table}: {counts['with_id']:,} of "
            f"{formats.counted(counts['trades'], 'trade has', 'trades have')} a market id "
            f"({formats.percent(counts['share'])}){how}, "
            f"{formats.percent(counts['projected_share'])} when all that is found is applied"
        )
    if not texts:
        return ["no trades are stored yet"]
    for state, conditions in coverage["conditions"].items():
        trades = coverage["trades"][state] + coverage["user_trades"][state]
        texts.append(
            f"  {state}: {formats.counted(conditions, 'condition')}, "
            f"{formats.counted(trades, 'trade')}"
        )
    return texts + [f"  ALERT: {alert}" for alert in coverage["alerts"]]


def _share(part: int, total: int) -> float | None:
    return part / total if total else None


def _projection_text(projections: Sequence[float | None]) -> str:
    projected = min((share for share in projections if share is not None), default=None)
    if projected is None:
        return "no trades"
    if projected >= AIM:
        return "target met"
    return "below target" if projected >= LOW else "insufficient"


def _alerts(table: str, share: float | None, pending: float | None) -> list[str]:
    if share is None or pending is None:
        return []
    alerts = []
    if share < LOW:
        alerts.append(
            f"{formats.percent(share)} of the trades of {table} have a market id, "
            f"below {formats.percent(LOW)}"
        )
    if pending > PENDING_HIGH:
        waits = formats.percent(pending)
        alerts.append(f"{waits} of the trades of {table} wait for a lookup, above 5 %")
    return alerts
