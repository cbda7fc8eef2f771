"""In front of the APIs: count a request, throttle, delay and answer it, perhaps with a fault."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
import socket
import struct
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from polymarket_sandbox import (
    apis,
    changes,
    drift,
    fault_injection,
    faults,
    options,
    responses,
    routes,
    stats,
    throttle,
)

# Shares of the data latency: the lists of Gamma are faster, CLOB faster still.
_LATENCY_SHARE: Mapping[str, float] = {"data": 1.0, "gamma": 0.35, "clob": 0.25}
_QUICK_ROUTES: Mapping[str, float] = {"status": 0.1, "ok": 0.02, "resolutions": 0.4}
_LATENCY_SPREAD = 0.15

_CURSOR_NAMES = ("cursor", "after_cursor", "next_cursor")
CACHE_S = 300
_CACHED_PAGES = 1_024
DRIP_BYTES = 64  # then one byte per interval


class Gateway:
    """Everything in front of the APIs of one sandbox. `present`: those of this moment."""

    def __init__(
        self,
        settings: options.SandboxOptions,
        present: Callable[[], apis.Apis],
        limits: throttle.Throttle,
        fault_rules: faults.Faults,
        statistics: stats.Stats,
        *,
        changing: changes.Changes,
    ) -> None:
        self._present = present
        self._throttle = limits
        self._faults = fault_rules
        self._stats = statistics
        self._changes = changing
        wanted = (
            options.DEFAULT_DATA_LATENCY_MS if settings.latency_ms is None else settings.latency_ms
        )
        self._latency_s = wanted / 1e3
        self._dice = random.Random(f"latency-{settings.seed}")
        self._caching = settings.cache
        self._cache: dict[str, tuple[float, responses.Response]] = {}
        self._one_page_at_a_time = asyncio.Lock()
        self.refusal = settings.refusal

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; never raises but for a client that went away."""
        arrived = time.monotonic()
        self._stats.begin(_peer(request))
        match = self._present().routes.find(request.path)
        name, status, sent = match.route.name if match else "unknown", "aborted", 0
        try:
            response = await self._answer(request, match, arrived)
            status = str(response.status)
            body = response.body if isinstance(response, web.Response) else None
            sent = len(body) if isinstance(body, bytes) else 0
            return response
        finally:
            self._stats.end(name, status, sent, time.monotonic() - arrived)

    async def _answer(
        self, request: web.Request, match: routes.RouteMatch | None, arrived: float
    ) -> web.StreamResponse:
        if match is None:
            return _respond(routes.not_found(request.path))
        decision = self._throttle.arrive(match.route.budgets, arrived, request.remote or "")
        if decision.retry_after_s is not None:
            return _respond(self._too_many(decision.retry_after_s))
        if decision.delay_s:
            await self._queue(decision.delay_s)
        if request.method != "GET":
            return _respond(responses.v2_error(405, "method_not_allowed", "Method Not Allowed"))
        return await self._served(request, match)

    async def _served(self, request: web.Request, match: routes.RouteMatch) -> web.StreamResponse:
        raw_query = request.query_string
        cursor = _cursor_of(raw_query)
        names = (match.route.name, match.route.host)
        rule = self._faults.draw(names, match.path, raw_query, cursor=cursor)
        if rule is not None and rule.kind in faults.INSTEAD:
            return await self._instead(request, rule, match.route)
        await self._take_time(match.route)
        if rule is not None and rule.kind == "cursor_refused":
            return _respond(fault_injection.cursor_refused())
        if rule is not None and rule.kind in faults.CHANGES:
            self._changes.apply(rule)
            rule = None
        async with self._one_page_at_a_time:
            # One page at a time, and the sockets are read between two of them. A page takes up to
            # 16 ms; thirty that are due together would hold up whoever arrives meanwhile, and what
            # waits in a socket counts as having come at once.
            await asyncio.sleep(0)
            if rule is not None and rule.kind in faults.OTHER_QUESTION:
                other = _ask(match, fault_injection.change_query(rule, match.route, raw_query))
                return _respond(
                    other if other.status == 200 else self._cached_or_fresh(match, raw_query)
                )
            response = self._cached_or_fresh(match, raw_query)
        if rule is None:
            return _respond(response)
        if rule.kind in faults.DRIFTED:
            return _respond(drift.drifted(rule, match.route, response))
        return await self._spoiled(request, rule, response, cursor)

    async def _queue(self, delay_s: float) -> None:
        self._throttle.queued += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._throttle.queued -= 1

    async def _take_time(self, route: routes.Route) -> None:
        share = _QUICK_ROUTES.get(route.name, _LATENCY_SHARE[route.host])
        spread = self._dice.uniform(1 - _LATENCY_SPREAD, 1 + _LATENCY_SPREAD)
        if self._latency_s:
            await asyncio.sleep(self._latency_s * share * spread)

    def _cached_or_fresh(self, match: routes.RouteMatch, raw_query: str) -> responses.Response:
        if self._caching and match.route.name == "trades" and not _cursor_of(raw_query):
            return self._cached(match, raw_query)
        return _ask(match, raw_query)

    def _cached(self, match: routes.RouteMatch, raw_query: str) -> responses.Response:
        """Page 1 of a feed as the edge keeps it: up to five minutes old."""
        now = time.monotonic()
        kept = self._cache.get(raw_query)
        if kept is None or now - kept[0] >= CACHE_S:
            kept = (now, _ask(match, raw_query))
            if kept[1].status == 200:
                self._cache.pop(raw_query, None)
                self._cache[raw_query] = kept
            if len(self._cache) > _CACHED_PAGES:
                self._cache.pop(next(iter(self._cache)))
        age_s = now - kept[0]
        headers = {
            "Cache-Control": f"public, max-age={CACHE_S}",
            "Age": str(int(age_s)),
            "cf-cache-status": "HIT" if age_s else "MISS",
        }
        return responses.Response(kept[1].body, kept[1].status, kept[1].content_type, headers)

    def _too_many(self, wait_s: float) -> responses.Response:
        if self.refusal == "html":
            return responses.html(429, "Too Many Requests", "error code: 1015")
        return responses.v2_error(
            429,
            "rate_limited",
            "rate limit exceeded",
            retryable=True,
            headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
        )

    async def _instead(
        self, request: web.Request, rule: faults.Rule, route: routes.Route
    ) -> web.StreamResponse:
        if rule.kind == "reset":
            return _reset(request)
        if rule.kind == "hang":
            await asyncio.Event().wait()
        return _respond(fault_injection.replace_response(rule, route))

    async def _spoiled(
        self, request: web.Request, rule: faults.Rule, honest: responses.Response, cursor: str
    ) -> web.StreamResponse:
        if rule.kind in {"truncated", "drip"}:
            return await _broken_stream(request, rule, honest)
        if rule.kind in faults.SPOILED_BODY:
            return _respond(fault_injection.damage_body(rule, honest))
        if honest.status != 200:
            return _respond(honest)
        return _respond(fault_injection.damage_list(rule, honest, cursor))


