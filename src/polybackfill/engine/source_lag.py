"""How far the Data API lies behind the chain, as units end and windows begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from polybackfill import clocks, errors, worker_progress
from polybackfill.polymarket import endpoints, http, source_status

log = structlog.get_logger()

_FRESH_S = 60.0
_ANSWER_S = 10.0  # a receipt without the lag is worth more than a worker that waits for it


class SourceLag:
    """One reading for all workers. `lag_s`: the newest, None before the first."""

    def __init__(self, client: http.Client, clock: clocks.Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fetched_at: float | None = None
        self.lag_s: float | None = None

    async def read_lag_s(
        self,
        route: endpoints.Route,
        progress: worker_progress.Progress,
        *,
        fresh_s: float = _FRESH_S,
    ) -> float | None:
        """Seconds behind, by an answer no older than a minute (`fresh_s`); None where a source does
        not say.
        """
        if route.host != endpoints.STATUS.host:
            return None
        with progress.waiting("lag"):
            return await self._refresh(progress, fresh_s)

    async def _refresh(self, progress: worker_progress.Progress, fresh_s: float) -> float | None:
        async with self._lock:
            now = self._clock.monotonic()
            if self._fetched_at is None or now - self._fetched_at >= fresh_s:
                self.lag_s = await self._fetch(progress)
                self._fetched_at = self._clock.monotonic()
            return self.lag_s

    async def _fetch(self, progress: worker_progress.Progress) -> float | None:
        async def get(route: endpoints.Route, params: Sequence[tuple[str, str]]) -> http.Response:
            return await self._client.get(route, params, progress)

        try:
            async with asyncio.timeout(_ANSWER_S):
                return await source_status.fetch_lag_s(get)
        except (errors.Retry, errors.GiveUp, TimeoutError) as error:
            log.info("source.lag_unknown", error=str(error))
            return None
