"""Rows that could not be read: those of a run, and those that earlier ones had set aside."""

from __future__ import annotations

import structlog

from polybackfill import errors
from polybackfill.checks import set_aside_check
from polybackfill.engine import plan_source
from polybackfill.run import run_request
from polybackfill.store import client

log = structlog.get_logger()


class QuarantinedRows:
    """Counted in quarantine before the first insert and behind the last. A rehearsal counts
    nothing. `portion`: the run takes some keys that have not ended yet, and no others.
    """

    def __init__(
        self, store: client.Store | None, request: run_request.RunRequest, *, portion: bool
    ) -> None:
        self._store = None if request.dry_run else store
        self._has_typed_keys = request.has_typed_keys
        self._portion = portion
        self._units = [
            unit.id
            for kind in request.kinds
            for unit in plan_source.build_units(kind, request.keys(kind), request.window)
        ]
        self._before: dict[str, set_aside_check.Aside] | None = None
        self._kept: dict[str, set_aside_check.Aside] = {}

    async def begin(self) -> None:
        """Before the first insert."""
        self._before = await self._count()

    async def newly(self) -> int | None:
        """Rows that no earlier run had set aside; None when that is not known."""
        if self._before is None:
            return None
        now = await self._count()
        if now is None:
            return None
        before = sum(kept.rows for kept in self._before.values())
        return max(0, sum(kept.rows for kept in now.values()) - before)

    def count_for(self, kind: str) -> int:
        """Rows in quarantine of the units the run speaks of, by the newest count. Of a portion they
        are those that the run itself sets aside, and counts.
        """
        kept = self._kept.get(kind)
        if kept is None or self._portion:
            return 0
        return kept.of_units if self._has_typed_keys else kept.rows

    async def _count(self) -> dict[str, set_aside_check.Aside] | None:
        if self._store is None:
            return None
        try:
            self._kept = await set_aside_check.by_kind(self._store, self._units)
        except errors.Retry as error:
            log.warning("run.quarantine_unknown", error=str(error))
            return None
        return self._kept