def _peer(request: web.Request) -> object:
    return None if request.transport is None else request.transport.get_extra_info("peername")


def _ask(match: routes.RouteMatch, raw_query: str) -> responses.Response:
    try:
        return match.route.answer(match.argument, raw_query)
    except responses.ApiError as refusal:
        return refusal.response


def _cursor_of(raw_query: str) -> str:
    if "cursor=" not in raw_query:
        return ""
    return next((v for name, v in parse_qsl(raw_query) if name in _CURSOR_NAMES), "")


def _headers(response: responses.Response) -> dict[str, str]:
    return {
        "Content-Type": response.content_type,
        "x-trace-id": secrets.token_hex(16),
        **response.headers,
    }


def _respond(response: responses.Response) -> web.Response:
    return web.Response(body=response.body, status=response.status, headers=_headers(response))


def _reset(request: web.Request) -> web.Response:
    """Cut the connection with a TCP reset; the response object is never sent."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=499)


async def _broken_stream(
    request: web.Request, rule: faults.Rule, honest: responses.Response
) -> web.StreamResponse:
    """Promise the whole body; then stop half way and hang up, or go on byte by byte for ever."""
    response = web.StreamResponse(status=honest.status, headers=_headers(honest))
    response.content_length = len(honest.body) + DRIP_BYTES
    # The client may hang up at any moment; that is the purpose of this fault.
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        if rule.kind == "truncated":
            await response.write(honest.body[: len(honest.body) // 2])
        else:
            await _drip(response, rule, honest.body)
    if request.transport is not None:
        request.transport.close()
    return response


async def _drip(response: web.StreamResponse, rule: faults.Rule, body: bytes) -> None:
    await response.write(body[:DRIP_BYTES])
    for place in range(DRIP_BYTES, len(body)):
        await asyncio.sleep(rule.interval_s)
        await response.write(body[place : place + 1])
