"""Which part of Gamma's lists a unit reads: one state, and a span of start dates.

Markets and events can be filtered by when they start, so that parts of a list are read side by
side. What has no start date (early markets) no such filter shows: it is a part of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from polybackfill import errors

OPEN, CLOSED = "open", "closed"
_STATES = (f"{OPEN}:", f"{CLOSED}:")
_UNDATED = "undated"
_DOTS = ".."
SHORTEST_SPLIT_S = 3_600  # a span of an hour or less is read in one go, however full
# Where a span without an end of its own is cut: a year further on.
_YEAR_S = 365 * 86_400
_FAR = 4_102_444_800  # 2100-01-01: no market starts later


@dataclass(frozen=True)
class DateRange:
    """Markets or events of one state that start in [since, until), epoch seconds, None = no end.

    `undated`: those without a start date, and no others.
    """

    closed: bool
    since: int | None = None
    until: int | None = None
    undated: bool = False

    @property
    def key(self) -> str:
        """`open:<since>..<until>`, `closed:..` with an end left out, `open:undated`."""
        state = CLOSED if self.closed else OPEN
        if self.undated:
            return f"{state}:{_UNDATED}"
        return f"{state}:{_shown(self.since)}{_DOTS}{_shown(self.until)}"

    @property
    def can_split(self) -> bool:
        """Longer than an hour. A span without both ends also holds what has no date: never cut."""
        if self.undated or (self.since is None and self.until is None):
            return False
        if self.since is None or self.until is None:
            return self._split_at() is not None
        return self.until - self.since > SHORTEST_SPLIT_S

    def split(self) -> tuple[DateRange, DateRange]:
        """Two spans that are this one. Raises ValueError when it cannot be cut."""
        middle = self._split_at() if self.can_split else None
        if middle is None:
            raise ValueError(f"{self.key} cannot be cut")
        return replace(self, until=middle), replace(self, since=middle)

    def _split_at(self) -> int | None:
        if self.since is not None and self.until is not None:
            return (self.since + self.until) // 2
        if self.since is not None:
            middle = self.since + _YEAR_S
            return middle if middle <= _FAR else None
        if self.until is not None:
            middle = self.until - _YEAR_S
            return middle if middle > 0 else None
        return None


def parse(key: str) -> DateRange:
    """The span a key names. Raises GiveUp."""
    state, _, span = key.partition(":")
    since, dots, until = span.partition(_DOTS)
    if state in {OPEN, CLOSED}:
        if span == _UNDATED:
            return DateRange(state == CLOSED, undated=True)
        if dots and _is_bound(since) and _is_bound(until):
            dates = DateRange(state == CLOSED, _bound(since), _bound(until))
            if dates.since is None or dates.until is None or dates.since < dates.until:
                return dates
    raise errors.GiveUp(
        f"{key!r} names no span; expected open:<first second>..<last second> or closed:…"
    )


def is_key(key: str) -> bool:
    """Whether a key names a span. Cheap for the millions of keys that do not."""
    if not key.startswith(_STATES):
        return False
    try:
        parse(key)
    except errors.GiveUp:
        return False
    return True


def _shown(second: int | None) -> str:
    return "" if second is None else str(second)


def _is_bound(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and len(text) <= 10)


def _bound(text: str) -> int | None:
    return int(text) if text else None
