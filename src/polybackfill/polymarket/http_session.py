"""Connections to the hosts: one aiohttp session, renewed every hour.

Nothing is asked twice behind the caller's back: aiohttp repeats a GET whose kept-alive connection
broke, which would be a request without a token, so that is switched off.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from polybackfill import clocks

CONNECT_S = 10.0
READ_GAP_S = 30.0
KEEP_ALIVE_S = 30.0  # as the official client, polymarket-client 0.14.0
DNS_CACHE_S = 300
SESSION_LIFE_S = 3600.0  # TLS sessions and pools of a night are dropped every hour
READ_BUFFER_BYTES = 1 << 20


@dataclass
class _CountedSession:
    """A session and the requests that still use it."""

    session: aiohttp.ClientSession
    opened_at: float
    users: int = 0


class SessionPool:
    """The session of this hour. `pool_size`: connections at most; more requests wait.
    `source_address`: of this machine, from which to ask; None for any.

    A request's `trace_request_ctx` is told when its head has gone to the socket (`sent`).
    """

    def __init__(
        self,
        clock: clocks.Clock,
        *,
        pool_size: int = 512,
        life_s: float = SESSION_LIFE_S,
        source_address: str | None = None,
    ) -> None:
        self._source = None if source_address is None else (source_address, 0)
        self._clock = clock
        self._pool_size = pool_size
        self._life_s = life_s
        self._current: _CountedSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._current is not None:
            await self._current.session.close()
            self._current = None

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """This hour's session; the one before is closed by the last request that used it."""
        current = self._current
        if current is None or self._clock.monotonic() - current.opened_at >= self._life_s:
            old, current = current, _CountedSession(self._new_session(), self._clock.monotonic())
            self._current = current
            if old is not None and old.users == 0:
                await old.session.close()
        current.users += 1
        try:
            yield current.session
        finally:
            current.users -= 1
            if current is not self._current and current.users == 0:
                await current.session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._pool_size,
                ttl_dns_cache=DNS_CACHE_S,
                keepalive_timeout=KEEP_ALIVE_S,
                local_addr=self._source,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_GAP_S),
            headers={"User-Agent": f"polybackfill/{_version()}", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_never_ask_twice,),
            trace_configs=[trace],
            read_bufsize=READ_BUFFER_BYTES,
        )


async def _mark_sent(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.sent()


async def _never_ask_twice(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp repeats a GET after these two errors; as this class it lets them through."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


def _version() -> str:
    try:
        return importlib.metadata.version("polybackfill")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "0"
