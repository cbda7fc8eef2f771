"""Where a data folder's store is found: the files its child process and its users share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

HOST = "127.0.0.1"


class Endpoint(msgspec.Struct, frozen=True):
    """Where the child listens. `pid` is None after a clean exit; the port is kept for the next."""

    host: str
    port: int
    pid: int | None
    started_at: float


class Started(msgspec.Struct, frozen=True):
    """The child's one line on its standard output: where it listens, or why it cannot."""

    endpoint: Endpoint | None = None
    error: str = ""
    locked: bool = False


def lock_path(folder: Path) -> Path:
    """The lock the child holds for as long as it lives."""
    return folder / "store.lock"


def log_path(folder: Path) -> Path:
    """What the child and the engine print."""
    return folder / "store.log"


def read(folder: Path) -> Endpoint | None:
    """The last written endpoint, None when there is none or it cannot be read."""
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
        return msgspec.json.decode((folder / "store.json").read_bytes(), type=Endpoint)
    return None


def write(folder: Path, endpoint: Endpoint) -> None:
    """Replace the endpoint in one step, so that nobody reads half of it."""
    scratch = folder / f"store.json.{os.getpid()}"
    scratch.write_bytes(msgspec.json.encode(endpoint) + b"\n")
    scratch.replace(folder / "store.json")
