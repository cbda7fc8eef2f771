"""Parts that a person has paused: a small file beside the status file, read once a second.

A pause lasts until it is taken back, also over a restart. Workers of a paused part finish the unit
in their hands and take no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import msgspec
import structlog

from polybackfill import errors, settings
from polybackfill.filesystem import files

log = structlog.get_logger()

_LOCK_S = 5.0  # a change takes no longer than a few writes to the disk


class PausedParts:
    """The kinds that are paused, as of the last `read`."""

    def __init__(self, chosen: settings.Settings) -> None:
        backfill = chosen.backfill
        self._file = backfill.data_dir / "status" / f"{backfill.run_name}.paused.json"
        self._is_unreadable = False
        self.kinds: frozenset[str] = frozenset()

    def read(self) -> None:
        """Look at the file. One that cannot be read changes nothing; it is logged once."""
        try:
            self.kinds = _read(self._file)
        except errors.Stop as error:
            if not self._is_unreadable:
                log.warning("paused.unreadable", error=str(error))
            self._is_unreadable = True
        else:
            self._is_unreadable = False

    def describe(self) -> str | None:
        """What waits for a person; None when nothing is paused."""
        if not self.kinds:
            return None
        return f"a person, who has paused {', '.join(sorted(self.kinds))}"

    def pause(self, kind: str) -> None:
        """From now on no worker takes a unit of this kind. Raises errors.Stop."""
        self._change(lambda kinds: kinds | {kind})

    def resume(self, kind: str) -> None:
        """Take a pause back. Raises errors.Stop."""
        self._change(lambda kinds: kinds - {kind})

    def _change(self, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        with _locked(self._file):
            kinds = change(_read(self._file))
            with files.stopping("write", self._file):
                files.write_atomic(self._file, msgspec.json.encode(sorted(kinds)))
        self.kinds = kinds


def _read(file: Path) -> frozenset[str]:
    """A missing file pauses nothing. Raises errors.Stop when it cannot be read or is no list."""
    try:
        return frozenset(msgspec.json.decode(file.read_bytes(), type=list[str]))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise files.as_stop(error, "read", file) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise errors.Stop(
            f"{file} is no list of paused parts; remove it to let all parts go on"
        ) from error


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Nobody else changes the file inside the block: what two people say at once counts, both."""
    lock = filelock.FileLock(file.with_name(f"{file.name}.lock"), fallback_to_soft=False)
    with files.stopping("lock", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_LOCK_S, poll_interval=0.02)
        except filelock.Timeout as error:
            raise errors.Stop(f"{file} is being changed by another process; try again") from error
    try:
        yield
    finally:
        lock.release()
