"""What a worker has to show: rows and pages, or a wait it declared.

The stall detector reads this and nothing else. A timer that proves the event loop lives is no
progress; neither is a request in flight, which has its own deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from polybackfill import clocks


class Progress:
    """One worker's marks. Idle time grows only while nothing is declared and nothing is marked."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._idle_since = clock.monotonic()
        self._wait_reasons: list[str] = []
        self.doing = "starting"
        self.marks = 0

    def mark(self, doing: str) -> None:
        """Rows, a page or a finished unit: the idle time starts again from zero."""
        self.doing = doing
        self.marks += 1
        self._idle_since = self._clock.monotonic()

    def begin(self, doing: str) -> None:
        """A unit was taken: the idle time starts from zero, but nothing is gained yet."""
        self.doing = doing
        self._idle_since = self._clock.monotonic()

    @contextmanager
    def waiting(self, reason: str) -> Iterator[None]:
        """A polite wait (token, back-off, pause of the host, store): its time is not idle time."""
        entered_at = self._clock.monotonic()
        self._wait_reasons.append(reason)
        try:
            yield
        finally:
            self._wait_reasons.remove(reason)
            if not self._wait_reasons:
                self._idle_since += self._clock.monotonic() - entered_at

    @property
    def wait_reason(self) -> str | None:
        """The innermost declared wait, None when the worker should be getting somewhere."""
        return self._wait_reasons[-1] if self._wait_reasons else None

    def idle_s(self) -> float:
        """Seconds without a mark, declared waits not counted."""
        if self._wait_reasons:
            return 0.0
        return self._clock.monotonic() - self._idle_since
