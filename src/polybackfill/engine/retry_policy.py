"""When a unit has been tried often enough."""

from __future__ import annotations

from dataclasses import dataclass

from polybackfill.checkpoint import unit_states

MAX_ATTEMPTS = 5
# Deaths of the process under a unit without anything gained. Every unit in flight is suspected,
# most of them wrongly, so the bound is far above that of its own errors.
MAX_INTERRUPTIONS = 20
# So many times its attempts in all: an end for a unit that gains a page and fails, for ever.
_IN_ALL = 10


@dataclass(frozen=True)
class UnitRetryPolicy:
    """`max_attempts`: errors without anything gained in between; ten times as many in all."""

    max_attempts: int = MAX_ATTEMPTS
    max_interruptions: int = MAX_INTERRUPTIONS

    def is_suspect(self, open_unit: unit_states.OpenUnit) -> bool:
        """Did the program die under it so often that it must be suspected?"""
        return open_unit.interruptions >= self.max_interruptions

    def why_exhausted(self, open_unit: unit_states.OpenUnit) -> str:
        """Why the unit has no attempt left; empty while it has."""
        if self.is_suspect(open_unit):
            return f"the program died {open_unit.interruptions} times while it worked on this"
        if (
            open_unit.errors >= self.max_attempts
            or open_unit.errors_total >= self.max_attempts * _IN_ALL
        ):
            return f"{open_unit.errors_total} attempts failed, the last: {open_unit.error}"
        return ""
