"""Recorded positions and order book rows, and how markets ended that no recorded list shows.

A market's end is known from a recorded row of `/v2/resolutions`, from a position whose price is
exactly 1 or 0 and that can be redeemed or is closed, or from a redemption: the outcome won of which
a wallet held, after trades and merges, just as much as it redeemed; a redemption of size 0 means
that the only outcome held has lost. Rows that contradict each other say nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from polymarket_sandbox import recorded, v2_query

Row = recorded.Row
WHOLE = 1_000_000  # micro-USDC a share
_CLOSE_MICRO = 1_000  # recorded sizes carry noise below a thousandth of a share

_V1_POSITION = {
    "proxyWallet": "proxy_wallet",
    "asset": "token_id",
    "conditionId": "condition_id",
    "size": "current_size",
    "avgPrice": "avg_price",
    "initialValue": "entry_cost_usdc",
    "currentValue": "current_value",
    "cashPnl": "total_pnl",
    "percentPnl": "percent_pnl",
    "totalBought": "total_size",
    "realizedPnl": "realized_pnl",
    "percentRealizedPnl": "percent_realized_pnl",
    "curPrice": "current_price",
    "redeemable": "redeemable",
    "mergeable": "mergeable",
    "title": "title",
    "slug": "slug",
    "icon": "icon",
    "eventId": "event_id",
    "eventSlug": "event_slug",
    "outcome": "outcome",
    "outcomeIndex": "outcome_index",
    "oppositeOutcome": "opposite_outcome",
    "oppositeAsset": "opposite_token_id",
    "negativeRisk": "negative_risk",
    "timestamp": "last_event_at",
}


def positions(folder: Path) -> list[Row]:
    """Recorded rows of /v2/positions, version 1 rows under the names of version 2; of one wallet
    and token the first."""
    found: dict[tuple[str, str], Row] = {}
    for row in _position_rows(folder):
        key = (str(row["proxy_wallet"]).lower(), str(row["token_id"]))
        found.setdefault(key, row)
    return list(found.values())


def order_book(folder: Path) -> dict[str, Row]:
    """Recorded rows of CLOB /markets by condition id."""
    found: dict[str, Row] = {}
    for path in sorted(folder.glob("mixed-*.json")):
        for name, row in cast(Row, recorded.read(path)).items():
            if name.startswith("clob_market"):
                _keep_market(found, row)
    for path in sorted(folder.glob("clob-markets-*.json*")):
        held = recorded.read(path)
        for row in cast(list[Row], held.get("data", []) if isinstance(held, dict) else held):
            _keep_market(found, row)
    return found


def _keep_market(found: dict[str, Row], row: object) -> None:
    if isinstance(row, dict) and row.get("condition_id"):
        found[v2_query.normal_condition(str(row["condition_id"]))] = row


def payouts(folder: Path) -> dict[str, tuple[int, int]]:
    """Micro-USDC a share of the two outcomes, by condition id."""
    said: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for condition, paid in (
        *_resolved(folder),
        *_priced(positions(folder)),
        *_redeemed(recorded.feed_rows(folder, with_empty=True)),
    ):
        said[v2_query.normal_condition(condition)].add(paid)
    return {condition: next(iter(paid)) for condition, paid in said.items() if len(paid) == 1}


def _position_rows(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.glob("data-v2-*.json")):
        for name, answer in cast(Row, recorded.read(path)).items():
            if name.startswith("positions") and isinstance(answer, dict):
                yield from answer.get("response", answer)["data"]
    for kind in ("positions", "closed-positions"):
        for path in sorted(folder.glob(f"data-v1-{kind}-*")):
            for row in cast(list[Row], recorded.read(path)):
                yield _translated(row, is_closed=kind == "closed-positions")


def _translated(row: Row, *, is_closed: bool) -> Row:
    renamed = {new: row[old] for old, new in _V1_POSITION.items() if old in row}
    for name, value in renamed.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            renamed[name] = round(float(value), 4)
    for name in ("outcome_index", "last_event_at"):
        if name in renamed:
            renamed[name] = int(float(str(renamed[name])))
    renamed["end_date"] = str(row.get("endDate") or "1970-01-01")[:10]
    if is_closed:
        renamed.update(current_size=0.0, current_value=0.0, status="CLOSED")
    return renamed


def _resolved(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in sorted(folder.glob("data-v2-*.json")):
        answer = cast(Row, recorded.read(path)).get("resolutions")
        for row in answer["data"] if isinstance(answer, dict) else ():
            if row["status"] == "resolved" and row["payouts"]:
                yield str(row["condition_id"]), (row["payouts"][0], row["payouts"][1])


def _priced(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[int, int]]]:
    for row in rows:
        price, outcome = float(str(row["current_price"])), row["outcome_index"]
        is_final = row.get("redeemable") or row.get("status") == "CLOSED"
        if is_final and price in {0.0, 1.0} and outcome in {0, 1}:
            yield str(row["condition_id"]), _won(int(str(outcome)), is_winner=price == 1.0)


def _won(outcome: int, *, is_winner: bool = True) -> tuple[int, int]:
    winner = outcome if is_winner else 1 - outcome
    return (WHOLE, 0) if winner == 0 else (0, WHOLE)


@dataclass
class _Held:
    """What one wallet did in one market, in micro-shares."""

    net: list[int] = field(default_factory=lambda: [0, 0])
    redeemed: int = 0
    redemptions: int = 0
    trades: int = 0


def _redeemed(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[int, int]]]:
    held: defaultdict[tuple[str, str], _Held] = defaultdict(_Held)
    for row in rows:
        one = held[str(row["proxy_wallet"]).lower(), str(row["condition_id"])]
        micro, kind = recorded.micro(row), row["type"]
        if kind == "TRADE" and row["outcome_index"] in {0, 1}:
            one.trades += 1
            one.net[int(str(row["outcome_index"]))] += micro if row["side"] == "BUY" else -micro
        elif kind in {"SPLIT", "MERGE"}:
            signed = micro if kind == "SPLIT" else -micro
            one.net = [net + signed for net in one.net]
        elif kind == "REDEEM":
            one.redeemed += micro
            one.redemptions += 1
    for (_, condition), one in held.items():
        if condition and one.trades and one.redemptions:
            yield from ((condition, paid) for paid in _told(one))


def _told(one: _Held) -> list[tuple[int, int]]:
    """The payouts that a wallet's redemptions prove, if any."""
    if one.redeemed:
        same = [o for o in (0, 1) if abs(one.net[o] - one.redeemed) <= _CLOSE_MICRO]
        return [_won(same[0])] if len(same) == 1 else []
    left = [outcome for outcome in (0, 1) if one.net[outcome] > _CLOSE_MICRO]
    return [_won(left[0], is_winner=False)] if len(left) == 1 else []
