"""Which sweep of each kind a run takes part in, and what it forgets to begin another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from polybackfill import clocks, units
from polybackfill.checkpoint import run_checkpoint, sweeps
from polybackfill.kinds import key_source, registry
from polybackfill.run import run_request
from polybackfill.store import client, discovery


class RunSweeps:
    """The sweeps of one run. `folder`: the checkpoint's; `job_began_at`: of a job, whose daemons
    all take part in the same sweep (epoch seconds).
    """

    def __init__(
        self,
        folder: Path,
        request: run_request.RunRequest,
        checkpoint: run_checkpoint.Checkpoint,
        clock: clocks.Clock,
        job_began_at: float | None = None,
    ) -> None:
        self._request = request
        self._checkpoint = checkpoint
        self._sweeps = sweeps.Sweeps(folder, listed_only=request.listed_only)
        self._clock = clock
        self._job_began_at = job_began_at

    async def choose(self, kind: str, store: client.Store) -> str:
        """The sweep that is under way, or a new one. A run of everything forgets those of the list,
        so that it counts its own.
        """
        if self._request.dry_run:
            return self._new_name()
        name = self._sweeps.current(kind)
        if self._job_began_at is not None and name != self._new_name():
            name = None  # of another round, or of no job
        if name is None or not self._request.listed_only:
            await self._forget_list(kind, store)
        if name is None:
            name = self._new_name()
            if not self._request.listed_only:
                self._checkpoint.forget(kind)
            self._sweeps.begin(kind, name)
        return name

    def _new_name(self) -> str:
        began_at = self._clock.now() if self._job_began_at is None else self._job_began_at
        return sweeps.name(began_at, listed_only=self._request.listed_only)

    def is_recent(self, kind: str, within_s: float) -> bool:
        """Whether a complete sweep of the kind began so lately."""
        began = self._sweeps.completed(kind)
        return began is not None and 0 <= self._clock.now() - began < within_s

    def is_own(self, unit: units.Unit) -> bool:
        """False in a run of a list for units of a sweep of everything."""
        is_any = not self._request.listed_only or not registry.KINDS[unit.kind].is_swept
        return is_any or sweeps.is_of_list(unit.sweep)

    def complete(self, kind: str) -> None:
        """Every unit of the sweep has ended: the next run begins a new one."""
        if not self._request.dry_run:
            self._sweeps.complete(kind)

    def has_ended(self, kind: str, key: str, sweep: str) -> bool:
        """Whether a key has ended in this sweep."""
        return self._checkpoint.has_ended(kind, units.mark_key(key, sweep))

    async def count_ended(self, kind: str, sweep: str, store: client.Store) -> int:
        """Keys of the present sweep that earlier runs have ended."""
        if not self._request.listed_only:
            return self._checkpoint.count_ended(kind, units.FULL_HISTORY)
        ended = 0
        async for keys in _list_keys(kind, store):
            ended += sum(self.has_ended(kind, key, sweep) for key in keys)
        return ended

    async def _forget_list(self, kind: str, store: client.Store) -> None:
        """Forget the newest sweep of the planned list."""
        sweep = self._sweeps.of_list(kind)
        if sweep is None:
            return
        async for keys in _list_keys(kind, store):
            self._checkpoint.forget(kind, [units.mark_key(key, sweep) for key in keys])
        self._sweeps.drop_of_list(kind)


def _list_keys(kind: str, store: client.Store) -> AsyncIterator[list[str]]:
    """All keys that a sweep of the planned list can have, some thousand at a time."""
    if isinstance(registry.KINDS[kind].keys, key_source.PlannedWallets):
        return discovery.PlannedWallets(store, listed_only=True)()
    return discovery.listed_conditions(store)
