"""A Polymarket of a handful of rows that a test writes down, changes and spoils while it is asked.

Written from the API's description; what is too small for the sandbox to be about: one wallet whose
history is known to the cent, rows in forms nobody documented, servers that tell no time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from aiohttp import web
from tests import loopback

from polybackfill.polymarket import tokens

Row = dict[str, Any]
Spoil = Callable[[str, Row], Row]
DAY_S = 86_400


def wallet_of(name: str) -> str:
    """A wallet, with 0x."""
    return "0x" + hashlib.sha256(f"wallet {name}".encode()).hexdigest()[:40]


def condition_of(name: str) -> str:
    """A condition id, with 0x."""
    return "0x" + hashlib.sha256(f"condition {name}".encode()).hexdigest()


def token_of(name: str, outcome: int) -> str:
    """The token of an outcome."""
    return tokens.token_ids(condition_of(name).removeprefix("0x"), outcome)[0]


def trade(  # noqa: PLR0917  (a trade has so many parts)
    wallet: str, market: str, outcome: int, side: str, size: Any, price: Any, second: Any
) -> Row:
    """A row of /v2/activity."""
    named = f"{wallet} {market} {outcome} {side} {size} {second}"
    return {
        "proxy_wallet": wallet_of(wallet),
        "timestamp": second,
        "condition_id": condition_of(market),
        "type": "TRADE",
        "size": size,
        "usdc_size": 0.0,
        "transaction_hash": "0x" + hashlib.sha256(named.encode()).hexdigest(),
        "price": price,
        "token_id": token_of(market, outcome),
        "side": side,
        "outcome_index": outcome,
        "title": f"Will {market}?",
        "slug": market,
        "event_slug": market,
        "outcome": ("Yes", "No")[outcome],
        "is_combo": False,
    }


def market(number: int, name: str, prices: list[str], *, closed: bool, start: int) -> Row:
    """A row of Gamma's list of markets."""
    return {
        "id": str(number),
        "conditionId": condition_of(name),
        "slug": name,
        "question": f"Will {name}?",
        "outcomes": '["Yes", "No"]',
        "outcomePrices": json.dumps(prices),
        "clobTokenIds": json.dumps([token_of(name, 0), token_of(name, 1)]),
        "active": True,
        "closed": closed,
        "archived": False,
        "umaResolutionStatus": "resolved" if closed else None,
        "startDate": text_of(start),
        "endDate": text_of(start + 30 * DAY_S),
        "closedTime": text_of(start + 2 * DAY_S) if closed else None,
        "volumeNum": 80.0,
        "liquidityNum": 10.0,
        "negRisk": False,
        "events": [{"id": str(1000 + number), "slug": name}],
    }


def position(
    wallet: str, market: str, outcome: int, size: Any, at: Any, *, status: str = "OPEN"
) -> Row:
    """A row of /v2/positions."""
    return {
        "proxy_wallet": wallet_of(wallet),
        "token_id": token_of(market, outcome),
        "condition_id": condition_of(market),
        "current_size": size,
        "avg_price": 0.4,
        "total_size": 100.0,
        "current_price": 0.5,
        "current_value": 20.0,
        "realized_pnl": 0.0,
        "unrealized_pnl": 4.0,
        "entry_fees_usdc": 0.0,
        "status": status,
        "slug": market,
        "outcome": ("Yes", "No")[outcome],
        "outcome_index": outcome,
        "last_event_at": at,
    }


def book_row(
    name: str, winner: int | None, *, closed: bool, order: tuple[int, ...] = (0, 1), **more: Any
) -> Row:
    """A row of the order book's list; `order`: outcome indexes as it lists them."""
    tokens_shown = [
        {
            "token_id": token_of(name, index),
            "outcome": ("Yes", "No")[index],
            "price": 0.5 if winner is None else float(index == winner),
            "winner": index == winner,
        }
        for index in order
    ]
    return {
        "condition_id": condition_of(name),
        "question": f"Will {name}?",
        "market_slug": name,
        "closed": closed,
        "active": True,
        "archived": False,
        "neg_risk": False,
        "end_date_iso": text_of(int(time.time())),
        "tokens": tokens_shown,
        "tags": [],
        **more,
    }


def resolution(market: str, payouts: list[int] | None, status: str = "") -> Row:
    """A row of /v2/resolutions."""
    return {
        "condition_id": condition_of(market),
        "question_id": None,
        "status": status or ("active" if payouts is None else "resolved"),
        "payouts": payouts,
        "resolution_source": "reported",
        "resolved_at": None if payouts is None else text_of(int(time.time()) - 60),
        "last_update_timestamp": text_of(int(time.time()) - 60),
    }


def activity(  # noqa: PLR0917  (an activity has so many parts)
    kind: str, wallet: str, condition: str, size: float, usd: float, second: int, tx: str = ""
) -> Row:
    """A row of /v2/activity without a token; `condition`: with 0x, '' for income of no market."""
    named = tx or f"{kind} {wallet} {condition} {size} {second}"
    return {
        "proxy_wallet": wallet_of(wallet),
        "timestamp": second,
        "condition_id": condition,
        "type": kind,
        "size": size,
        "usdc_size": usd,
        "transaction_hash": "0x" + hashlib.sha256(named.encode()).hexdigest(),
        "price": 0.0,
        "token_id": "",
        "side": "",
        "outcome_index": 999,
        "title": "",
        "slug": "",
        "event_slug": "",
        "outcome": "",
    }


