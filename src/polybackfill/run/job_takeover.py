"""Ending the members of a job that do not renew their place."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.store import job_tables

log = structlog.get_logger()


class TakeOver:
    """Ends members that do not renew their place, once they were seen so for half a lease: where
    Keeper was away for all, all come back at once, and each has the time to renew.
    """

    def __init__(self, tables: job_tables.JobTables, member: str, lease_s: float) -> None:
        self._tables = tables
        self._member = member
        self._wait_s = lease_s / 2
        self._expired_at: dict[str, float] = {}

    def forget(self) -> None:
        """Keeper was away: nobody could renew."""
        self._expired_at.clear()

    async def run(self, members: Sequence[job_tables.Member]) -> None:
        """Look at the members, and end those that are due."""
        now = clocks.awake_s()
        expired = {one.name for one in members if one.left_s < 0}
        for name in set(self._expired_at) - expired:
            del self._expired_at[name]
        for one in members:
            if one.name == self._member or one.state == job_tables.GONE:
                continue
            has_ended = lock.is_alive(one.process) is False  # as seen from this machine
            is_due = one.name in expired and (
                now - self._expired_at.setdefault(one.name, now) >= self._wait_s
            )
            if one.state == job_tables.DEAD or is_due or has_ended:
                await self._retire(one.name, only_expired=not has_ended)

    async def _retire(self, name: str, *, only_expired: bool) -> None:
        try:
            if await self._tables.retire(name, only_expired=only_expired):
                log.warning("job.taken_over", member=name)
        except (errors.BackfillError, TimeoutError) as error:
            log.warning("job.retry", member=name, error=str(error) or "timeout")
