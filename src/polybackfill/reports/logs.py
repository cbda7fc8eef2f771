"""Events, not sentences: JSON lines to a file or the journal, readable lines on a terminal.

A log line is a fixed event name plus fields. The file holds everything at the chosen level; the
terminal shows what a person should look at, the life of the run, and who answers again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from chdb_http import log_rotation
from polybackfill import clocks, errors, redaction, terminal
from polybackfill.filesystem import files as disk

_SHOWN = {"warning", "error", "critical"}
_TEXT_MAX = 20_000  # characters of one value

Event = MutableMapping[str, Any]


class LogFile:
    """JSON lines in at most `files` files of `limit_bytes` each; see `log_rotation`."""

    def __init__(self, path: Path, *, limit_bytes: int, files: int) -> None:
        """Raises errors.Stop when the file cannot be opened."""
        self._path = path
        self._limit_bytes = limit_bytes
        self._files = files
        self._warned = False
        self._lost = 0
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
        """A full disk must not end the run through its log: the checkpoint and the store decide."""
        has_room = self._make_room(len(line))
        try:
            if self._lost:
                self._append(_lost(self._lost))
                self._lost = 0
            self._append(line)
        except OSError as error:
            self._warn(f"the log file is skipped until it can be written: {error.strerror}")
            self._lost += 1
        else:
            self._warned = self._warned and not has_room

    def _make_room(self, more_bytes: int) -> bool:
        try:
            if log_rotation.is_full(self._file.fileno(), self._limit_bytes, more_bytes):
                full, self._file = self._file, log_rotation.begin_anew(self._path, self._files)
                full.close()
        except OSError as error:  # the full file takes the line as well
            self._warn(f"the log file cannot be rotated and keeps growing: {error.strerror}")
            return False
        return True

    def _append(self, line: bytes) -> None:
        """All of a line or nothing: what a full disk cut off would spoil the next line, too."""
        descriptor, size = self._file.fileno(), os.fstat(self._file.fileno()).st_size
        try:
            disk.write_whole(descriptor, line)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise

    def _warn(self, text: str) -> None:
        if not self._warned:
            _show(f"{text}\n")
        self._warned = True

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def _lost(lines: int) -> bytes:
    event = {"event": "log.lines_lost", "level": "warning", "lines": lines}
    event["timestamp"] = clocks.utc_text(time.time())
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


class Sinks:
    """Where each event goes. Takes the place of a structlog output logger."""

    def __init__(self, file: LogFile | None, *, journal: bool) -> None:
        self._file = file
        self._journal = journal
        self._console = structlog.dev.ConsoleRenderer(colors=terminal.has_colour(sys.stderr))

    def msg(self, event: Event) -> None:
        """Write one event to every sink that wants it."""
        event = {name: _bounded(value) for name, value in event.items()}
        text = orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE).decode()
        line = terminal.visible_json(redaction.redact(text)).encode()
        if self._file is not None:
            self._file.write(line)
        if self._journal:
            _show(line.decode())
        elif event["level"] in _SHOWN or str(event["event"]).startswith(("run.", "route.")):
            shown = {name: _safe(name, value) for name, value in event.items()}
            _show(f"{self._console(None, '', shown)}\n")

    debug = info = warning = error = critical = exception = msg


@contextlib.contextmanager
def configured(
    *, level: str, file: Path | None, limit_bytes: int = 32_000_000, files: int = 5
) -> Iterator[None]:
    """Send the events of this process to `file` and to stderr, for as long as this lasts.

    Raises errors.Stop when the file cannot be opened.
    """
    root = logging.getLogger()
    handlers, root_level = root.handlers[:], root.level
    log_file = LogFile(file, limit_bytes=limit_bytes, files=files) if file else None
    sinks = Sinks(log_file, journal="JOURNAL_STREAM" in os.environ)
    before = structlog.get_config()
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
        structlog.configure(**before)
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


def _bounded(value: Any) -> Any:
    """A text that nobody means to read whole must not fill a log."""
    if isinstance(value, str) and len(value) > _TEXT_MAX:
        return f"{value[:_TEXT_MAX]}… ({len(value):,} characters)"
    return value


def _safe(name: str, value: Any) -> Any:
    """Texts of the API reach a terminal without what it would obey, and look like no second line;
    a traceback keeps its lines.
    """
    if not isinstance(value, str):
        return value
    return terminal.visible(value) if name == "exception" else terminal.visible_line(value)


def _to_sink(_logger: object, _method: str, event: Event) -> tuple[tuple[Event], dict[str, Any]]:
    return (event,), {}
