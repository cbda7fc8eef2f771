"""Which alerts were raised when: a service that starts again each minute must not repeat them.

An alert that could not be delivered counts as raised: it is not repeated either.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from polybackfill.filesystem import files
from polybackfill.monitoring import alert

log = structlog.get_logger()

_MOST_KEPT = 200


class AlertHistory:
    """The alerts of all processes of a run, in a small file. It is lost without harm."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._raised = msgspec.json.decode(file.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.MsgspecError):
            self._raised = {}

    def is_due(self, raised: alert.Alert, now: float) -> bool:
        """Whether nobody has raised it within the time in which it is not repeated."""
        raised_at = self._raised.get(raised.key)
        return raised_at is None or not 0 <= now - raised_at < raised.repeat_s

    def note(self, raised: alert.Alert, now: float) -> None:
        """It is raised now (epoch seconds), whether or not it can be delivered."""
        self._raised.pop(raised.key, None)
        self._raised[raised.key] = now
        for oldest in list(self._raised)[:-_MOST_KEPT]:
            del self._raised[oldest]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomic(self._file, msgspec.json.encode(self._raised))
        except OSError as error:
            log.warning("alert.not_noted", file=str(self._file), error=error.strerror)
