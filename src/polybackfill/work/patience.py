"""When a unit has been tried often enough."""

from __future__ import annotations

from dataclasses import dataclass

from polybackfill.work import transitions

MAX_ATTEMPTS = 5
# Deaths of the process under a unit without anything gained. Every unit in flight is suspected,
# most of them wrongly, so the bound is far above that of its own errors.
MAX_INTERRUPTIONS = 20
# So many times its attempts in all: an end for a unit that gains a page and fails, for ever.
_IN_ALL = 10


@dataclass(frozen=True)
class Patience:
    """`max_attempts`: errors without anything gained in between; ten times as many in all."""

    max_attempts: int = MAX_ATTEMPTS
    max_interruptions: int = MAX_INTERRUPTIONS

    def is_deadly(self, held: transitions.OpenUnit) -> bool:
        """Did the program die under it so often that it must be suspected?"""
        return held.interruptions >= self.max_interruptions

    def spent(self, held: transitions.OpenUnit) -> str:
        """Why the unit has no attempt left; empty while it has."""
        if self.is_deadly(held):
            return f"the program died {held.interruptions} times while it worked on this"
        if held.errors >= self.max_attempts or held.errors_total >= self.max_attempts * _IN_ALL:
            return f"{held.errors_total} attempts failed, the last: {held.error}"
        return ""
