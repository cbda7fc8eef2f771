"""Which kinds push keys to which, in one run: who waits for keys is woken when some may be there.

The graph is declared in the list of the kinds (`kinds.MODULES`).
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from polybackfill import clocks
from polybackfill.engine import change_event, sources, unit_queue
from polybackfill.kinds import registry


class KeyFlow:
    """The kinds of one run, those alone that have a queue in it. A kind that is none of the run
    brings nothing, and has ended.
    """

    def __init__(self, clock: clocks.Clock) -> None:
        self.queues: dict[str, unit_queue.Queue] = {}
        self._pushes: Counter[str] = Counter()  # as far as they were told
        self._read_once: set[str] = set()
        self._elsewhere = 0
        self._changed = {
            name: change_event.ChangeEvent(f"{name}-upstream", clock) for name in registry.KINDS
        }

    def add(self, kind: str, queue: unit_queue.Queue) -> None:
        """A kind of the run. Those that it feeds hear of rows that were stored, and of its end."""
        self.queues[kind] = queue
        queue.on_change(partial(self._tell, kind))

    def upstream(self, kind: str) -> sources.Upstream:
        """What a source of `kind` waits for."""
        _, ready, ended = registry.UPSTREAM[kind]
        return sources.Upstream(
            ready=partial(self.have_ended, ready),
            ended=partial(self.have_ended, (*ready, *ended)),
            counted=partial(self.have_ended, ready or ended),
            pushes=lambda: self._elsewhere + sum(self._pushes[one] for one in (*ready, *ended)),
            changed=self._changed[kind],
        )

    def have_ended(self, kinds: tuple[str, ...]) -> bool:
        """Whether none of these will bring anything more, but what a run that follows reads again
        later.
        """
        return all(
            self.queues[kind].complete or kind in self._read_once
            for kind in kinds
            if kind in self.queues
        )

    def note_read_once(self, kind: str) -> None:
        """Of a kind that is read again and again the first reading has ended."""
        self._read_once.add(kind)
        self._wake(kind)

    def has_read_all(self) -> bool:
        """Whether every kind that is read again and again was read once."""
        return self.have_ended(tuple(k for k in self.queues if not registry.KINDS[k].is_followed))

    def note_elsewhere(self, rows: int) -> None:
        """Other daemons of the job have stored so many rows by now."""
        if rows != self._elsewhere:
            self._elsewhere = rows
            for changed in self._changed.values():
                changed.notify()

    def _tell(self, kind: str) -> None:
        queue = self.queues[kind]
        if not queue.complete and queue.pushes == self._pushes[kind]:
            return
        self._pushes[kind] = queue.pushes
        self._wake(kind)

    def _wake(self, kind: str) -> None:
        for name, changed in self._changed.items():
            upstream = registry.UPSTREAM[name]
            if kind in upstream.ready or kind in upstream.ended:
                changed.notify()
