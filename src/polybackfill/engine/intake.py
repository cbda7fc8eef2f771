"""What of a feed is still to be done: a feed may simply list everything."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

from polybackfill import units
from polybackfill.checkpoint import ledgers, unit_states

Feed = Iterable[units.Unit] | AsyncIterable[units.Unit]


class Intake:
    """Sifts units by the ledger. `is_queued`: is a key of this window in the queue already?"""

    def __init__(
        self, ledger: ledgers.Ledger, is_queued: Callable[[str, units.Window], bool]
    ) -> None:
        self._ledger = ledger
        self._is_queued = is_queued
        self._skipped_done = 0
        self._skipped_error = 0

    def wanted(self, unit: units.Unit) -> Iterator[units.Unit | unit_states.OpenUnit]:
        """What to queue for `unit`: units an earlier process left open, and its fresh keys.

        Take in each before asking for the next: one open unit may hold several of the keys.
        """
        for part in units.parts(unit, lambda key: self._is_known(unit, key)):
            yield from self._wanted_part(part)

    def stats(self) -> dict[str, int]:
        """Keys that were left out because the ledger has an end for them."""
        return {"skipped_done": self._skipped_done, "skipped_error": self._skipped_error}

    def _wanted_part(self, unit: units.Unit) -> Iterator[units.Unit | unit_states.OpenUnit]:
        fresh = []
        for key in unit.keys:
            if self._is_queued(key, unit.window):
                continue
            if self._ledger.is_done(unit.kind, key, unit.window):
                self._skipped_done += 1
            elif self._ledger.failed_unit(unit.kind, key, unit.window) is not None:
                self._skipped_error += 1
            elif open_unit := self._ledger.open_unit(unit.kind, key, unit.window):
                yield open_unit
            else:
                fresh.append(key)
        if len(fresh) == len(unit.keys):
            yield unit
        elif fresh:
            rows = unit.expected_rows
            rows = None if rows is None else rows * len(fresh) // len(unit.keys)
            yield units.Unit(unit.kind, tuple(fresh), unit.since, unit.until, rows)

    def _is_known(self, unit: units.Unit, key: str) -> bool:
        identity = (unit.kind, key, unit.window)
        return (
            self._is_queued(key, unit.window)
            or self._ledger.is_done(*identity)
            or self._ledger.open_unit(*identity) is not None
            or self._ledger.failed_unit(*identity) is not None
        )


async def each(feed: Feed) -> AsyncIterator[units.Unit]:
    """The units of a feed of either form."""
    if isinstance(feed, AsyncIterable):
        async for unit in feed:
            yield unit
        return
    for unit in feed:
        yield unit
