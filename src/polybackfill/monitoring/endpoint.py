"""The run's own endpoint: health for everybody, facts and metrics for who knows the token.

It only reads what is published once a second, so nothing that is asked here can change a run, and a
slow reader costs itself alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Mapping

import orjson
import structlog
from aiohttp import web

from polybackfill import errors, redaction
from polybackfill.monitoring import health, latest_facts, listen_address, metrics

log = structlog.get_logger()

MOST_STREAMS = 16  # readers of /events at one time; each costs a socket and a task
_WRITE_S = 10.0  # a reader that takes nothing for so long has gone
_CLOSE_S = 1.0
_PUBLIC = frozenset({"/health", "/health/live", "/health/ready"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """Serves the newest facts of a run. `stall_s`: when a worker counts as stalled."""

    def __init__(
        self,
        latest: latest_facts.LatestFacts,
        access: listen_address.Access,
        *,
        stall_s: float,
    ) -> None:
        self._latest = latest
        self._access = access
        self._stall_s = stall_s
        self._streams = 0
        self._runner: web.AppRunner | None = None

    async def open(self) -> str:
        """Listen; returns the URL. Raises errors.Stop when the address is taken or not ours."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/health/live", self._health),
                web.get("/health/ready", self._health),
                web.get("/metrics", self._metrics),
                web.get("/status.json", self._status),
                web.get("/events", self._events, allow_head=False),
            ]
        )
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_S
        )
        await self._runner.setup()
        address = self._access.address
        try:
            await web.TCPSite(self._runner, address.host, address.port).start()
        except OSError as error:
            await self._runner.cleanup()
            is_taken = error.errno == errno.EADDRINUSE  # by a run that is about to end, perhaps
            raise errors.Stop(
                f"BACKFILL_LISTEN = {address.host}:{address.port} cannot be listened on "
                f"({error.strerror or error}): choose another port or address",
                exit_code=errors.EXIT_UNAVAILABLE if is_taken else errors.EXIT_CONFIG,
            ) from error
        port = self._runner.addresses[0][1]
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Let the port go, and cut off who still reads."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse strangers before anything is looked up; no answer says more than it must."""
        if (refusal := self._refuse(request)) is not None:
            return refusal
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _answer(error.status, {"error": error.reason})
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("endpoint.broken", path=redaction.redact(request.path))
            return _answer(500, {"error": "a fault of this program; see its log"})

    def _refuse(self, request: web.Request) -> web.Response | None:
        access, host = self._access, request.headers.get("Host", "")
        if not access.knows_host(host):
            return _answer(421, {"error": "this machine has no such name: ask by its address"})
        if not access.knows_origin(request.headers.get("Origin"), host):
            return _answer(403, {"error": "a page of another site may not ask"})
        if request.path in _PUBLIC or access.knows_token(request.headers.get("Authorization")):
            return None
        refusal = _answer(401, {"error": "send the token: Authorization: Bearer …"})
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal

    async def _health(self, request: web.Request) -> web.Response:
        state = health.judge_health(self._latest.facts, stall_s=self._stall_s)
        is_well = state.ready if request.path.endswith("/ready") else state.live
        return _answer(200 if is_well else 503, state.describe())

    async def _metrics(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        body, content_type = metrics.render_metrics(self._latest.facts, accept)
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": content_type})

    async def _status(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._latest.document, content_type="application/json", headers=_HEADERS
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the newest picture at once, and each one that follows.

        A reader that is slower than one picture a second misses some and gets no old ones.
        """
        if self._streams >= MOST_STREAMS:
            return _answer(503, {"error": f"{MOST_STREAMS} readers are connected already"})
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        self._streams += 1
        try:
            await response.prepare(request)
            # Who reads again after a restart of the run is there within a second.
            await response.write(b"retry: 1000\n\n")
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._send_pictures(response)
        finally:
            self._streams -= 1
        return response

    async def _send_pictures(self, response: web.StreamResponse) -> None:
        number = -1
        while True:
            await self._latest.wait_for_newer(number)
            number = self._latest.number
            event = b"id: %d\nevent: status\ndata: %s\n\n" % (number, self._latest.document)
            async with asyncio.timeout(_WRITE_S):
                await response.write(event)


def _answer(status: int, document: Mapping[str, object]) -> web.Response:
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(status=status, body=body, content_type="application/json", headers=_HEADERS)
