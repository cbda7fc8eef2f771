"""`/_sandbox/...`: read the truth and the counters, change limits and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from aiohttp import web

from polymarket_sandbox import (
    apis,
    exports,
    faults,
    gateway,
    official,
    profit_lines,
    stats,
    throttle,
    truth,
    universe,
)

PREFIX = "/_sandbox"
DEFAULT_TOP = 100


@dataclass(frozen=True, repr=False)
class ControlApi:
    """Handlers over the parts of one sandbox. `present`: the APIs of this moment; `now`: the
    universe's present, epoch seconds."""

    present: apis.PresentApis
    now: Callable[[], int]
    throttle: throttle.Throttle
    faults: faults.Faults
    stats: stats.Stats
    edge: gateway.Gateway

    @property
    def world(self) -> universe.Universe:
        """The universe as it is now."""
        return self.present().world

    @property
    def official(self) -> official.Official:
        """What Polymarket says now of its wallets."""
        return self.present().official

    def install(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get(f"{PREFIX}/truth", self.whole_truth)
        router.add_post(f"{PREFIX}/truth", self.partial_truth)
        router.add_get(f"{PREFIX}/stats", self.show_stats)
        router.add_post(f"{PREFIX}/stats/reset", self.reset_stats)
        router.add_get(f"{PREFIX}/faults", self.show_faults)
        router.add_post(f"{PREFIX}/faults", self.change_faults)
        router.add_post(f"{PREFIX}/limits", self.change_limits)
        router.add_get(f"{PREFIX}/wallets", self.wallets)
        router.add_get(f"{PREFIX}/conditions", self.conditions)
        router.add_get(f"{PREFIX}/universe", self.describe)
        router.add_get(f"{PREFIX}/ledger", self.ledger)
        router.add_get(f"{PREFIX}/markets", self.markets)
        router.add_get(f"{PREFIX}/profit", self.profit)
        router.add_get(f"{PREFIX}/profit/markets", self.profit_by_market)
        router.add_post(f"{PREFIX}/official", self.change_official)
        router.add_post(f"{PREFIX}/grow", self.begin_growth)

    async def whole_truth(self, _request: web.Request) -> web.Response:
        """GET truth: everything reachable. Hashing a million rows takes seconds, hence a thread."""
        return _json(await asyncio.to_thread(self.present().truth.everything, self.now()))

    async def partial_truth(self, request: web.Request) -> web.Response:
        """POST truth {"wallets": [...], "conditions": [...]}: what these walks reach."""
        body = await _body(request)
        wallets, conditions = _texts(body, "wallets"), _texts(body, "conditions")
        return _json(
            await asyncio.to_thread(self.present().truth.of_keys, wallets, conditions, self.now())
        )

    async def show_stats(self, _request: web.Request) -> web.Response:
        """GET stats."""
        counted = self.throttle
        return _json(
            {
                "budgets": counted.report(),
                "addresses": counted.report_by_address(),
                **self.stats.report(),
            }
        )

    async def reset_stats(self, _request: web.Request) -> web.Response:
        """POST stats/reset."""
        self.throttle.reset()
        self.stats.reset()
        return _json({"reset": True})

    async def show_faults(self, _request: web.Request) -> web.Response:
        """GET faults: the rules and how often each fired."""
        return _json(self.faults.report())

    async def change_faults(self, request: web.Request) -> web.Response:
        """POST faults: a rule, a list or {"add": [...]}; {"replace": [...]}; {"clear": true}."""
        body = await _body(request)
        try:
            if isinstance(body, dict) and "replace" in body:
                self.faults.replace(body["replace"])
            elif isinstance(body, dict) and body.get("clear"):
                self.faults.replace([])
            else:
                self.faults.add(body.get("add", body) if isinstance(body, dict) else body)
        except faults.FaultError as wrong:
            raise _bad_request(str(wrong)) from wrong
        return _json(self.faults.report())

    async def change_limits(self, request: web.Request) -> web.Response:
        """POST limits: {"factor": 0.5}, budgets by name, "refusal": json|html, "max_delay_s"."""
        body = await _body(request)
        if not isinstance(body, dict):
            raise _bad_request("limits must be a JSON object")
        try:
            refusal = body.pop("refusal", self.edge.refusal)
            max_delay_s = float(body.pop("max_delay_s", self.throttle.max_delay_s))
            self.throttle.change(body)
        except (TypeError, ValueError) as wrong:
            raise _bad_request(str(wrong)) from wrong
        self.throttle.max_delay_s = max_delay_s
        self.edge.refusal = "html" if refusal == "html" else "json"
        return _json(self.throttle.report())

    async def wallets(self, request: web.Request) -> web.Response:
        """GET wallets?top=N&by=notional|rows."""
        return _json(self._ranking(request, "wallets"))

    async def conditions(self, request: web.Request) -> web.Response:
        """GET conditions?top=N&by=notional|rows."""
        return _json(self._ranking(request, "conditions"))

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """GET ledger?wallet=&type=TRADE|all: rows as NDJSON, oldest first."""
        kind = request.query.get("type", "TRADE")
        if kind not in {"TRADE", "all"}:
            raise _bad_request("type must be TRADE or all")
        number = self._asked_wallet(request)
        chosen = exports.chosen_rows(self.world, number, trades_only=kind == "TRADE")
        return await _stream(request, exports.ledger(self.world, chosen))

    async def markets(self, request: web.Request) -> web.StreamResponse:
        """GET markets: all markets with event, tags and payouts as NDJSON."""
        return await _stream(request, exports.markets(self.world.lists))

    async def profit(self, request: web.Request) -> web.StreamResponse:
        """GET profit?wallet=: what every wallet earned, as NDJSON."""
        books = await asyncio.to_thread(lambda: self.official.books)
        wallet = self._asked_wallet(request)
        return await _stream(
            request, profit_lines.wallets(self.world, books, self.official, wallet)
        )

    async def profit_by_market(self, request: web.Request) -> web.StreamResponse:
        """GET profit/markets?wallet=: the same by wallet and market, with what is held."""
        books = await asyncio.to_thread(lambda: self.official.books)
        wallet = self._asked_wallet(request)
        return await _stream(request, profit_lines.markets(self.world, books, wallet))

    async def change_official(self, request: web.Request) -> web.Response:
        """POST official {"wallet": "0x...", "usd": 2}: add USD to what the wallet's official figure
        says; the truth stays."""
        body = await _body(request)
        if not isinstance(body, dict) or not isinstance(body.get("usd"), (int, float)):
            raise _bad_request("official must be {wallet, usd}, usd a number")
        try:
            self.official.change(truth.with_0x(str(body.get("wallet"))), float(body["usd"]))
        except KeyError as unknown:
            raise _bad_request(f"official: unknown wallet {unknown}") from unknown
        return _json({"changed": len(self.official.changed)})

    async def begin_growth(self, _request: web.Request) -> web.Response:
        """POST grow: a universe that waits for this begins to grow."""
        if not self.present.grows:
            raise _bad_request("grow: this universe does not grow: start it with --grow")
        self.present.begin()
        return _json({"grows": True})

    async def describe(self, _request: web.Request) -> web.Response:
        """GET universe: its size, its present, and the names of what was made on purpose."""
        world = self.world
        return _json(
            {
                "now": self.now(),
                "rows": len(world.table),
                "trades": int((world.table.is_trade & world.table.listed).sum()),
                "wallets": len(world.tables.wallets),
                "conditions": len(world.tables.conditions),
                "markets": len(world.lists.markets),
                "events": len(world.lists.events),
                "late_rows": int(world.table.late.sum()),
                "special": dict(world.special),
            }
        )

    def _asked_wallet(self, request: web.Request) -> int | None:
        """The number of `?wallet=`, -1 for an unknown one, None for all."""
        wallet = request.query.get("wallet")
        return None if wallet is None else self.world.wallet_number.get(truth.with_0x(wallet), -1)

    def _ranking(self, request: web.Request, kind: str) -> list[dict[str, object]]:
        top = request.query.get("top", str(DEFAULT_TOP))
        if not top.isdecimal():
            raise _bad_request("top must be a number")
        by = request.query.get("by", "notional")
        return truth.ranking(self.world, kind, by=by, top=int(top))


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _bad_request(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text=orjson.dumps({"error": text}).decode(), content_type="application/json"
    )


async def _stream(request: web.Request, chunks: Iterator[bytes]) -> web.StreamResponse:
    """Chunks as they are made, each in a thread, so that other answers go on."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        await response.write(chunk)
    await response.write_eof()
    return response


async def _body(request: web.Request) -> object:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as wrong:
        raise _bad_request(f"not JSON: {wrong}") from wrong


def _texts(body: object, name: str) -> list[str]:
    held = body.get(name, []) if isinstance(body, dict) else None
    if not isinstance(held, list) or not all(isinstance(value, str) for value in held):
        raise _bad_request(f"{name} must be a list of texts")
    return held
