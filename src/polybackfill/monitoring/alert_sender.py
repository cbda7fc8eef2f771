"""Alerts on their way to somebody's server, which may be dead, slow or somewhere else.

Nothing waits for it: alerts stand in a short queue, one task sends them, and at the end of a run it
gets a few seconds more. What could not be delivered is logged, never raised.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import aiohttp
import structlog

from polybackfill import clocks, errors, redaction
from polybackfill.polymarket import proxies

log = structlog.get_logger()

ATTEMPTS = 3
FIRST_BACKOFF_S = 1.0
ANSWER_S = 10.0  # for one attempt, the answer included
_MOST_WAITING = 32
_CANCEL_AGAIN_S = 0.5
_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Undelivered(Exception):
    """One attempt failed. `again`: another one may succeed."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class AlertSender:
    """Posts documents and calls URLs, one after the other. An attempt takes `answer_s` at most."""

    def __init__(self, clock: clocks.Clock, *, answer_s: float = ANSWER_S) -> None:
        self._clock = clock
        self._answer_s = answer_s
        self._waiting: asyncio.Queue[tuple[redaction.Url, Mapping[str, Any] | None]] = (
            asyncio.Queue(_MOST_WAITING)
        )
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=answer_s), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._sending = asyncio.create_task(self._send_all(), name="alerts")

    def post(self, url: redaction.Url, document: Mapping[str, Any]) -> None:
        """Send JSON as soon as what came before is through; dropped when too much waits."""
        self._enqueue(url, document)

    def call(self, url: redaction.Url) -> None:
        """Ask for a URL, whose answer matters to nobody."""
        self._enqueue(url, None)

    async def close(self, within_s: float) -> None:
        """Send what still waits, for so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._waiting.join()
        # A cancel at the very moment at which an attempt times out is swallowed by aiohttp, and the
        # next attempt would be waited for.
        while not self._sending.done():
            self._sending.cancel()
            await asyncio.wait({self._sending}, timeout=_CANCEL_AGAIN_S)
        if left := self._waiting.qsize():
            log.warning("alert.left_behind", alerts=left)
        await self._session.close()

    def _enqueue(self, url: redaction.Url, document: Mapping[str, Any] | None) -> None:
        try:
            self._waiting.put_nowait((url, document))
        except asyncio.QueueFull:
            log.warning("alert.dropped", to=str(url), waiting=_MOST_WAITING)

    async def _send_all(self) -> None:
        while True:
            url, document = await self._waiting.get()
            try:
                await self._send(url, document)
            except Undelivered as failure:
                said = redaction.redact(str(failure))
                log.warning("alert.not_delivered", to=str(url), error=said)
            except asyncio.CancelledError:
                log.warning("alert.not_delivered", to=str(url), error="the run has ended")
                raise
            finally:
                self._waiting.task_done()

    async def _send(self, url: redaction.Url, document: Mapping[str, Any] | None) -> None:
        for left in reversed(range(ATTEMPTS)):
            try:
                await self._try_once(url, document)
            except Undelivered as failure:
                if not (left and failure.again):
                    raise
            else:
                return
            await self._clock.sleep(FIRST_BACKOFF_S * (ATTEMPTS - left))

    async def _try_once(self, url: redaction.Url, document: Mapping[str, Any] | None) -> None:
        """Raises Undelivered. A redirect is not followed: the URL is a secret of one host."""
        method = "GET" if document is None else "POST"
        try:
            proxy = proxies.find_proxy(url)
            async with self._session.request(
                method,
                url.secret,
                json=document,
                proxy=None if proxy is None else proxy.secret,
                allow_redirects=False,
            ) as response:
                if not 200 <= response.status < 300:
                    raise Undelivered(
                        f"HTTP {response.status}", again=response.status in _AGAIN_STATUSES
                    )
        except errors.Stop as error:  # a proxy of a kind that is not supported
            raise Undelivered(str(error), again=False) from error
        except TimeoutError as error:
            raise Undelivered(f"no answer within {self._answer_s:g} s", again=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Undelivered(str(error) or type(error).__name__, again=True) from error
