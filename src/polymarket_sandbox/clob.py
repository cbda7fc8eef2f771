"""CLOB `/markets`: the one list that shows every condition, 1000 a page, random access."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qsl

import orjson

from polymarket_sandbox import catalog, listings, responses

PAGE = 1_000
END_CURSOR = "LTE="  # base64 of -1
# The page size of an order book that clamps; no client's parameter.
CLAMPED = "_sandbox_page"


class Clob:
    """Answers of one catalog."""

    def __init__(self, lists: catalog.Catalog) -> None:
        self._lists = lists

    def markets(self, _argument: str, raw: str) -> responses.Response:
        """GET /markets: the cursor is the decimal offset in base64."""
        parameters = dict(parse_qsl(raw))
        offset, page = (
            _offset(parameters.get("next_cursor", "")),
            int(parameters.get(CLAMPED, PAGE)),
        )
        chosen = self._lists.clob[offset : offset + page]
        following = offset + page
        cursor = encode(following) if following < len(self._lists.clob) else END_CURSOR
        head = orjson.dumps({"limit": PAGE, "count": len(chosen), "next_cursor": cursor})
        shown = orjson.dumps([self._market(self._lists.markets[place]) for place in chosen])
        return responses.Response(head[:-1] + b',"data":' + shown + b"}")

    def market(self, argument: str, _raw: str) -> responses.Response:
        """GET /markets/{condition_id}."""
        position = self._lists.index.by_condition.get(argument.lower())
        if position is None or not self._lists.markets[position].in_clob:
            return responses.as_json({"error": "market not found"}, status=404)
        return responses.as_json(self._market(self._lists.markets[position]))

    def _market(self, market: catalog.Market) -> catalog.Json:
        if market.clob_body is not None:
            return market.clob_body
        labels = [
            self._lists.index.tag_by_id[number].label for number in self._lists.tags_of(market)
        ]
        end = listings.rfc3339(market.end) if market.end else None
        return {
            "enable_order_book": not market.clob_closed,
            "active": market.active,
            "closed": market.clob_closed,
            "archived": market.archived,
            "accepting_orders": not market.clob_closed,
            "accepting_order_timestamp": None
            if market.clob_closed
            else listings.rfc3339(market.created),
            "minimum_order_size": 15,
            "minimum_tick_size": 0.01,
            "condition_id": market.condition_id,
            "question_id": market.question_id,
            "question": market.question,
            "description": _description(market),
            "market_slug": market.slug,
            "end_date_iso": end,
            "game_start_time": None,
            "seconds_delay": 0,
            "fpmm": "",
            "maker_base_fee": 0,
            "taker_base_fee": 0,
            "notifications_enabled": True,
            "neg_risk": market.neg_risk,
            "neg_risk_market_id": market.neg_risk_market_id,
            "neg_risk_request_id": "",
            "icon": market.icon,
            "image": market.icon,
            "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
            "is_50_50_outcome": market.payouts == (500_000, 500_000),
            "tokens": _tokens(market),
            "tags": [*labels, "All"] if labels else None,
            "version": market.version,
        }


def _description(market: catalog.Market) -> str:
    if market.body is None:
        return listings.description(market)
    return str(market.body.get("description", ""))


def _tokens(market: catalog.Market) -> list[catalog.Json]:
    """Token ids, labels and winner; an unprepared market has empty ids."""
    ids = market.tokens or ("",) * len(market.outcomes)
    payouts = market.clob_payouts
    quotes = listings.outcome_prices(market) if market.body is None else ()
    listed: list[catalog.Json] = []
    for place, (token, label) in enumerate(zip(ids, market.outcomes, strict=False)):
        payout = payouts[place] if place < len(payouts) else None
        quote = float(quotes[place]) if place < len(quotes) else 0.5
        price = quote if payout is None else payout / 1e6
        row: catalog.Json = {"token_id": token, "outcome": label, "price": price}
        row["winner"] = payout == 1_000_000
        listed.append(row)
    return listed


def encode(offset: int) -> str:
    """The cursor of an offset."""
    return base64.b64encode(str(offset).encode()).decode()


def _offset(cursor: str) -> int:
    """The offset of a cursor, empty for the start. Raises ApiError (400)."""
    if not cursor:
        return 0
    try:
        offset = int(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError) as damage:
        refusal = responses.as_json(
            {"error": "Next item should be greater than or equal to 0"}, status=400
        )
        raise responses.ApiError(refusal) from damage
    return offset if offset >= 0 else 2**62
