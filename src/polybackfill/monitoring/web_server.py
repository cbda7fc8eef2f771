"""HTTP for who may ask: Host, Origin and token are judged before anything is looked up."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import cast

import orjson
import structlog
from aiohttp import web

from polybackfill import errors, redaction
from polybackfill.monitoring import listen_address

log = structlog.get_logger()

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_CLOSE_S = 1.0
_GONE_S = 30  # who has taken or acknowledged nothing for so long has gone
_IDLE_S = 75.0  # a connection that asks nothing more is closed

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer:
    """Serves `routes` to who may ask. `public`: the paths that need no token."""

    def __init__(
        self,
        routes: Iterable[web.RouteDef],
        access: listen_address.Access,
        *,
        public: Collection[str],
    ) -> None:
        self._routes = routes
        self._access = access
        self._public = public
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    async def open(self) -> str:
        """Listen; returns the URL. Raises errors.Stop when the address is taken or not ours."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(self._routes)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            # A reader of events that has gone would hold its place until the next event.
            handler_cancellation=True,
            keepalive_timeout=_IDLE_S,
            shutdown_timeout=_CLOSE_S,
        )
        await self._runner.setup()
        server = cast(web.Server, self._runner.server)  # there is one from the setup on
        address = self._access.address
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                server, address.host, address.port, start_serving=False
            )
            for listening in self._listening.sockets:
                _end_dead_connections(listening)
            await self._listening.start_serving()
        except OSError as error:
            await self._runner.cleanup()
            is_taken = error.errno == errno.EADDRINUSE  # by a run that is about to end, perhaps
            raise errors.Stop(
                f"{address.setting} = {address.host}:{address.port} cannot be listened on "
                f"({error.strerror or error}): choose another port or address",
                exit_code=errors.EXIT_UNAVAILABLE if is_taken else errors.EXIT_CONFIG,
            ) from error
        port = self._listening.sockets[0].getsockname()[1]
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Let the port go, and cut off who still reads."""
        if self._listening is not None:
            self._listening.close()
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
            return answer(error.status, {"error": error.reason})
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("endpoint.broken", path=redaction.redact(request.path))
            return answer(500, {"error": "a fault of this program; see its log"})

    def _refuse(self, request: web.Request) -> web.Response | None:
        access, host = self._access, request.headers.get("Host", "")
        if not access.knows_host(host):
            return answer(421, {"error": "this machine has no such name: ask by its address"})
        if not access.knows_origin(request.headers.get("Origin"), host):
            return answer(403, {"error": "a page of another site may not ask"})
        if request.path in self._public or access.knows_token(request.headers.get("Authorization")):
            return None
        refusal = answer(401, {"error": "send the token: Authorization: Bearer …"})
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal


def _end_dead_connections(listening: socket.socket) -> None:
    """Let the kernel end connections whose other side takes or acknowledges nothing any more.

    They inherit it from the socket that listens. Else one to a machine that has vanished stays for
    a quarter of an hour, or hours where nothing was under way, and one to who reads nothing for
    ever (tcp(7), 2026-11). Where the system lacks an option, its own bounds hold.
    """
    for name, value in (
        ("TCP_USER_TIMEOUT", _GONE_S * 1_000),
        ("TCP_KEEPIDLE", _GONE_S),
        ("TCP_KEEPINTVL", max(1, _GONE_S // 3)),
    ):
        if (option := getattr(socket, name, None)) is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def answer(status: int, document: Mapping[str, object]) -> web.Response:
    """A JSON document as response."""
    return json_response(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE), status=status)


def json_response(body: bytes, *, status: int = 200) -> web.Response:
    """A response of JSON that is encoded already."""
    return web.Response(status=status, body=body, content_type="application/json", headers=HEADERS)
