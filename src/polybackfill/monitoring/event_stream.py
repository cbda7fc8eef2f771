"""Server-sent events: the newest document at once, and each one that follows."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from polybackfill.monitoring import latest_document, web_server

MOST_STREAMS = 16  # readers at one time; each costs a socket and a task
_WRITE_S = 10.0  # a reader that takes nothing for so long has gone


class EventStream:
    """Sends each new document to its readers, as an event named `status`.

    A reader that is slower than the documents misses some and gets no old ones.
    """

    def __init__(self, latest: latest_document.LatestDocument) -> None:
        self._latest = latest
        self._readers = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send until the reader has gone or the server closes."""
        if self._readers >= MOST_STREAMS:
            return web_server.answer(
                503, {"error": f"{MOST_STREAMS} readers are connected already"}
            )
        response = web.StreamResponse(
            headers={**web_server.HEADERS, "Content-Type": "text/event-stream"}
        )
        self._readers += 1
        try:
            await response.prepare(request)
            # Who reads again after a restart of the run is there within a second.
            await response.write(b"retry: 1000\n\n")
            with contextlib.suppress(ConnectionError):
                await self._send_all(response)
        except TimeoutError:
            # Closing would wait until what stands in the buffer was read.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._readers -= 1
        return response

    async def _send_all(self, response: web.StreamResponse) -> None:
        number = -1
        while True:
            await self._latest.wait_for_newer(number)
            number = self._latest.number
            event = b"id: %d\nevent: status\ndata: %s\n\n" % (number, self._latest.body)
            async with asyncio.timeout(_WRITE_S):
                await response.write(event)
