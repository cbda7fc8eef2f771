"""Where a data folder's store is found: the files its child process and its users share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import msgspec

from chdb_http import durable_files

HOST = "127.0.0.1"


class Endpoint(msgspec.Struct, frozen=True):
    """Where the child listens. `pid` is None after a clean exit; the port is kept for the next.

    `kept`: a port that a person asked for, which comes first at the next start.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    pid: int | None
    started_at: float
    kept: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None


class StartReport(msgspec.Struct, frozen=True):
    """The child's one line on its standard output: where it listens, or why it cannot.

    `locked`: another process owns the folder. `errno`: of the system's error behind `error`.
    `engine_error`: the engine's own text behind it.
    """

    endpoint: Endpoint | None = None
    error: str = ""
    locked: bool = False
    errno: int | None = None
    engine_error: str | None = None


def hold_path(pid: int) -> str:
    """The URL's path at which a user takes hold of the child."""
    return f"/_hold/{pid}"


def lock_path(folder: Path) -> Path:
    """The lock the child holds for as long as it lives."""
    return folder / "store.lock"


def log_path(folder: Path) -> Path:
    """What the child and the engine print."""
    return folder / "store.log"


def read(folder: Path) -> Endpoint | None:
    """The last written endpoint, None when there is none, or none on this machine."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode((folder / "store.json").read_bytes(), type=Endpoint)
        return found if found.host == HOST else None
    return None


def write(folder: Path, endpoint: Endpoint) -> None:
    """Replace the endpoint in one step, so that nobody reads half of it."""
    scratch = folder / f"store.json.{os.getpid()}"
    durable_files.write_synced(
        scratch, msgspec.json.encode(endpoint) + b"\n"
    )  # a kept port is a promise
    scratch.chmod(0o644)  # no secret: the folder's own rights say who may see it
    scratch.replace(folder / "store.json")
    durable_files.sync_folder(folder)
