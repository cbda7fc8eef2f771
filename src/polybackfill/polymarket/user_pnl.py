"""How the profit of a wallet grew, as Polymarket tells it: the figures of `user_stats`, day by day.

Source: docs.polymarket.com/api-reference (data-api v2, user-pnl), read 2026-11.
"""

from __future__ import annotations

from typing import Any

import msgspec

from polybackfill import errors, records
from polybackfill.polymarket import coerce, endpoints, http_outcome, parsing

_SHAPE = (("interval", "max"), ("fidelity", "1d"))


class Point(msgspec.Struct, frozen=True):
    """The figures at a second, in USD, from the wallet's first day on; None what is not told."""

    timestamp: int
    figures: dict[str, float | None]


class _Curve(msgspec.Struct):
    points: list[dict[str, Any]] | None = None


class _Envelope(msgspec.Struct):
    data: _Curve | None


_decoder = msgspec.json.Decoder(_Envelope)


async def fetch_curve(get: http_outcome.Get, wallet: str) -> list[Point]:
    """The curve of `wallet` (40 hex, no 0x) in days, oldest first; none of an unknown wallet.

    Raises Retry for an answer that is no curve, and what `get` raises: GiveUp with status 404 where
    the route is not served.
    """
    response = await get(endpoints.USER_PNL, (("user", records.show(wallet)), *_SHAPE))
    return parse_curve(response.body, response.url)


def parse_curve(body: bytes, url: str) -> list[Point]:
    """What an answer says. Raises Retry when it is no curve."""
    try:
        curve = _decoder.decode(body).data
    except parsing.NOT_DECODABLE as error:
        raise errors.Retry(f"{url} answered no curve: {error}") from error
    points = []
    for row in (curve.points if curve else None) or ():
        second = coerce.second(row.get("timestamp"))
        if second is not None:
            figures = {name: coerce.or_none(coerce.amount, value) for name, value in row.items()}
            points.append(Point(second, figures))
    return sorted(points, key=lambda point: point.timestamp)
