"""How far the source says that it lies behind the chain.

`/v2/status` names the age of each part it serves; `activity_feed` is what trades and activity come
from. It answers 503 until it has measured for the first time.
"""

from __future__ import annotations

import msgspec

from polybackfill import clock as clocks
from polybackfill.polymarket import endpoints, envelope, walk

FEED = walk.Feed(endpoints.STATUS, ())
_ACTIVITY = "activity_feed"


class _Mechanism(msgspec.Struct):
    name: str | None = None
    age_seconds: float | None = None


class _Serving(msgspec.Struct):
    lag_seconds: float | None = None
    mechanisms: list[_Mechanism] | None = None


class _Status(msgspec.Struct):
    serving: _Serving | None = None


_status = msgspec.json.Decoder(_Status | None)


async def lag_s(
    fetch: walk.Fetch, *, clock: clocks.Clock, persist: walk.Persist = walk.once
) -> float | None:
    """Seconds the activity feed lies behind; the largest lag where it is not named; None if unsaid.

    Raises Retry for an answer in another shape, and what `fetch` raises.
    """

    async def ask() -> float | None:
        reply = await fetch(FEED, None)
        found = envelope.content(reply.body, _status, walk.source_of(FEED, reply, clock, ""))
        return _activity_s(found.serving) if found and found.serving else None

    return await persist(ask)


def _activity_s(serving: _Serving) -> float | None:
    ages = {one.name: one.age_seconds for one in serving.mechanisms or ()}
    age_s = ages.get(_ACTIVITY)
    return serving.lag_seconds if age_s is None else age_s
