"""How far the source says that it lies behind the chain.

`/v2/status` names the age of each part it serves; `activity_feed` is what trades and activity come
from. It answers 503 until it has measured for the first time. Source: docs.polymarket.com, 2026-10.
"""

from __future__ import annotations

import msgspec

from polybackfill import errors
from polybackfill.polymarket import endpoints, http, parsing

_ACTIVITY = "activity_feed"


class _Mechanism(msgspec.Struct):
    name: str | None = None
    age_seconds: float | None = None


class _Serving(msgspec.Struct):
    lag_seconds: float | None = None
    mechanisms: list[_Mechanism] | None = None


class _Status(msgspec.Struct):
    serving: _Serving | None = None


class _Envelope(msgspec.Struct):
    data: _Status | None


_decoder = msgspec.json.Decoder(_Envelope)


async def fetch_lag_s(get: http.Get) -> float | None:
    """Seconds the activity feed lies behind; the largest lag where it is not named; None if unsaid.

    Raises Retry for an answer that is no status, and what `get` raises.
    """
    response = await get(endpoints.STATUS, ())
    return parse_lag_s(response.body, response.url)


def parse_lag_s(body: bytes, url: str) -> float | None:
    """What an answer says, as `lag_s`. Raises Retry when it is no status."""
    try:
        status = _decoder.decode(body).data
    except parsing.NOT_DECODABLE as problem:
        raise errors.Retry(f"{url} answered no status: {problem}") from problem
    serving = status.serving if status else None
    if serving is None:
        return None
    ages = {one.name: one.age_seconds for one in serving.mechanisms or ()}
    age_s = ages.get(_ACTIVITY)
    lag_s = serving.lag_seconds if age_s is None else age_s
    return lag_s if lag_s is None or lag_s >= 0 else None  # nothing is younger than now
