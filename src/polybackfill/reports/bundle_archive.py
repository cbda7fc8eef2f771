"""Files of a support bundle: read from the end of logs, written as one archive for its owner."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from polybackfill import errors, terminal

_OWNER_ONLY = 0o600
_LONGEST_LINE = 8_192
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


def last_lines(file: Path, most: int) -> list[str]:
    """The last lines of a log and, where it was begun anew, of the generations before it, the
    oldest first. Raises OSError when there is no log at all.
    """
    generations = sorted(file.parent.glob(f"{file.name}.*"), key=_generation, reverse=True)
    if not file.exists() and not generations:
        raise FileNotFoundError(f"there is no log {file}")
    lines: deque[str] = deque(maxlen=most)
    for one in (*generations, file):
        with contextlib.suppress(FileNotFoundError), one.open("rb") as opened:
            for line in opened:
                lines.append(line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip("\n"))
    return list(lines)


def _generation(file: Path) -> tuple[int, str]:
    """`….1` is younger than `….2`."""
    number = file.suffix.removeprefix(".")
    return (int(number) if number.isdigit() else 0, file.name)


def encode(name: str, content: Any) -> bytes:
    """A file's bytes: lines for logs, JSON for all else; nothing in it that a terminal obeys."""
    if not isinstance(content, list) or name.endswith(".json"):
        return _json(content, _PRETTY).encode()
    lines = (terminal.visible(line) if isinstance(line, str) else _json(line) for line in content)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _json(content: Any, option: int = 0) -> str:
    return terminal.visible_json(orjson.dumps(content, default=str, option=option).decode())


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """A gzipped tar that its owner alone may read; whole or not at all. Raises errors.Stop."""
    stem = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with (
            os.fdopen(descriptor, "wb") as opened,
            tarfile.open(fileobj=opened, mode="w:gz") as archive,
        ):
            for name, content in files.items():
                member = tarfile.TarInfo(f"{stem}/{name}")
                member.size, member.mode = len(content), _OWNER_ONLY
                archive.addfile(member, io.BytesIO(content))
        os.replace(temporary, path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise errors.Stop(
            f"{path} cannot be written ({problem.strerror}): --output FILE"
        ) from problem
