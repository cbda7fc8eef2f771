"""The run's own endpoint: health for everybody, facts and metrics for who knows the token.

It only reads what is published once a second, so nothing that is asked here can change a run, and a
slow reader costs itself alone.
"""

from __future__ import annotations

from aiohttp import web

from polybackfill.monitoring import (
    event_stream,
    health,
    latest_facts,
    listen_address,
    metrics,
    web_server,
)

_PUBLIC = frozenset({"/health", "/health/live", "/health/ready"})


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
        self._stall_s = stall_s
        events = event_stream.EventStream(latest.document)
        self._server = web_server.WebServer(
            [
                web.get("/health", self._health),
                web.get("/health/live", self._health),
                web.get("/health/ready", self._health),
                web.get("/metrics", self._metrics),
                web.get("/status.json", self._status),
                web.get("/events", events.serve, allow_head=False),
            ],
            access,
            public=_PUBLIC,
        )

    async def open(self) -> str:
        """Listen; returns the URL. Raises errors.Stop when the address is taken or not ours."""
        return await self._server.open()

    async def close(self) -> None:
        """Let the port go, and cut off who still reads."""
        await self._server.close()

    async def _health(self, request: web.Request) -> web.Response:
        state = health.judge_health(self._latest.facts, stall_s=self._stall_s)
        is_well = state.ready if request.path.endswith("/ready") else state.live
        return web_server.answer(200 if is_well else 503, state.describe())

    async def _metrics(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        body, content_type = metrics.render_metrics(self._latest.facts, accept)
        return web.Response(body=body, headers={**web_server.HEADERS, "Content-Type": content_type})

    async def _status(self, _request: web.Request) -> web.Response:
        return web_server.json_response(self._latest.document.body)