@dataclass
class SmallApi:
    """What is served at the moment. `spoil`: changes a body, by the path that was asked.

    `ahead_s`: how wrong the servers' own clock is; None: they tell no time. `requests`: the paths
    that were asked; `questions`: the same with what was asked there.
    """

    url: str = ""
    activity: list[Row] = field(default_factory=list)
    markets: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    book: list[Row] = field(default_factory=list)
    positions: list[Row] = field(default_factory=list)
    resolutions: list[Row] = field(default_factory=list)
    spoil: Spoil = lambda _path, body: body
    ahead_s: float | None = 0.0
    requests: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Any of the routes."""
        self.requests.append(request.path)
        self.questions.append(request.path_qs)
        body = self._body(request.path, request)
        if body is None:
            return web.json_response({"error": "not found"}, status=404)
        text = json.dumps(self.spoil(request.path, body))
        return web.Response(text=text, content_type="application/json")

    async def tell_time(self, _request: web.Request, response: web.StreamResponse) -> None:
        """The Date of every response."""
        response.headers.pop("Date", None)
        if self.ahead_s is not None:
            response.headers["Date"] = formatdate(time.time() + self.ahead_s, usegmt=True)

    def _body(self, path: str, request: web.Request) -> Row | None:  # noqa: PLR0911  (routes)
        query = request.query
        if path == "/data/v2/activity":
            rows = [row for row in self.activity if row["proxy_wallet"] == query["user"]]
            start = int(query.get("start", 0)), int(query.get("end", 2**40))
            rows = [row for row in rows if start[0] <= _second(row["timestamp"]) <= start[1]]
            return _page(sorted(rows, key=lambda row: _second(row["timestamp"])), query)
        if path == "/data/v2/trades":
            rows = [row for row in self.activity if str(row["type"]).upper() == "TRADE"]
            rows = [row for row in rows if str(row["condition_id"]) in query.get("condition", "")]
            rows = sorted(rows, key=lambda row: -_second(row["timestamp"]))
            hidden = {"type", "usdc_size", "is_combo"}
            kept = [{key: row[key] for key in row if key not in hidden} for row in rows]
            return _page(kept, query)
        if path == "/data/v2/positions":
            rows = [row for row in self.positions if row["proxy_wallet"] == query["user"]]
            closed = query.get("status") == "CLOSED"
            rows = [row for row in rows if (row["status"] == "CLOSED") == closed]
            return _page(sorted(rows, key=lambda row: _second(row["last_event_at"])), query)
        if path == "/data/v2/resolutions":
            asked = query.get("condition", "")
            return {"data": [row for row in self.resolutions if row["condition_id"] in asked]}
        if path == "/data/v2/status":
            ages = [{"name": "activity_feed", "age_seconds": 4}]
            return {"data": {"serving": {"lag_seconds": 4, "mechanisms": ages}}}
        if path in {"/gamma/markets/keyset", "/gamma/events/keyset"}:
            name = path.split("/")[2]
            return {name: self._listed(self.markets if name == "markets" else self.events, query)}
        if path == "/clob/markets":
            first = int(base64.b64decode(query.get("next_cursor") or "MA==").decode())
            rows = self.book[first : first + 1000]
            return {"data": rows, "count": len(rows), "limit": 1000, "next_cursor": "LTE="}
        if path.startswith("/clob/markets/"):
            return _named(self.book, "condition_id", path)
        return _named(self.markets, "slug", path)

    @staticmethod
    def _listed(rows: list[Row], query: Any) -> list[Row]:
        closed = query.get("closed", "false") == "true"
        rows = [row for row in rows if _flag(row.get("closed")) == closed]
        if "condition_ids" in query:
            return [row for row in rows if row.get("conditionId") in query.getall("condition_ids")]
        since, until = query.get("start_date_min", ""), query.get("start_date_max", "9999")
        return [row for row in rows if since <= str(row.get("startDate")) <= until]


def _page(rows: list[Row], query: Any) -> Row:
    limit, first = int(query.get("limit", 100)), int(query.get("cursor", "c0")[1:])
    more = first + limit < len(rows)
    cursor = f"c{first + limit}" if more else None
    return {
        "data": rows[first : first + limit],
        "pagination": {"limit": limit, "offset": first, "has_more": more, "next_cursor": cursor},
    }


def _named(rows: list[Row], key: str, path: str) -> Row | None:
    return next((row for row in rows if row[key] == path.rsplit("/", 1)[1]), None)


def _second(value: Any) -> int:
    """A timestamp in any of the forms a test may write, in seconds; 0 for none of them."""
    if isinstance(value, str) and "T" in value:
        return int(datetime.fromisoformat(value).timestamp())
    try:
        number = int(float(value))
    except (TypeError, ValueError):
        return 0
    return number // 1000 if number > 10**11 else number


def _flag(value: Any) -> bool:
    return str(value).lower() in {"true", "1"}


def text_of(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def serving(api: SmallApi) -> Iterator[SmallApi]:
    """Serve it on a free port of this machine."""
    app = web.Application()
    app.router.add_get("/{path:.*}", api.answer)
    app.on_response_prepare.append(api.tell_time)
    with loopback.serving(app) as port:
        api.url = f"http://127.0.0.1:{port}"
        yield api
