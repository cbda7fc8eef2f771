"""One at a time: what several processes of one host must not do at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from polybackfill import errors
from polybackfill.filesystem import files

_POLL_S = 0.02


@contextmanager
def hold(file: Path, what: str, *, within_s: float = 60.0) -> Iterator[None]:
    """Hold the lock `file` inside the block; the system lets go of it when its holder dies.

    Waits for others up to `within_s`, then raises errors.Stop (exit 75) naming `what` is going on.
    Blocks the thread: take it outside the event loop.
    """
    # One file for all: a soft lock would outlive a killed holder, so there is no falling back.
    lock = filelock.FileLock(file, fallback_to_soft=False)
    with files.stopping("lock", file):
        files.make_folder(file.parent)
        try:
            lock.acquire(timeout=within_s, poll_interval=_POLL_S)
        except filelock.Timeout as error:
            raise errors.Stop(
                f"another {what} is going on and has not ended in {within_s:g} s ({file}): "
                "try again when it has",
                exit_code=errors.EXIT_UNAVAILABLE,
            ) from error
    try:
        yield
    finally:
        lock.release()
