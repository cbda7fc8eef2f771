"""What the API counts as the volume of each condition of some events: shares, each fill once.

Source: docs.polymarket.com/api-reference (data-api v2, live-volume) and live comparison, read
2026-11: up to 20 event ids a request, six decimals; fills of a market's opening burst are missing
at times.
"""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill import errors, records
from polybackfill.polymarket import coerce, endpoints, http_outcome, parsing

MAX_EVENTS = 20
LARGEST_EVENT_ID = 2**31 - 1  # OpenAPI of v2, 2026-11: positive int32


async def fetch_volumes(get: http_outcome.Get, events: Sequence[int]) -> dict[str, float]:
    """Shares by condition (64 hex digits) of up to 20 events; an unknown event has none.

    Raises Retry for an answer that is no volume, and what `get` raises: GiveUp with status 404
    where the route is not served.
    """
    named = ",".join(str(event) for event in events)
    response = await get(endpoints.LIVE_VOLUME, (("event_id", named),))
    return parse_volumes(response.body, response.url)


def parse_volumes(body: bytes, url: str) -> dict[str, float]:
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


def _condition(value: object) -> str:
    try:
        return records.normalise_condition(coerce.text(value))
    except errors.Reject:
        return ""
