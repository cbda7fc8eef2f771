"""Which seconds of a feed a unit reads: its key is `<first second>..<last second>`."""

from __future__ import annotations

from dataclasses import dataclass

from polybackfill import errors

_DOTS = ".."


@dataclass(frozen=True, order=True, slots=True)
class TimeWindow:
    """Epoch seconds, both inclusive."""

    since: int
    until: int

    @property
    def key(self) -> str:
        """As a unit has it."""
        return f"{self.since}{_DOTS}{self.until}"

    def holds(self, other: TimeWindow) -> bool:
        """Whether every second of the other one is in it."""
        return self.since <= other.since and other.until <= self.until


def parse(key: str) -> TimeWindow:
    """The seconds a key names. Raises GiveUp."""
    since, _, until = key.partition(_DOTS)
    if since.isdecimal() and until.isdecimal() and int(since) <= int(until):
        return TimeWindow(int(since), int(until))
    raise errors.GiveUp(f"{key!r} names no seconds; expected <first second>..<last second>")
