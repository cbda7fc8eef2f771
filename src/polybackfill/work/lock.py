"""One owner for one checkpoint folder; the system lets go of it when the owner dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import filelock
import msgspec

from polybackfill import clock as clocks
from polybackfill import errors
from polybackfill.work import files

LOCK_FILE = "owner.lock"
OWNER_FILE = "owner.json"
# `holder` takes the lock for an instant to learn whether it is free; an owner waits that out.
_PROBE_S = 0.3


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who works in a folder. `started_at`: epoch seconds."""

    host: str
    pid: int
    started_at: float

    @property
    def since(self) -> str:
        """`started_at` as UTC text."""
        return datetime.fromtimestamp(self.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@contextmanager
def held(folder: Path, clock: clocks.Clock | None = None) -> Iterator[Owner]:
    """Own the folder inside the block; it is created if absent. Blocks up to 0.3 s.

    Raises errors.Stop (exit 75) naming host, pid and start of the owner there already is, and
    errors.Stop (exit 78) when the folder cannot be written.
    """
    lock = _lock(folder)
    with files.stopping("lock", folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_PROBE_S, poll_interval=0.02)
        except filelock.Timeout as error:
            raise _taken(folder) from error
    try:
        owner = Owner(
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=(clock or clocks.SystemClock()).now(),
        )
        with files.stopping("write", folder / OWNER_FILE):
            files.write_atomic(folder / OWNER_FILE, msgspec.json.encode(owner))
        yield owner
    finally:
        with suppress(OSError):  # the lock decides; the file only tells people who holds it
            (folder / OWNER_FILE).unlink(missing_ok=True)
        lock.release()


def holder(folder: Path) -> Owner | None:
    """Who owns the folder now, None when nobody does. For status; never creates anything.

    An owner whose file cannot be read has the host "unknown" and the pid 0.
    """
    if not (folder / LOCK_FILE).exists():
        return None
    lock = _lock(folder)
    with files.stopping("lock", folder):
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            return _named(folder)
    lock.release()
    return None


def _lock(folder: Path) -> filelock.FileLock:
    # One file for both: a soft lock would outlive a killed owner, so there is no falling back.
    return filelock.FileLock(folder / LOCK_FILE, thread_local=False, fallback_to_soft=False)


def _named(folder: Path) -> Owner:
    try:
        return msgspec.json.decode((folder / OWNER_FILE).read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return Owner(host="unknown", pid=0, started_at=0.0)


def _taken(folder: Path) -> errors.Stop:
    return errors.Stop(
        f"{folder} is in use by {_named(folder)}; stop that one first (polybackfill status shows "
        "it), or give this run another --run-name",
        exit_code=errors.EXIT_UNAVAILABLE,
    )
