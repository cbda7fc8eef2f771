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
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from polymarket_sandbox import (
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


class Edge:
    """Everything in front of the APIs of one sandbox."""

    def __init__(
        self,
        asked: options.SandboxOptions,
        table: routes.Routes,
        limits: throttle.Throttle,
        rules: faults.Faults,
        counted: stats.Stats,
        *,
        changing: changes.Changes,
    ) -> None:
        self._routes = table
        self._throttle = limits
        self._faults = rules
        self._stats = counted
        self._changes = changing
        wanted = options.DEFAULT_DATA_LATENCY_MS if asked.latency_ms is None else asked.latency_ms
        self._latency_s = wanted / 1e3
        self._dice = random.Random(f"latency-{asked.seed}")
        self._caching = asked.cache
        self._cache: dict[str, tuple[float, responses.Reply]] = {}
        self._desk = asyncio.Lock()
        self.refusal = asked.refusal

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; never raises but for a client that went away."""
        arrived = time.monotonic()
        self._stats.begin(_peer(request))
        found = self._routes.find(request.path)
        name, status, sent = found.route.name if found else "unknown", "aborted", 0
        try:
            response = await self._answer(request, found, arrived)
            status = str(response.status)
            body = response.body if isinstance(response, web.Response) else None
            sent = len(body) if isinstance(body, bytes) else 0
            return response
        finally:
            self._stats.end(name, status, sent, time.monotonic() - arrived)

    async def _answer(
        self, request: web.Request, found: routes.Found | None, arrived: float
    ) -> web.StreamResponse:
        if found is None:
            return _respond(routes.not_found(request.path))
        verdict = self._throttle.arrive(found.route.budgets, arrived)
        if verdict.retry_after_s is not None:
            return _respond(self._too_many(verdict.retry_after_s))
        if verdict.delay_s:
            await self._queue(verdict.delay_s)
        if request.method != "GET":
            return _respond(responses.v2_error(405, "method_not_allowed", "Method Not Allowed"))
        return await self._served(request, found)

    async def _served(self, request: web.Request, found: routes.Found) -> web.StreamResponse:
        raw_query = request.query_string
        cursor = _cursor_of(raw_query)
        names = (found.route.name, found.route.host)
        rule = self._faults.draw(names, found.path, raw_query, cursor=cursor)
        if rule is not None and rule.kind in faults.INSTEAD:
            return await self._instead(request, rule, found.route)
        await self._take_time(found.route)
        if rule is not None and rule.kind == "cursor_refused":
            return _respond(fault_injection.cursor_refused())
        if rule is not None and rule.kind in faults.CHANGES:
            self._changes.apply(rule)
            rule = None
        async with self._desk:
            # One page at a time, and the sockets are read between two of them. A page takes up to
            # 16 ms; thirty that are due together would hold up whoever arrives meanwhile, and what
            # waits in a socket counts as having come at once.
            await asyncio.sleep(0)
            if rule is not None and rule.kind in faults.OTHER_QUESTION:
                other = _ask(found, fault_injection.other_question(rule, found.route, raw_query))
                return _respond(other if other.status == 200 else self._reply(found, raw_query))
            reply = self._reply(found, raw_query)
        if rule is None:
            return _respond(reply)
        if rule.kind in faults.DRIFTED:
            return _respond(drift.drifted(rule, found.route, reply))
        return await self._spoiled(request, rule, reply, cursor)

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

    def _reply(self, found: routes.Found, raw_query: str) -> responses.Reply:
        if self._caching and found.route.name == "trades" and not _cursor_of(raw_query):
            return self._cached(found, raw_query)
        return _ask(found, raw_query)

    def _cached(self, found: routes.Found, raw_query: str) -> responses.Reply:
        """Page 1 of a feed as the edge keeps it: up to five minutes old."""
        now = time.monotonic()
        kept = self._cache.get(raw_query)
        if kept is None or now - kept[0] >= CACHE_S:
            kept = (now, _ask(found, raw_query))
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
        return responses.Reply(kept[1].body, kept[1].status, kept[1].content_type, headers)

    def _too_many(self, wait_s: float) -> responses.Reply:
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
        return _respond(fault_injection.instead(rule, route))

    async def _spoiled(
        self, request: web.Request, rule: faults.Rule, honest: responses.Reply, cursor: str
    ) -> web.StreamResponse:
        if rule.kind in {"truncated", "drip"}:
            return await _broken_stream(request, rule, honest)
        if rule.kind in faults.SPOILED_BODY:
            return _respond(fault_injection.body(rule, honest))
        if honest.status != 200:
            return _respond(honest)
        return _respond(fault_injection.listing(rule, honest, cursor))


def _peer(request: web.Request) -> object:
    return None if request.transport is None else request.transport.get_extra_info("peername")


def _ask(found: routes.Found, raw_query: str) -> responses.Reply:
    try:
        return found.route.answer(found.argument, raw_query)
    except responses.ApiError as refusal:
        return refusal.reply


def _cursor_of(raw_query: str) -> str:
    if "cursor=" not in raw_query:
        return ""
    return next((v for name, v in parse_qsl(raw_query) if name in _CURSOR_NAMES), "")


def _headers(reply: responses.Reply) -> dict[str, str]:
    return {
        "Content-Type": reply.content_type,
        "x-trace-id": secrets.token_hex(16),
        **reply.headers,
    }


def _respond(reply: responses.Reply) -> web.Response:
    return web.Response(body=reply.body, status=reply.status, headers=_headers(reply))


def _reset(request: web.Request) -> web.Response:
    """Cut the connection with a TCP reset; the response object is never sent."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=499)


async def _broken_stream(
    request: web.Request, rule: faults.Rule, honest: responses.Reply
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
