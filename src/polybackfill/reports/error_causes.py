"""Units in error grouped by what went wrong, each group with what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from polybackfill.checkpoint import unit_states

# Ids, times and counts differ between units that failed for one and the same reason.
_DIFFERING = re.compile(r"(0x)?[0-9a-fA-F]{16,}|\d+(\.\d+)?")
_TRY_AGAIN = "nothing to do: the next run tries again"
_RESET = "polybackfill plan reset --errors when the run has ended, then run again"


@dataclass(frozen=True)
class ErrorCause:
    """One cause. `message`: of the newest unit, which `example` names; `units`: how many have it.

    `kinds`: of these units. `is_passing`: the next run tries all of them again by itself.
    """

    message: str
    example: str
    units: int
    kinds: tuple[str, ...]
    is_passing: bool

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _TRY_AGAIN if self.is_passing else _RESET

    def fields(self) -> dict[str, Any]:
        """For JSON, with the remedy."""
        return {**asdict(self), "remedy": self.remedy}


def group_errors(failed_units: Iterable[unit_states.FailedUnit]) -> list[ErrorCause]:
    """The causes, the most frequent first. `failed_units`: oldest first."""
    groups: dict[str, list[unit_states.FailedUnit]] = {}
    for failed in failed_units:
        groups.setdefault(_DIFFERING.sub("…", failed.error), []).append(failed)
    causes = [
        ErrorCause(
            message=group[-1].error,
            example=group[-1].unit.id,
            units=len(group),
            kinds=tuple(sorted({failed.unit.kind for failed in group})),
            is_passing=all(failed.passing for failed in group),
        )
        for group in groups.values()
    ]
    return sorted(causes, key=lambda cause: (-cause.units, cause.message))
