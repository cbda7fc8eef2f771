"""What Polymarket itself counts, in figures that ours are compared with.

- The volume of each condition of some events: shares, each fill once. Up to 20 event ids a request,
  six decimals; fills of a market's opening burst are missing at times.
- What a wallet traded in a stretch of whole UTC days, the best check of its history: `start` and
  `end` are widened to whole days (119 of 119 days were equal, autumn 2026).
- How the profit of a wallet grew: the figures of `user_stats`, day by day.

Source: docs.polymarket.com/api-reference (data-api v2: live-volume, user-volume, user-pnl) and live
comparison, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import coerce, endpoints, http, parsing

MAX_EVENTS = 20
LARGEST_EVENT_ID = 2**31 - 1  # OpenAPI of v2, 2026-11: positive int32
DAY_S = 86_400
# `start` of 0 means three years back, of 1 the whole history.
FIRST_SECOND = 1
_CURVE = (("interval", "max"), ("fidelity", "1d"))


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """Fills of a wallet in a stretch of days: how many, shares, and USD."""

    trade_count: int = 0
    volume: float = 0.0
    volume_usdc: float = 0.0


class ProfitPoint(msgspec.Struct, frozen=True):
    """The figures at a second, in USD, from the wallet's first day on; None what is not told."""

    timestamp: int
    figures: dict[str, float | None]


class _Curve(msgspec.Struct):
    points: list[dict[str, Any]] | None = None


class _VolumeAnswer(msgspec.Struct):
    data: Volume | None


class _CurveAnswer(msgspec.Struct):
    data: _Curve | None


_volume_answer = msgspec.json.Decoder(_VolumeAnswer)
_curve_answer = msgspec.json.Decoder(_CurveAnswer)


async def fetch_event_volumes(get: http.Get, events: Sequence[int]) -> dict[str, float]:
    """Shares by condition (64 hex digits) of up to 20 events; an unknown event has none.

    Raises Retry for an answer that is no volume, and what `get` raises: GiveUp with status 404
    where the route is not served.
    """
    named = ",".join(str(event) for event in events)
    response = await get(endpoints.LIVE_VOLUME, (("event_id", named),))
    return parse_event_volumes(response.body, response.url)


def parse_event_volumes(body: bytes, url: str) -> dict[str, float]:
    """What an answer says; of a condition that several events name one figure. Raises Retry."""
    try:
        content = coerce.decode(body)
        groups = coerce.objects(content["data"]) if isinstance(content, dict) else None
    except (*parsing.NOT_DECODABLE, ValueError, KeyError) as error:
        raise errors.Retry(f"{url} answered no volumes: {error!r}") from error
    if groups is None:
        raise errors.Retry(f"{url} answered no volumes")
    shares_by_condition: dict[str, float] = {}
    for group in groups:
        for row in coerce.objects(group.get("conditions")):
            shares = coerce.or_none(coerce.amount, row.get("taker_volume"))
            condition = _condition(row.get("condition_id"))
            if condition and shares is not None:
                shares_by_condition[condition] = shares
    return shares_by_condition


async def fetch_user_volume(get: http.Get, wallet: str, first: int, last: int) -> Volume:
    """Fills of `wallet` (40 hex, no 0x) from the day of second `first` to that of `last`.

    An unknown wallet has none. Raises Retry for an answer that is no volume, and what `get` raises.
    """
    params = (
        ("user", f"0x{wallet}"),
        ("start", str(max(FIRST_SECOND, first))),
        ("end", str(last)),
    )
    response = await get(endpoints.USER_VOLUME, params)
    return parse_user_volume(response.body, response.url)


def parse_user_volume(body: bytes, url: str) -> Volume:
    """What an answer says. Raises Retry when it is no volume."""
    try:
        return _volume_answer.decode(body).data or Volume()
    except parsing.NOT_DECODABLE as error:
        raise errors.Retry(f"{url} answered no volume: {error}") from error


async def fetch_profit_curve(get: http.Get, wallet: str) -> list[ProfitPoint]:
    """The curve of `wallet` (40 hex, no 0x) in days, oldest first; none of an unknown wallet.

    Raises Retry for an answer that is no curve, and what `get` raises: GiveUp with status 404 where
    the route is not served.
    """
    response = await get(endpoints.USER_PNL, (("user", records.show(wallet)), *_CURVE))
    return parse_profit_curve(response.body, response.url)


def parse_profit_curve(body: bytes, url: str) -> list[ProfitPoint]:
    """What an answer says. Raises Retry when it is no curve."""
    try:
        curve = _curve_answer.decode(body).data
    except parsing.NOT_DECODABLE as error:
        raise errors.Retry(f"{url} answered no curve: {error}") from error
    points = []
    for row in (curve.points if curve else None) or ():
        second = coerce.second(row.get("timestamp"))
        if second is not None:
            figures = {name: coerce.or_none(coerce.amount, value) for name, value in row.items()}
            points.append(ProfitPoint(second, figures))
    return sorted(points, key=lambda point: point.timestamp)


def _condition(value: object) -> str:
    try:
        return records.normalise_condition(coerce.text(value))
    except errors.Reject:
        return ""
