"""What the API says a wallet traded in a stretch of whole UTC days: the best check of its history.

`/v2/user-volume` counts every fill of the wallet, with `start` and `end` widened to whole days.
Source: docs.polymarket.com/api-reference and live comparison, 119 of 119 days equal, autumn 2026.
"""

from __future__ import annotations

import msgspec

from polybackfill import errors
from polybackfill.polymarket import endpoints, http_outcome, parsing

DAY_S = 86_400
# `start` of 0 means three years back, of 1 the whole history.
FIRST_SECOND = 1


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """Fills of a wallet in a stretch of days: how many, shares, and USD."""

    trade_count: int = 0
    volume: float = 0.0
    volume_usdc: float = 0.0


class _Envelope(msgspec.Struct):
    data: Volume | None


_decoder = msgspec.json.Decoder(_Envelope)


async def fetch_volume(get: http_outcome.Get, wallet: str, first: int, last: int) -> Volume:
    """Fills of `wallet` (40 hex, no 0x) from the day of second `first` to that of `last`.

    An unknown wallet has none. Raises Retry for an answer that is no volume, and what `get` raises.
    """
    params = (
        ("user", f"0x{wallet}"),
        ("start", str(max(FIRST_SECOND, first))),
        ("end", str(last)),
    )
    response = await get(endpoints.USER_VOLUME, params)
    return parse_volume(response.body, response.url)


def parse_volume(body: bytes, url: str) -> Volume:
    """What an answer says. Raises Retry when it is no volume."""
    try:
        return _decoder.decode(body).data or Volume()
    except parsing.NOT_DECODABLE as error:
        raise errors.Retry(f"{url} answered no volume: {error}") from error
