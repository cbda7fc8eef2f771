"""Ending the members of a job that do not renew their place."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from polybackfill import clocks, errors
from polybackfill.filesystem import lock
from polybackfill.store import job_tables

log = structlog.get_logger()


class TakeOver:
    """Ends members that have not renewed their place by its end, nor for half a lease after that:
    where Keeper was away for all, all come back at once, and each has the time to renew.

    That time is this machine's own, since its boot: a store whose clock is set back would give the
    dead another life.
    """

    def __init__(self, tables: job_tables.JobTables, member: str, lease_s: float) -> None:
        self._tables = tables
        self._member = member
        self._wait_s = lease_s / 2
        self._due_at: dict[tuple[str, int], float] = {}  # by name and end of the lease

    def forget(self) -> None:
        """Keeper was away: nobody could renew."""
        self._due_at.clear()

    async def run(self, members: Sequence[job_tables.Member]) -> None:
        """Look at the members, and end those that are due."""
        now = clocks.awake_s()
        due_at = {
            (one.name, one.expires_at): now + max(0.0, one.left_s) + self._wait_s for one in members
        }
        self._due_at = {seen: self._due_at.get(seen, due) for seen, due in due_at.items()}
        for one in members:
            if one.name == self._member or one.state == job_tables.GONE:
                continue
            has_ended = lock.is_alive(one.process) is False  # as seen from this machine
            is_due = now >= self._due_at[one.name, one.expires_at]
            if one.state == job_tables.DEAD or is_due or has_ended:
                await self._retire(one.name, None if has_ended else one.expires_at)

    async def _retire(self, name: str, expires_at: int | None) -> None:
        try:
            if await self._tables.retire(name, expires_at=expires_at):
                log.warning("job.taken_over", member=name)
        except (errors.BackfillError, TimeoutError) as error:
            log.warning("job.retry", member=name, error=str(error) or "timeout")
