"""Events, not sentences: JSON lines to a file or the journal, readable lines on a terminal.

A log line is a fixed event name plus fields. The file holds everything at the chosen level; the
terminal shows what a person should look at, the life of the run, and who answers again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from polybackfill import errors, terminal

FILE_BYTES = 64_000_000  # one older generation is kept, so a night's log stays below twice this
_SHOWN = {"warning", "error", "critical"}

Event = MutableMapping[str, Any]


class LogFile:
    """JSON lines in a file; when it is full it becomes `….1`, so two of them are the most."""

    def __init__(self, path: Path, *, limit_bytes: int = FILE_BYTES) -> None:
        """Raises errors.Stop when the file cannot be opened."""
        self._path = path
        self._limit_bytes = limit_bytes
        self._failing = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise errors.Stop(
                f"log file {path} cannot be written ({error.strerror}): "
                "set BACKFILL_LOG_FILE, or free the folder",
                exit_code=errors.exit_code_of(error),
            ) from error

    def write(self, line: bytes) -> None:
        """A full disk must not end the run through its log: the ledger and the store decide."""
        try:
            if self._file.tell() > self._limit_bytes:
                self._begin_anew()
            self._file.write(line)
        except OSError as error:
            if not self._failing:
                _show(f"the log file is given up until it can be written: {error.strerror}\n")
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _begin_anew(self) -> None:
        self._path.replace(self._path.with_suffix(self._path.suffix + ".1"))
        full, self._file = self._file, self._path.open("ab", buffering=0)
        full.close()


class Sinks:
    """Where each event goes. Takes the place of a structlog output logger."""

    def __init__(self, file: LogFile | None, *, journal: bool) -> None:
        self._file = file
        self._journal = journal
        self._console = structlog.dev.ConsoleRenderer(colors=terminal.has_colour(sys.stderr))

    def msg(self, event: Event) -> None:
        """Write one event to every sink that wants it."""
        line = orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE)
        if self._file is not None:
            self._file.write(line)
        if self._journal:
            _show(line.decode())
        elif event["level"] in _SHOWN or str(event["event"]).startswith(("run.", "route.")):
            shown = {name: _safe(value) for name, value in event.items()}
            _show(f"{self._console(None, '', shown)}\n")

    debug = info = warning = error = critical = exception = msg


@contextlib.contextmanager
def configured(*, level: str, file: Path | None) -> Iterator[None]:
    """Send the events of this process to `file` and to stderr, for as long as this lasts.

    Raises errors.Stop when the file cannot be opened.
    """
    root = logging.getLogger()
    handlers, root_level = root.handlers[:], root.level
    log_file = LogFile(file) if file else None
    sinks = Sinks(log_file, journal="JOURNAL_STREAM" in os.environ)
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
    root.handlers[:] = [_Library()]
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(root_level)
        if log_file is not None:
            log_file.close()


class _Library(logging.Handler):
    """Warnings of the libraries go the same way, so that none is lost."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        logger.log(record.levelno, "library.message", library=record.name, text=record.getMessage())


def _show(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # whoever read it has gone; the run goes on
        terminal.write_styled(sys.stderr, text)
        sys.stderr.flush()


def _safe(value: Any) -> Any:
    """Texts of the API reach a terminal without what it would obey; a traceback keeps its lines."""
    return terminal.visible(value) if isinstance(value, str) else value


def _to_sink(_logger: object, _method: str, event: Event) -> tuple[tuple[Event], dict[str, Any]]:
    return (event,), {}
