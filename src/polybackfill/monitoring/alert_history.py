"""Which alerts were sent when: a service that starts again each minute must not repeat them."""

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
            self._sent = msgspec.json.decode(file.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.MsgspecError):
            self._sent = {}

    def is_due(self, raised: alert.Alert, now: float) -> bool:
        """Whether nobody has sent it within the time in which it is not repeated."""
        sent_at = self._sent.get(raised.key)
        return sent_at is None or not 0 <= now - sent_at < raised.repeat_s

    def note(self, raised: alert.Alert, now: float) -> None:
        """It is sent now (epoch seconds)."""
        self._sent.pop(raised.key, None)
        self._sent[raised.key] = now
        for oldest in list(self._sent)[:-_MOST_KEPT]:
            del self._sent[oldest]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_atomic(self._file, msgspec.json.encode(self._sent))
        except OSError as error:
            log.warning("alert.not_noted", file=str(self._file), error=error.strerror)
