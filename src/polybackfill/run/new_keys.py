"""What a run over chosen markets finds beside rows: new wallets, and conditions nobody knows."""

from __future__ import annotations

from typing import Any

import structlog

from polybackfill import clocks, errors, units
from polybackfill.run import run_request
from polybackfill.store import client, unlisted_keys

log = structlog.get_logger()

_SHOWN = 20
_POLL_S = 0.1


class NewKeys:
    """Counted from the second in which the run began. A run of everything is not asked: its plan
    shows both.
    """

    def __init__(
        self, store: client.Store | None, request: run_request.RunRequest, clock: clocks.Clock
    ) -> None:
        wanted = units.CONDITIONS in request.kinds and not (request.everything or request.dry_run)
        self._store = store if wanted else None
        self._request = request
        self._clock = clock
        self._since = 0

    async def begin(self) -> None:
        """Before the first insert. Waits until the rows of the run before are a second old."""
        while self._store is not None:
            since = await unlisted_keys.begin(self._store)
            if since is not None:
                self._since = since
                return
            await self._clock.sleep(_POLL_S)

    async def count_new(self) -> dict[str, Any]:
        """`new_wallets`: seen by this run for the first time; `unknown_conditions`: some of those
        without a trade that no list knows; {} when nothing was to be found or the store is away.
        """
        if self._store is None or self._since == unlisted_keys.NEVER:
            return {}
        typed = self._request.keys(units.CONDITIONS)
        try:
            wallets = await unlisted_keys.new_wallets(self._store, self._since)
            unknown = await unlisted_keys.unknown_conditions(
                self._store, typed, self._since, limit=_SHOWN
            )
        except errors.Retry as error:
            log.warning("run.discoveries_unknown", error=str(error))
            return {}
        for condition in unknown:
            log.warning("condition.unknown", condition=f"0x{condition}")
        return {"new_wallets": wallets, "unknown_conditions": [f"0x{one}" for one in unknown]}
