"""Changes on disk that either happened whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from polybackfill import errors

Step = Callable[[str], None]
"""Called with a name before each change on disk; a test raises from it to stand for a kill."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def no_step(_name: str) -> None:
    """The step hook of a real run."""


def write_atomic(path: Path, content: bytes, step: Step = no_step) -> None:
    """Replace `path` by `content`: temporary file beside it, fsync, rename, fsync of the folder.

    A reader, also one after a power cut, sees the old file or the new one. Raises OSError.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    write_synced(temporary, content, step)
    step(f"rename {path.name}")
    os.replace(temporary, path)
    sync_folder(path.parent, step)


@contextmanager
def writing_atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which takes the place of `path` when the block ends well.

    Otherwise nothing of it stays, and `path` is as it was. Raises OSError.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, in a way that survives a power cut. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def write_private(path: Path, text: str) -> None:
    """A file anew that its owner alone can read. Raises OSError."""
    path.unlink(missing_ok=True)  # one that a killed process has left, whoever may read it
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(text)


def append_lines(path: Path, lines: bytes) -> None:
    """Add whole lines, down to the disk; a line that a crash has torn is closed first. The file and
    its folder are made when missing. Raises OSError.
    """
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        write_whole(descriptor, b"\n" * torn + lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if size == 0:
        sync_folder(path.parent)


def write_synced(path: Path, content: bytes, step: Step = no_step) -> None:
    """Write a file that nobody reads yet, down to the disk. Raises OSError."""
    step(f"write {path.name}")
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        step(f"fsync {path.name}")
        os.fsync(file.fileno())


def copy_atomic(existing: Path, path: Path, step: Step = no_step) -> None:
    """Replace `path` by a copy of `existing`, never by a second name of it: what befalls one
    must not befall the other. Raises OSError.
    """
    write_atomic(path, existing.read_bytes(), step)


def sync_folder(folder: Path, step: Step = no_step) -> None:
    """Make renames in `folder` survive a power cut. Raises OSError."""
    step(f"fsync {folder.name}/")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content` at the descriptor's position. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def stopping(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError into errors.Stop that names the path, the cause and the remedy."""
    try:
        yield
    except OSError as error:
        raise as_stop(error, action, path) from error


def as_stop(error: OSError, action: str, path: Path) -> errors.Stop:
    """The Stop for an OSError met while doing `action` ("write", "read" …) to `path`."""
    cause = error.strerror or str(error)
    if error.errno in _FULL:
        remedy = "make room there and start again; nothing recorded so far is lost"
        return errors.Stop(
            f"cannot {action} {path}: {cause}; {remedy}", exit_code=errors.EXIT_UNAVAILABLE
        )
    if error.errno in errors.PASSING_ERRNOS:
        remedy = "check the disk and the limits of this user, then start again"
    else:
        remedy = "give this user access or choose another folder (BACKFILL_CHECKPOINT_DIR)"
    return errors.Stop(
        f"cannot {action} {path}: {cause}; {remedy}", exit_code=errors.exit_code_of(error)
    )
