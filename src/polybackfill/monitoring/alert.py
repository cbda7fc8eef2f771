"""An alert: one message about a run, for a person who does not look at it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How much it matters: to be read some time, in the morning, or now."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Alert:
    """`kind`: stall, errors, disk, drift or end. `title`: one line; `text`: more, maybe of several.

    `repeat_s`: an alert of the same kind and title is not raised again for so long, by no process.
    """

    kind: str
    severity: Severity
    title: str
    text: str
    repeat_s: float = 0.0

    @property
    def key(self) -> str:
        """The same for two alerts that say the same."""
        return f"{self.kind}: {self.title}"
