"""How many trades carry a market id: as stored, and with what has been found meanwhile.

Everything is weighted by trades: a condition with a thousand of them counts a thousand times.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from polybackfill import formats
from polybackfill.store import market_ids
from polybackfill.work import lookup_book

# Seed 004, ingestion plan: the aim, and when somebody should look.
AIM, LOW = 0.95, 0.90
PENDING_HIGH = 0.05


async def read(ids: market_ids.MarketIds, told: lookup_book.Told) -> dict[str, Any]:
    """Coverage now and projected, what is pending, and what calls for attention.

    `projected`: the share when all mappings found so far are applied. `pending`: trades whose
    condition is still to be found; `lookup_failed`: trades whose condition was given up.
    """
    stored, by_join = await ids.coverage(), await ids.user_coverage()
    counts = dict.fromkeys(("found", "pending", "lookup_failed"), 0)
    conditions = dict(counts)
    user_found = 0
    async for one in ids.missing():
        miss = told.misses.get(one.condition_id)
        state = "pending"
        if one.condition_id in told.hits:
            state = "found"
        elif miss is not None and miss.status == lookup_book.LOOKUP_FAILED:
            state = "lookup_failed"
        counts[state] += one.trades
        conditions[state] += 1
        user_found += one.user_trades if state == "found" else 0
    # Of conditions whose mapping is applied, whose trades only wait for the next fill.
    waiting = stored.trades - stored.with_id - sum(counts.values())
    share = stored.share
    projected = _share(stored.with_id + counts["found"] + waiting, stored.trades)
    return {
        "external_trades_raw": {**asdict(stored), "share": share, "projected_share": projected},
        "trades_raw": None
        if by_join is None
        else {
            **asdict(by_join),
            "share": by_join.share,
            "projected_share": _share(by_join.with_id + user_found, by_join.trades),
        },
        "trades": {**counts, "to_fill": max(waiting, 0)},
        "conditions": conditions,
        "verdict": _verdict(projected),
        "alerts": _alerts(share, _share(counts["pending"], stored.trades)),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    told = []
    for table in ("external_trades_raw", "trades_raw"):
        held = found[table]
        if held is None or not held["trades"]:
            continue
        how = "" if table == "external_trades_raw" else " (its own, or by condition_market_ids)"
        told.append(
            f"{table}: {held['with_id']:,} of {held['trades']:,} trades have a market id "
            f"({formats.percent(held['share'])}){how}, "
            f"{formats.percent(held['projected_share'])} when all that is found is applied"
        )
    trades, conditions = found["trades"], found["conditions"]
    told += [
        f"  {state}: {conditions[state]:,} conditions, {trades[state]:,} trades"
        for state in conditions
    ]
    told += [f"  ALERT: {alert}" for alert in found["alerts"]]
    return told or ["no trades are stored yet"]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _verdict(projected: float | None) -> str:
    if projected is None:
        return "no trades"
    if projected >= AIM:
        return "target met"
    return "below target" if projected >= LOW else "insufficient"


def _alerts(share: float | None, pending: float | None) -> list[str]:
    if share is None or pending is None:
        return []
    found = []
    if share < LOW:
        found.append(
            f"{formats.percent(share)} of the trades have a market id, below {formats.percent(LOW)}"
        )
    if pending > PENDING_HIGH:
        found.append(f"{formats.percent(pending)} of the trades wait for a lookup, above 5 %")
    return found
