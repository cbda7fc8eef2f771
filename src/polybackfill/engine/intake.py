"""Reading a feed ahead, and what of it is still to be done: a feed may simply list everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator

from polybackfill import units
from polybackfill.checkpoint import run_checkpoint, unit_states
from polybackfill.engine import backlog, change_event

_SKIPS_AT_ONCE = 256
LONGEST_WAIT_S = 30.0

Feed = Iterable[units.Unit] | AsyncIterable[units.Unit]


class Intake:
    """Sifts units by the checkpoint, and by the keys that are in the queue already. `dropped` rings
    when a unit has left it.
    """

    def __init__(
        self, checkpoint: run_checkpoint.Checkpoint, dropped: change_event.ChangeEvent
    ) -> None:
        self._checkpoint = checkpoint
        self.dropped = dropped
        self._queued_keys: set[tuple[str, units.Window]] = set()
        self._retried_keys: set[tuple[str, units.Window]] = set()
        self._failed_keys: set[tuple[str, units.Window]] = set()  # in this queue
        self._skipped_failed: set[tuple[str, units.Window]] = set()  # by earlier runs
        self._skipped_done = 0
        self._retried_unnamed = 0

    def add_queued(self, unit: units.Unit) -> None:
        """The unit is in the queue: its keys are not wanted again."""
        self._queued_keys |= _identities(unit)

    def drop_queued(self, unit: units.Unit) -> None:
        """The unit has left the queue."""
        self._queued_keys -= _identities(unit)
        self.dropped.notify()

    def add_failed(self, unit: units.Unit) -> None:
        """The unit has ended in error here."""
        self._failed_keys |= _identities(unit)

    def drop_failed(self, keys: Collection[str] | None) -> None:
        """What ended in error of these keys (None: of all) is read anew under other names."""
        for failed in (self._failed_keys, self._skipped_failed):
            failed -= {one for one in failed if keys is None or one[0] in keys}

    def has_failed(self, unit: units.Unit) -> bool:
        """Whether it ended in error here, or was left out of the feed since it had before."""
        return not _identities(unit).isdisjoint(self._failed_keys | self._skipped_failed)

    def add_retried(self, unit: units.Unit) -> bool:
        """A unit that was in error is tried again: what the feed says of it counts no more.
        False where one of its keys is in the queue already.
        """
        identities = _identities(unit)
        if not self.has_failed(unit) and identities.isdisjoint(self._retried_keys):
            self._retried_unnamed += len(identities)
        self._failed_keys -= identities
        self._skipped_failed -= identities
        self._retried_keys |= identities
        return identities.isdisjoint(self._queued_keys)

    def is_queued(self, unit: units.Unit) -> bool:
        """Whether the unit, or a part of it, is in the queue."""
        return not _identities(unit).isdisjoint(self._queued_keys)

    def wanted(self, unit: units.Unit) -> Iterator[units.Unit | unit_states.OpenUnit]:
        """What to queue for `unit`: units an earlier process left open, and its fresh keys.

        Take in each before asking for the next: one open unit may hold several of the keys.
        """
        for part in units.parts(unit, lambda key: self._is_known(unit, key)):
            yield from self._wanted_part(part)

    def stats(self) -> dict[str, int]:
        """Keys that ended in error here, those that were left out because the checkpoint has an end
        for them, and those in error that are tried again though no feed named them.
        """
        return {
            "error": len(self._failed_keys),
            "skipped_done": self._skipped_done,
            "skipped_error": len(self._skipped_failed),
            "retried_unnamed": self._retried_unnamed,
        }

    def _wanted_part(self, unit: units.Unit) -> Iterator[units.Unit | unit_states.OpenUnit]:
        fresh = []
        for key in unit.keys:
            identity = (key, unit.window)
            if identity in self._queued_keys or identity in self._retried_keys:
                continue
            if self._checkpoint.is_done(unit.kind, key, unit.window):
                self._skipped_done += 1
            elif self._checkpoint.failed_unit(unit.kind, key, unit.window) is not None:
                if identity not in self._failed_keys:
                    self._skipped_failed.add(identity)
            elif open_unit := self._checkpoint.open_unit(unit.kind, key, unit.window):
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
            (key, unit.window) in self._queued_keys
            or self._checkpoint.is_done(*identity)
            or self._checkpoint.open_unit(*identity) is not None
            or self._checkpoint.failed_unit(*identity) is not None
        )


def _identities(unit: units.Unit) -> set[tuple[str, units.Window]]:
    return {(key, unit.window) for key in unit.keys}


class FeedReader:
    """Reads a feed in a task of its own, as far ahead as the backlog has room.

    `admit` takes each unit in. `changed` is waited for while the backlog is full, and rung at the
    end of the feed.
    """

    def __init__(
        self,
        name: str,
        feed: Feed,
        *,
        admit: Callable[[units.Unit], None],
        backlog: backlog.Backlog,
        changed: change_event.ChangeEvent,
    ) -> None:
        self._name = name
        self._feed = feed
        self._admit = admit
        self._backlog = backlog
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self.is_at_end = False

    def start(self) -> None:
        """Begin to read; nothing more when that was done before."""
        if self._task is None:
            self._task = asyncio.create_task(self._read(), name=self._name)

    def check(self) -> None:
        """Raise what the feed raised."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Read no further."""
        if self._task is not None:
            self._task.cancel("stop")

    async def close(self) -> None:
        """Wait for the feed to be let go."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        read = 0
        try:
            async for unit in each(self._feed):
                self._admit(unit)
                read += 1
                if read % _SKIPS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                while self._backlog.is_full:
                    await self._changed.wait(LONGEST_WAIT_S)
            self.is_at_end = True
        except Exception as error:
            self._error = error
        finally:
            self._changed.notify()


async def each(feed: Feed) -> AsyncIterator[units.Unit]:
    """The units of a feed of either form."""
    if isinstance(feed, AsyncIterable):
        async for unit in feed:
            yield unit
        return
    for unit in feed:
        yield unit
