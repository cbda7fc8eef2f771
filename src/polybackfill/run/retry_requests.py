"""Units in error that a person wants tried again: their ids in a small file beside the status file.

The run that goes on takes up those that are its own, the next one what is left.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from polybackfill import errors, settings
from polybackfill.run import name_file

log = structlog.get_logger()


class RetryRequests:
    """What was asked for and not yet taken up."""

    def __init__(self, chosen: settings.Settings) -> None:
        backfill = chosen.backfill
        self._file = name_file.NameFile(
            backfill.data_dir / "status" / f"{backfill.run_name}.retries.json",
            "units to try again",
            "try none again",
        )

    def read(self) -> frozenset[str]:
        """Ids of units. A file that cannot be read asks for nothing; it is logged once."""
        return self._file.look("retries.unreadable") or frozenset()

    def add(self, ids: Iterable[str]) -> None:
        """Ask for these. Raises errors.Stop."""
        wanted = frozenset(ids)
        if wanted:
            self._file.change(lambda known: known | wanted)

    def drop(self, ids: Iterable[str]) -> None:
        """They were taken up, or there is nothing to take up. What cannot be written is logged: a
        unit that is asked for once more is harmless.
        """
        done = frozenset(ids)
        if not done & self.read():
            return
        try:
            self._file.change(lambda known: known - done)
        except errors.Stop as error:
            log.warning("retries.not_written", error=str(error))
