"""Which seconds of a feed are proven while a run follows it: its finished windows, and the gaps.

Windows overlap, so that rows that come late are found; a longer one makes the receipts of those
within it superfluous. They are forgotten, and the list stays as short as there were days.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint, unit_states
from polybackfill.polymarket import time_window

Window = time_window.TimeWindow


class FollowedWindows:
    """The finished windows of one kind."""

    def __init__(self, kind: str, checkpoint: run_checkpoint.Checkpoint) -> None:
        self._kind = kind
        self._checkpoint = checkpoint
        self.windows = read_windows(kind, checkpoint)

    @property
    def end(self) -> int | None:
        """The last proven second; None of nothing."""
        return max((window.until for window in self.windows), default=None)

    def end_of(self, least_s: int) -> int | None:
        """That of windows of so many seconds at least."""
        ends = [one.until for one in self.windows if one.until - one.since >= least_s]
        return max(ends, default=None)

    def note(self, done: Window) -> list[str]:
        """A window is finished: what lies within it is forgotten, finished or in error. Returns
        the keys of those in error.
        """
        covered = [one for one in self.windows if done.holds(one) and one != done]
        failed = [
            key
            for unit in self._checkpoint.failed_units()
            if unit.unit.kind == self._kind
            for key in unit.unit.keys
            if done.holds(time_window.parse(key))
        ]
        self._checkpoint.forget(self._kind, [*(one.key for one in covered), *failed])
        self.windows = sorted({*self.windows, done}.difference(covered))
        return failed

    def close_gaps(self, read_to: int) -> list[Window]:
        """All rows up to the second `read_to` were read in other ways, so the gaps until then are
        closed: the windows before them are forgotten. Returns these gaps.
        """
        closed = [gap for gap in find_gaps(self.windows) if gap.until <= read_to]
        if closed:
            before = [one for one in self.windows if one.until < closed[-1].since]
            self._checkpoint.forget(self._kind, [one.key for one in before])
            self.windows = [one for one in self.windows if one not in before]
        return closed

    def is_done(self, window: Window) -> bool:
        """Whether it has a receipt."""
        return self._checkpoint.is_done(self._kind, window.key, units.FULL_HISTORY)


def read_windows(kind: str, checkpoint: run_checkpoint.Checkpoint) -> list[Window]:
    """The finished windows of a kind, as their receipts name them."""
    return name_windows(checkpoint.receipts(kind))


def name_windows(receipts: Iterable[unit_states.Receipt]) -> list[Window]:
    """What these receipts of a kind that is followed name, the earliest first."""
    return sorted(
        {time_window.parse(key) for receipt in receipts for key in receipt.unit.bare_keys}
    )


def join(windows: Iterable[Window]) -> Iterator[Window]:
    """Spans without a gap, the earliest first."""
    current: Window | None = None
    for window in sorted(windows):
        if current is not None and window.since <= current.until + 1:
            current = Window(current.since, max(current.until, window.until))
            continue
        if current is not None:
            yield current
        current = window
    if current is not None:
        yield current


def find_gaps(windows: Iterable[Window]) -> list[Window]:
    """What lies between the spans, the earliest first."""
    spans = list(join(windows))
    return [
        Window(before.until + 1, after.since - 1) for before, after in itertools.pairwise(spans)
    ]
