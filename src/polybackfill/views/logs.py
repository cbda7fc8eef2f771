"""Events, not sentences: JSON lines to a file or the journal, readable lines on a terminal.

A log line is a fixed event name plus fields. The file holds everything at the chosen level; the
terminal shows what a person should look at, and the life of the run.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog

from polybackfill import errors

FILE_BYTES = 64_000_000  # one older generation is kept, so a night's log stays below twice this
_SHOWN = {"warning", "error", "critical"}

Event = MutableMapping[str, Any]


class Sinks:
    """Where each event goes. Takes the place of a structlog output logger."""

    def __init__(self, file: Path | None, *, journal: bool) -> None:
        self._file = _open(file) if file else None
        self._journal = journal
        self._console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def msg(self, event: Event) -> None:
        """Write one event to every sink that wants it."""
        line = orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE)
        if self._file is not None:
            self._keep(self._file, line)
        if self._journal:
            _show(line.decode())
        elif event["level"] in _SHOWN or str(event["event"]).startswith("run."):
            _show(f"{self._console(None, '', dict(event))}\n")

    def _keep(self, file: BinaryIO, line: bytes) -> None:
        """A full disk must not end the run through its log: the ledger and the store decide."""
        try:
            file.write(line)
        except OSError as error:
            self._file = None
            _show(f"the log file is given up: {error.strerror}\n")

    debug = info = warning = error = critical = exception = msg


def configure(*, level: str, file: Path | None) -> None:
    """Send the events of this process to `file` and to stderr.

    Raises errors.Stop when the file cannot be opened.
    """
    sinks = Sinks(file, journal="JOURNAL_STREAM" in os.environ)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _to_sink,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: sinks,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Library()]
    root.setLevel(logging.WARNING)


class _Library(logging.Handler):
    """Warnings of the libraries go the same way, so that none is lost."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        logger.log(record.levelno, "library.message", library=record.name, text=record.getMessage())


def _show(text: str) -> None:
    # Looked up each time: the progress line stands in for stderr while it is drawn.
    sys.stderr.write(text)
    sys.stderr.flush()


def _to_sink(_logger: object, _method: str, event: Event) -> tuple[tuple[Event], dict[str, Any]]:
    return (event,), {}


def _open(file: Path) -> BinaryIO:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > FILE_BYTES:
            file.replace(file.with_suffix(file.suffix + ".1"))
        return file.open("ab", buffering=0)
    except OSError as error:
        raise errors.Stop(
            f"log file {file} cannot be written ({error.strerror}): "
            "set BACKFILL_LOG_FILE, or free the folder"
        ) from error
