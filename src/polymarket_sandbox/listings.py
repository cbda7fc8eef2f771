"""Gamma objects of the generated markets: JSON inside strings, sentinels, absent keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from polymarket_sandbox import catalog, fees


def rfc3339(epoch_s: int) -> str:
    """`2026-09-28T18:30:00Z`."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()[:19] + "Z"


def postgres_text(epoch_s: int) -> str:
    """`2026-09-28 17:46:27+00`, the form of a market's `closedTime`."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(" ")[:19] + "+00"


def _day(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).date().isoformat()


def _array_text(values: Sequence[str]) -> str:
    """`["Yes", "No"]`: an array written into a string, blank after the comma as Gamma does."""
    return "[" + ", ".join(orjson.dumps(value).decode() for value in values) + "]"


def _is(market: catalog.Market, name: str) -> bool:
    return market.question == f"Sandbox {name.replace('_', ' ')}?"


def outcome_prices(market: catalog.Market) -> tuple[str, ...]:
    """1/0 when settled, halves for a tie, zeros on some settled rows, a guess while open."""
    if market.gamma_payouts:
        return tuple(f"{payout / 1e6:g}" for payout in market.gamma_payouts)
    first = (market.id % 97 + 1) / 100
    rest = round((1 - first) / (len(market.outcomes) - 1), 4)
    return (f"{first:g}", *(f"{rest:g}" for _ in market.outcomes[1:]))


def market_body(market: catalog.Market) -> catalog.Json:
    """The Gamma market without `events` and `tags`."""
    body = {**_identity(market), **_numbers(market), **_states(market), **_times(market)}
    if _is(market, "no condition key"):
        del body["conditionId"], body["questionID"]
    if _is(market, "untraded"):
        for key in ("volume", "volumeNum", "outcomePrices", "liquidity"):
            del body[key]
    return body


def description(market: catalog.Market) -> str:
    """The long text of a market."""
    return f"This market settles by its title.\n\n“{market.question}”"


def _identity(market: catalog.Market) -> catalog.Json:
    body: catalog.Json = {
        "id": str(market.id),
        "question": market.question,
        "conditionId": market.condition_id,
        "slug": market.slug,
        "icon": market.icon,
        "image": market.icon,
        "description": description(market),
        "outcomes": _array_text(market.outcomes),
        "outcomePrices": _array_text(outcome_prices(market)),
        "questionID": market.question_id,
        "groupItemTitle": "",
        "category": None,
        "marketMakerAddress": "",
        "version": market.version,
    }
    if market.version == "v2":
        padded = market.question_id[2:60].ljust(58, "0")
        body.update(
            questionID="",
            clobTokenIds=None,
            positionIds=list(market.tokens),
            resolutionStatus="resolved" if market.payouts else "active",
            onchainEventId=f"0x{padded}000000",
            requestId=f"0x{market.question_id[2:64]}00",
        )
    else:
        # "" was seen too, but the official SDK cannot read it.
        body["clobTokenIds"] = _array_text(market.tokens) if market.tokens else None
    if market.id % 5 == 0 and market.version == "v1":
        del body["version"]
    return body


def _numbers(market: catalog.Market) -> catalog.Json:
    volume = market.volume
    return {
        "volume": f"{volume}",
        "volumeNum": int(volume) if volume == int(volume) else volume,
        "liquidity": f"{market.liquidity}",
        "liquidityNum": market.liquidity,
        "volume24hr": round(volume * 0.01, 6),
        "volume1wk": round(volume * 0.05, 6),
        "volume1mo": round(volume * 0.2, 6),
        "volume1yr": volume,
        "volumeClob": volume,
        "orderMinSize": 5,
        "orderPriceMinTickSize": 0.01,
        "bestBid": 0.49,
        "bestAsk": 0.51,
        "lastTradePrice": 0.5,
        "spread": 0.02,
        **fees.shown(market.fee_subject, market.closed_at),
    }


def _states(market: catalog.Market) -> catalog.Json:
    return {
        "active": market.active,
        "closed": market.closed,
        "archived": market.archived,
        "new": False,
        "featured": False,
        "restricted": True,
        "enableOrderBook": True,
        "acceptingOrders": not market.closed,
        "negRisk": market.neg_risk,
        "negRiskMarketID": market.neg_risk_market_id,
        "negRiskRequestID": "",
        "umaResolutionStatus": market.uma_status if market.id % 2 else market.uma_status or None,
        "umaResolutionStatuses": "[]",
        "automaticallyResolved": bool(market.payouts),
        "resolvedBy": "" if market.id % 3 else "0x6a9d222616c90fca5754cd1333cfd9b7fb6a4f74",
        "resolutionSource": "",
    }


def _times(market: catalog.Market) -> catalog.Json:
    times: catalog.Json = {
        "createdAt": rfc3339(market.created)[:-1] + ".939464Z",
        "updatedAt": rfc3339(market.closed_at or market.created + 120),
    }
    if market.start:
        start = rfc3339(market.start)[:-1] + ".118Z"
        times.update(startDate=start, startDateIso=_day(market.start))
    if market.end:
        times.update(endDate=rfc3339(market.end), endDateIso=_day(market.end))
    if market.closed:
        times["closedTime"] = postgres_text(market.closed_at)
    return times


def settled(market: catalog.Market) -> catalog.Json:
    """The fields of a recorded market's object that change when it closes."""
    return {
        "closed": True,
        "closedTime": postgres_text(market.closed_at),
        "outcomePrices": _array_text(outcome_prices(market)),
        "umaResolutionStatus": market.uma_status,
        "acceptingOrders": False,
    }


def event_body(event: catalog.Event, members: Sequence[catalog.Market]) -> catalog.Json:
    """The Gamma event without `markets`, `tags` and `series`."""
    neg_risk = any(market.neg_risk for market in members)
    body: catalog.Json = {
        "id": str(event.id),
        "ticker": event.slug,
        "slug": event.slug,
        "title": event.title,
        "description": "",
        "icon": members[0].icon,
        "image": members[0].icon,
        "active": True,
        "closed": event.closed,
        "archived": False,
        "featured": False,
        "restricted": True,
        "startDate": rfc3339(event.start),
        "creationDate": rfc3339(event.created),
        "createdAt": rfc3339(event.created)[:-1] + ".96609Z",
        "updatedAt": rfc3339(event.closed_at or event.start + 60),
        "published_at": postgres_text(event.created),
        "volume": event.volume,
        "volume24hr": round(event.volume * 0.01, 6),
        "liquidity": event.liquidity,
        "openInterest": 0,
        "commentCount": event.id % 60,
        "negRisk": neg_risk,
        "enableNegRisk": neg_risk,
        "negRiskMarketID": members[0].neg_risk_market_id,
        "version": event.version,
    }
    if event.end:
        body["endDate"] = rfc3339(event.end)
    if event.closed:
        body["closedTime"] = rfc3339(event.closed_at)
    return body


def tag_body(number: int, label: str, slug: str, created: int) -> catalog.Json:
    """A Gamma tag."""
    return {
        "id": str(number),
        "label": label,
        "slug": slug,
        "forceShow": False,
        "publishedAt": postgres_text(created).replace("+00", ".783+00"),
        "createdAt": rfc3339(created)[:-1] + ".318816Z",
        "updatedAt": rfc3339(created + 86_400),
        "createdBy": 15,
        "updatedBy": 15,
        "requiresTranslation": False,
        "activeEventsCount": number % 200,
    }
